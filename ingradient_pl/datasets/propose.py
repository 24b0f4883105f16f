"""A ``dataset.json`` proposed for a folder that has none, from how its files are named."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.folder_patterns import IMAGE_FILES, LABEL_FILE
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.overlap import CASE, LABEL, LABEL_FILES
from ingradient_pl.datasets.records import strip_ending
from ingradient_pl.images.formats import ending

LIKE_LABELS = re.compile(r"seg|label|mask|annot|truth|(?<![a-z])(gt|roi)(?![a-z])", re.IGNORECASE)
SAMPLED_FOLDERS, SAMPLED_FILES = 20, 200
"""How many folders are looked into, and files of each: names follow a rule, or nothing is proposed."""
SHARE_OF_CASES = 0.5
"""Of label files, that a pattern must find the image of."""


def propose_description(folder: Path) -> str:
    """Propose a ``dataset.json`` for images beside label files, a blank before it; empty where none fits.

    Args:
        folder: Without a description: with a folder for each case, or with images and labels of all cases
            in one folder or in folders of their own.
    """
    proposed, layout = _of_case_folders(folder), "It has a folder for each case"
    if proposed is None:
        proposed, layout = _of_names(folder), "It has images and labels of the same names"
    if proposed is None:
        return ""
    told = json.dumps(proposed, ensure_ascii=False)
    return f" {layout}: write {DESCRIPTION} into it, {told}. A channel called CT is normalised as CT."


def _of_case_folders(folder: Path) -> dict[str, Any] | None:
    """Describe a folder with a folder for each case; None where it is none."""
    for place in islice(_folders(folder), 3):
        files = _files(place)
        labels = [file for file in files if LIKE_LABELS.search(file.name)]
        images = [file for file in files if file not in labels]
        deeper = [one for one in _folders(place) if any(_files(one))]
        if not images or not (labels or deeper) or _match_names(place, files) is not None:
            continue
        patterns = [f"{CASE}/{file.name.replace(place.name, CASE)}" for file in images]
        stems = [strip_ending(file).replace(place.name, "") for file in images]
        if labels:
            return _describe(patterns, stems, f"{CASE}/{labels[0].name.replace(place.name, CASE)}")
        masks = f"{CASE}/{deeper[0].name}/{LABEL}{ending(_files(deeper[0])[0])}"
        described = _describe(patterns, stems, masks)
        return {key: value for key, value in described.items() if key not in {"labels", LABEL_FILE}} | {
            LABEL_FILES: masks
        }
    return None


def _of_names(folder: Path) -> dict[str, Any] | None:
    """Describe a folder where an image and its label share a part of their names; None where they do not."""
    near = list(islice(_folders(folder), SAMPLED_FOLDERS))
    below = islice((one for place in near for one in _folders(place)), SAMPLED_FOLDERS)
    found = _match_names(folder, [file for place in (folder, *near, *below) for file in _files(place)])
    if found is None:
        return None
    stems = [strip_ending(Path(pattern)).replace(CASE, "") for pattern in found.images]
    return _describe(found.images, stems, found.label)


class _Named(NamedTuple):
    """Patterns of the images and the label of cases, and the cases that they fit."""

    images: list[str]
    label: str
    cases: list[str]


def _match_names(folder: Path, files: Sequence[Path]) -> _Named | None:
    """Find the patterns that fit most label files and their images; None where no two cases are told."""
    paths = {file.relative_to(folder).as_posix() for file in files}
    labels = sorted(path for path in paths if LIKE_LABELS.search(path))
    images = sorted(paths - set(labels))
    tried = {_common_name(labels[0], image) for image in images} if labels and images else set()
    fits = [_fit(name, labels, images) for name in sorted(tried - {""})]
    return max((fit for fit in fits if fit), key=lambda fit: len(fit.cases), default=None)


def _common_name(label: str, image: str) -> str:
    """Give the longest text that the names of two files share, without what divides words at its ends."""
    one, other = strip_ending(Path(label)), strip_ending(Path(image))
    shared = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return one[shared.a :][: shared.size].strip("_-. ")


def _fit(name: str, labels: Sequence[str], images: Sequence[str]) -> _Named | None:
    """Give the patterns in which ``name`` of the first label is the case; None where few images fit."""
    folder, _, file = labels[0].rpartition("/")
    label = f"{folder}/{file.replace(name, CASE)}".removeprefix("/")
    before, *after = label.split(CASE)
    fitting = re.compile(re.escape(before) + "(.+)" + r"\1".join(map(re.escape, after)))
    cases = [match[1] for match in map(fitting.fullmatch, labels) if match]
    patterns = Counter(
        f"{image.rpartition('/')[0]}/{image.rpartition('/')[2].replace(case, CASE)}".removeprefix("/")
        for image in images
        for case in cases[:SAMPLED_FOLDERS]
        if case in image.rpartition("/")[2]
    )
    wanted = SHARE_OF_CASES * min(len(cases), SAMPLED_FOLDERS)
    chosen = sorted(pattern for pattern, count in patterns.items() if count >= wanted)
    enough = len(cases) > max(1, SHARE_OF_CASES * len(labels))
    return _Named(chosen, label, cases) if chosen and enough else None


def _describe(patterns: Sequence[str], stems: Sequence[str], label: str) -> dict[str, Any]:
    """Give a description of image patterns, whose channels are called as what is left of their names."""
    names = [stem.strip("_- .") or "image" for stem in stems]
    return {
        "channel_names": {str(at): name for at, name in enumerate(names)},
        IMAGE_FILES: {str(at): pattern for at, pattern in enumerate(patterns)},
        "labels": {"background": 0, "NAME": 1},
        LABEL_FILE: label,
    }


def _folders(folder: Path) -> Iterator[Path]:
    """Give the folders in a folder, hidden ones left out."""
    yield from (one for one in sorted(folder.iterdir()) if one.is_dir() and not is_hidden(one))


def _files(folder: Path) -> list[Path]:
    """Give some image files of a folder."""
    files = (one for one in sorted(folder.iterdir()) if ending(one) and one.is_file() and not is_hidden(one))
    return list(islice(files, SAMPLED_FILES))

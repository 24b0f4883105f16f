"""Cases by patterns of their files' names, as ``dataset.json`` gives them: a folder a patient, any names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.case_masks import find_masks, match_pattern, with_masks
from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.overlap import CASE, FOLDER, LABEL, LABEL_FILES, Places
from ingradient_pl.datasets.records import CaseFiles, Fault, SourceError
from ingradient_pl.images.formats import ending
from ingradient_pl.phrases import name_some

IMAGE_FILES, LABEL_FILE, CHANNEL_NAME = "image_files", "label_file", "{channel}"
"""Keys of a description: patterns of image files and of a label file; what stands for a channel's name."""


def pattern_layout(
    folder: Path, channels: Sequence[str], described: Mapping[str, Any], places: Places | None
) -> Layout:
    """Sort the files of a folder by patterns relative to it; cases without any label file have none.

    Args:
        folder: Of the ``dataset.json``.
        channels: Names of the task's channels.
        described: Its content: ``image_files``, and ``label_file`` or, where labels may overlap,
            ``label_files``.
        places: How label files hold each label that may overlap; None where none may.

    Raises:
        SourceError: If a pattern is none, or fits no file.
    """
    patterns = _image_patterns(folder, channels, described)
    found: dict[str, dict[int, Path]] = {}
    for number, pattern in enumerate(patterns):
        for name, file in match_pattern(folder, pattern):
            found.setdefault(name, {})[number] = file
    if not found:
        there = sorted(file.relative_to(folder).as_posix() for file in _some_files(folder))
        raise SourceError(
            f"{folder / DESCRIPTION}: no file is named as '{IMAGE_FILES}' says ({', '.join(patterns)}). "
            f"There are {name_some(there)}."
        )
    labels = _find_labels(folder, described, places)
    cases, faults = [], []
    for name, files in sorted(found.items()):
        lacking = [number for number in range(len(patterns)) if number not in files]
        faults += [
            Fault(
                name,
                folder / patterns[number].replace(CASE, name),
                f"the image of channel '{channels[number]}' is missing. Add it, or correct its name.",
            )
            for number in lacking
        ]
        if not lacking:
            case = case_of(name, tuple(files[number] for number in range(len(patterns))), labels.get(name))
            cases.append(case if places is None else _place_masks(folder, case, described, places))
    return _leave_label_files(Layout(cases, tuple(faults)))


def _leave_label_files(layout: Layout) -> Layout:
    """Leave out images that are the label of a case: ``A_seg.nii`` beside ``A.nii`` fits ``{case}.nii``."""
    labels = {file for case in layout.cases for file in case.files[len(case.images) :]}
    return layout._replace(cases=[case for case in layout.cases if labels.isdisjoint(case.images)])


def leave_unlabelled(layout: Layout) -> Layout:
    """Leave out cases without a label, with a remark.

    Args:
        layout: As its patterns give it.
    """
    bare = [case.name for case in layout.cases if case.label is None]
    share = f"{len(bare)} of {len(layout.cases)} cases"
    told = f"Left out, without a label file: {name_some(sorted(bare))} ({share})."
    labelled = [case for case in layout.cases if case.label is not None]
    return layout._replace(cases=labelled, remarks=(*layout.remarks, *([told] if bare else [])))


def with_label_names(described: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Name the labels after their files where a description gives a pattern of these and no ``labels``.

    Args:
        described: The content of a ``dataset.json``.
        folder: Where it lies.
    """
    pattern = described.get(LABEL_FILES)
    if IMAGE_FILES not in described or "labels" in described or LABEL not in str(pattern):
        return described
    told = str(pattern).replace(LABEL, "\0").replace(CASE, "*").replace("\0", CASE)
    names = sorted({name for name, _ in match_pattern(folder, told)})
    return {**described, "labels": names} if names else described


def _image_patterns(folder: Path, channels: Sequence[str], described: Mapping[str, Any]) -> list[str]:
    """Give a pattern for each channel, or one of files that hold all."""
    told = described[IMAGE_FILES]
    if isinstance(told, str):
        parts = channels if CHANNEL_NAME in told else [""]
        patterns = [told.replace(CHANNEL_NAME, channel) for channel in parts]
    elif isinstance(told, Mapping) and sorted(told) in (
        sorted(channels),
        sorted(map(str, range(len(channels)))),
    ):
        patterns = [told.get(channel, told.get(str(at))) for at, channel in enumerate(channels)]
    else:
        raise SourceError(
            f"{folder / DESCRIPTION}: '{IMAGE_FILES}' is a pattern such as '{CASE}/{CASE}_{CHANNEL_NAME}"
            f".nii.gz', or one for each channel ({', '.join(channels)}); got {str(told)[:100]}."
        )
    return [_check_pattern(folder, IMAGE_FILES, pattern) for pattern in patterns]


def _check_pattern(folder: Path, key: str, pattern: object) -> str:
    if not isinstance(pattern, str) or CASE not in pattern or pattern.startswith("/") or ".." in pattern:
        raise SourceError(
            f"{folder / DESCRIPTION}: '{key}' is a pattern of names in this folder with {CASE}, such as "
            f"'{CASE}/image.nii.gz'; got {str(pattern)[:100]!r}."
        )
    return pattern.removeprefix("./")


def _find_labels(folder: Path, described: Mapping[str, Any], places: Places | None) -> dict[str, Path]:
    if places is not None:
        return {}
    if LABEL_FILE not in described:
        raise SourceError(
            f"{folder / DESCRIPTION}: '{IMAGE_FILES}' says where images are, and nothing where labels are: "
            f"'{LABEL_FILE}' ('{CASE}/{CASE}_seg.nii.gz'), or '{LABEL_FILES}' for a file a label."
        )
    return dict(match_pattern(folder, _check_pattern(folder, LABEL_FILE, described[LABEL_FILE])))


def _place_masks(folder: Path, case: CaseFiles, described: Mapping[str, Any], places: Places) -> CaseFiles:
    """Give a case with where its masks are; with none where no file is there."""
    told = described.get(LABEL_FILES)
    patterns = told.values() if isinstance(told, Mapping) else [told]
    below = any(str(pattern).startswith(FOLDER) for pattern in patterns)  # which places leave out
    masks = find_masks(folder / FOLDER if below else folder, case.name, places)
    return with_masks(case, masks if any(mask.path.is_file() for mask in masks) else ())


def _some_files(folder: Path) -> list[Path]:
    """Give files of the first folders that hold images, or of the folder itself."""
    places = [folder, *(one for one in sorted(folder.iterdir()) if one.is_dir() and not is_hidden(one))][:3]
    return [file for place in places for file in sorted(place.iterdir()) if ending(file)]

"""Label maps by the name of their case: from files of a folder, npz + pkl pairs, a table or a case store."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.datasets.case_masks import find_cases, find_masks
from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.descriptions import read_description, read_places, task_of
from ingradient_pl.datasets.folder_patterns import IMAGE_FILES
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.overlap import CASE, CHANNEL, CHANNELS, FILE, Places, order_names, place_files
from ingradient_pl.datasets.pair_layout import holds_pairs
from ingradient_pl.datasets.records import CaseFiles, strip_ending
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.geometry import Millimetres
from ingradient_pl.images import formats, pairs
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.known_formats import without_pictures
from ingradient_pl.images.mask_files import MaskFile, read_masks
from ingradient_pl.images.packed_masks import pack_integers
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.metadata import is_store, is_stored, read_dataset, read_task
from ingradient_pl.store.store_union import case_endings
from ingradient_pl.store.stored_cases import stored_cases, stored_volume
from ingradient_pl.task import Task


class LabelError(ValueError):
    """Labels that cannot be found; the message names the folder and what is wrong."""


class LabelMap(NamedTuple):
    """Where the label map of a case is.

    Args:
        path: Its file: an image, the npz of a pair, or the array of a stored case.
        properties: The pkl of a pair.
        group: The patient, as the source of the case tells; empty where it tells none.
        spacing: What a table says of a picture's pixels, in mm (z, y, x).
        annotated: Names of the labels that somebody annotated; None where all were.
        task: What its integers mean, where its source tells.
        masks: Where labels may overlap: where the mask of each is; ``path`` is then the first one's file.
    """

    path: Path
    properties: Path | None = None
    group: str = ""
    spacing: Millimetres | None = None
    annotated: tuple[str, ...] | None = None
    task: Task | None = None
    masks: tuple[MaskFile, ...] = ()

    @classmethod
    def of(cls, case: CaseFiles, task: Task | None = None) -> "LabelMap | None":
        """Give the label of a case as any source names it; None where it has none.

        Args:
            case: As a source lists it.
            task: What the integers of the source's labels mean, where it tells.
        """
        if case.label is None:
            return None
        paired = pairs.is_pair(case.label) and len(case.images) > 1
        properties = case.images[1] if paired else None
        return cls(case.label, properties, case.group, case.spacing, case.annotated, task, case.masks)

    @property
    def overlaps(self) -> bool:
        """Whether several labels may lie in one voxel."""
        return bool(self.masks) or (self.task is not None and self.task.overlap is not None)

    def find_task(self) -> Task | None:
        """Give what its integers mean, as told or by its store or the data set whose labelsTr it is in."""
        folder = self.path.parent
        if self.task is not None:
            return self.task
        if is_stored(folder):
            return CaseStore(self.path.parents[2], names=[folder.name]).task.in_files
        described = read_description(folder.parent) if folder.name == "labelsTr" else None
        return None if described is None else task_of(described, folder.parent)

    def knows(self, names: Sequence[str]) -> list[str]:
        """Give which of some labels its files tell.

        Args:
            names: Of labels.
        """
        known = [mask.name for mask in self.masks] if self.task is None else self.task.foreground
        return [
            name for name in names if name in known and (self.annotated is None or name in self.annotated)
        ]

    def read_masks(self, names: Sequence[str], orientation: str = "LPS") -> Volume:
        """Read a mask for each of some labels, whether they may overlap in its files or not.

        Args:
            names: Of labels, ``ignore`` included; those that it does not have are empty.
            orientation: As for :func:`ingradient_pl.images.formats.read_volume`.

        Returns:
            Packed masks (plane, z, y, x), numbered in the order of ``names``.

        Raises:
            ImageError: If a file cannot be read, or holds integers whose meaning nothing tells.
            StoreError: If a stored case is damaged.
        """
        if self.masks:
            held = [m._replace(number=names.index(m.name) + 1) for m in self.masks if m.name in names]
            if not held:
                told = ", ".join(mask.name for mask in self.masks)
                raise ImageError(f"{self.path}: it is of {told}, none of {', '.join(names)}. Rename labels.")
            return read_masks(held, len(names), orientation, self.spacing)
        if self.task is None:
            raise ImageError(
                f"{self.path}: it has one integer a voxel, where labels may overlap. Name the description of "
                "its integers with --dataset, or give a mask for each label."
            )
        task, found = self.task.in_files, self.read(orientation)
        values = {**task.foreground, **({} if task.ignore is None else {"ignore": (task.ignore,)})}
        packed = pack_integers(found.voxels[0], [values.get(name, ()) for name in names])
        return found._replace(voxels=packed)

    def read(self, orientation: str = "LPS") -> Volume:
        """Read it: integers as its files have them, or packed masks, axes brought to an orientation.

        Args:
            orientation: As for :func:`ingradient_pl.images.formats.read_volume`.

        Raises:
            ImageError: If a file cannot be read as integers.
            StoreError: If a stored case is damaged.
        """
        if self.masks:
            count = max(mask.number for mask in self.masks)
            return read_masks(self.masks, count, orientation, self.spacing)
        if is_stored(self.path.parent):
            return stored_volume(self.path.parent, orientation, "label")
        return formats.read_label(self.path, orientation, self.properties, self.spacing)


def find_labels(path: Path | Sequence[Path], task: Task | None = None) -> dict[str, LabelMap]:
    """Find the label maps of a folder of label files, of a raw data set, of pairs, of a table or of a store.

    Args:
        path: The folder or table; of several stores their folders, whose cases are called ``CASE@STORE``.
        task: Of the predictions that they are for; where its labels overlap, a folder holds masks.

    Raises:
        LabelError: If there is nothing, no label in it, or a case is there twice.
        SourceError: If a table or a data set cannot be understood.
    """
    if not isinstance(path, (str, Path)):
        found_in = ((find_labels(store, task), ending) for store, ending in case_endings(path).items())
        return {f"{name}{ending}": label for found, ending in found_in for name, label in found.items()}
    path = Path(path)
    if not path.exists():
        raise LabelError(f"There is no folder {path}: check the path.")
    if is_store(path):
        known = CaseStore(path).task.in_files
        cases = stored_cases(path, known).cases
    elif path.is_file() or holds_pairs(path) or is_dataset(path):
        source = read_source(path)
        cases, known = source.cases, source.task
    else:
        return find_answers(path, task)
    found = {case.name: label for case in cases if (label := LabelMap.of(case, known)) is not None}
    if not found:
        raise LabelError(f"{path} holds {len(cases)} cases, none with a label.")
    return found


def find_answers(folder: Path, task: Task | None) -> dict[str, LabelMap]:
    """Find the segmentations in a folder: a file for each case, or masks where labels may overlap.

    Masks are looked for as the folder's own ``dataset.json`` names them, as the task does, as the
    ``dataset.json`` above, as CASE/LABEL, and last as channels of one file.

    Args:
        folder: Of segmentations or labels.
        task: What they mean; None where nothing tells.

    Raises:
        LabelError: If there is no such folder or file, or a case is there in two formats.
        SourceError: If a description in the folder or above cannot be understood.
    """
    if task is None or task.overlap is None:
        return {name: LabelMap(file, task=task) for name, file in label_files(folder).items()}
    if not folder.is_dir():
        raise LabelError(f"There is no folder {folder}: check the path.")
    names = order_names(task.overlap)
    channels: Places = {name: {CHANNEL: at, CHANNELS: len(names)} for at, name in enumerate(names)}
    own = {name: dict(place) for name, place in task.overlap.items()}
    told = [_places_beside(folder), own, _places_beside(folder.parent), place_files(names), channels]
    for places in (one for one in told if one):
        found = {name: find_masks(folder, name, places) for name in find_cases(folder, places)}
        if found:
            return {name: LabelMap(masks[0].path, masks=masks) for name, masks in found.items()}
    raise LabelError(
        f"{folder} holds no masks of {', '.join(names)}: neither files named as the task names them "
        f"({', '.join(str(place.get(FILE, CASE)) for place in own.values())}), nor a folder CASE with a file "
        "for each label."
    )


def _places_beside(folder: Path) -> Places | None:
    described = None if is_store(folder) else read_description(folder)
    return None if described is None else read_places(described, folder)


def label_files(folder: Path) -> dict[str, Path]:
    """Give the image files of a folder by the name of their case.

    Args:
        folder: Of segmentations or labels, CASE.nii.gz each.

    Raises:
        LabelError: If there is no such folder or file, or a case is there in two formats.
    """
    if not folder.is_dir():
        raise LabelError(f"There is no folder {folder}: check the path.")
    images = (path for path in folder.iterdir() if formats.ending(path) and not is_hidden(path))
    files = sorted(without_pictures(images))
    if not files:
        raise LabelError(
            f"{folder} holds no image files ({', '.join(formats.ENDINGS[:4])}, ...): nothing to work on."
        )
    named = {strip_ending(path): path for path in files}
    if len(named) < len(files):
        twice = [f"  - {path}" for path in files if named[strip_ending(path)] != path]
        raise LabelError("\n".join([f"{folder} holds cases twice, in two formats:", *twice]))
    return named


def labels_task(path: Path) -> Task | None:
    """Give the task that a store, a data set or pairs tell themselves; None where a folder tells none.

    Args:
        path: As for :func:`find_labels`.
    """
    path = Path(path)
    if is_store(path):
        return read_task(read_dataset(path)["task"], path).in_files
    if path.is_file() or (path.is_dir() and (holds_pairs(path) or is_dataset(path))):
        return read_source(path).task
    return None


def store_annotated(source: object) -> dict[str, tuple[str, ...] | None]:
    """Give which labels were annotated in each case, as a store, its folder or a data set tells.

    Args:
        source: One of these, a dataset.json in its data set included; anything else tells nothing.
    """
    if isinstance(source, CaseStore):
        return {name: case.annotated for name, case in source.cases.items()}
    if not isinstance(source, (str, Path)):
        return {}
    folder = Path(source).parent if Path(source).name == DESCRIPTION else Path(source)
    if not folder.is_dir() or not (is_store(folder) or is_dataset(folder) or holds_pairs(folder)):
        return {}
    return {name: label.annotated for name, label in find_labels(folder).items()}


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a data set as a whole: its description lies beside its folders, not its labels.

    Args:
        folder: It need not be there.
    """
    if not (folder / DESCRIPTION).is_file():
        return False
    return (folder / "labelsTr").is_dir() or IMAGE_FILES in (read_description(folder) or {})

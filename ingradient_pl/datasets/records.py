"""What a data set consists of before any voxel is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.geometry import Millimetres
from ingradient_pl.images import pairs
from ingradient_pl.images.formats import ImageError, Volume, ending, read_label, read_volume
from ingradient_pl.images.label_objects import is_label_object, read_label_object, read_object_masks
from ingradient_pl.images.mask_files import MaskFile, read_masks
from ingradient_pl.images.raw_image import describe_difference
from ingradient_pl.short_repr import short_repr
from ingradient_pl.task import Task


def place_path(folder: Path, told: str) -> Path:
    r"""Give a path as a table or description tells it, be it written as on Windows.

    Args:
        folder: What it is relative to.
        told: With ``/`` or, where no file has that name, with a backslash between folders.
    """
    path = folder / told
    return folder / told.replace("\\", "/") if "\\" in told and not path.exists() else path


class SourceError(ValueError):
    """A data set that cannot be understood as a whole; the message holds every reason."""


class Fault(NamedTuple):
    """What is wrong with a case.

    Args:
        case: Its name.
        file: The file at fault.
        reason: What is wrong and what to do.
    """

    case: str
    file: Path
    reason: str

    def __repr__(self) -> str:
        return short_repr(self)

    def __str__(self) -> str:
        reason = self.reason.removeprefix(f"{self.file}: ")
        case = self.case if self.case.isprintable() else repr(self.case)
        file = str(self.file) if str(self.file).isprintable() else repr(str(self.file))
        return f"{case}: {file}: {reason}"


class CaseFiles(NamedTuple):
    """The files of a case.

    Args:
        name: Of the case.
        images: One file for each channel, or one for all, or an npz and its pkl.
        label: None where there is none.
        group: The patient; the name where nothing is known.
        split: What a table says, such as ``train``.
        spacing: What a table says of the voxels' size in mm (z, y, x), where files may tell none.
        annotated: Names of the labels that somebody annotated; None where all were. In the file, voxels of
            any other label are background, or that label.
        masks: Where labels may overlap: where the mask of each is; ``label`` is then the first one's file.
        channels: Which channel of the images is each one wanted, where they stand in another order.
        labels: Where the label is a DICOM object: integers of labels by name, which its segments have.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    group: str
    split: str | None = None
    spacing: Millimetres | None = None
    annotated: tuple[str, ...] | None = None
    masks: tuple[MaskFile, ...] = ()
    channels: tuple[int, ...] = ()
    labels: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""
        return self.label is not None

    @property
    def store(self) -> str:
        """Which of several stores it is in: none yet."""
        return ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them: images first, then those of the label."""
        if self.masks:
            return (*self.images, *dict.fromkeys(mask.path for mask in self.masks))
        return self.images if self.label is None else (*self.images, self.label)

    def read_image(self, orientation: str, channels: Sequence[str]) -> Volume:
        """Read the image, whatever kind of files it is in.

        Args:
            orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
            channels: Names of the channels that it must have.

        Raises:
            ImageError: If a file cannot be read, or the channels are not as many.
        """
        count = len(channels)
        whole = count if len(self.images) == 1 < count else None
        volume = read_volume(self.images, orientation, whole, self.spacing)
        return self.take_channels(volume, channels)

    def take_channels(self, volume: Volume, channels: Sequence[str]) -> Volume:
        """Hold the image against the channels wanted, and give these in their order.

        Args:
            volume: The image as read, its channels as its files have them.
            channels: Names of the channels that it must have.

        Raises:
            ImageError: If the channels are not as many.
        """
        check_channels(self.images[0], volume, channels)
        return volume._replace(voxels=volume.voxels[list(self.channels)]) if self.channels else volume

    def read_label(self, orientation: str, image: Volume | None = None) -> Volume:
        """Read the label; where ``image`` is given, it must lie on its grid.

        Args:
            orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
            image: The case's image in the same orientation.

        Raises:
            ImageError: If there is none, it cannot be read, or lies elsewhere.
        """
        if self.label is None:
            raise ImageError(f"{self.name} has no label. Add it to the data set's labels.")
        if self.labels or is_label_object(self.label):
            return read_label_object(self.label, image or self._volume(orientation), dict(self.labels))
        properties = self.images[1] if pairs.is_pair(self.label) and len(self.images) > 1 else None
        return self._on_grid(read_label(self.label, orientation, properties, self.spacing), image)

    def read_masks(self, count: int, orientation: str, image: Volume | None = None) -> Volume:
        """Read labels that may overlap, as packed masks; where ``image`` is given, they must lie on its grid.

        Args:
            count: How many labels the task has.
            orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
            image: The case's image in the same orientation.

        Raises:
            ImageError: If one cannot be read, is not a mask, or lies elsewhere.
        """
        if self.masks and is_label_object(self.masks[0].path):
            return read_object_masks(self.masks, count, image or self._volume(orientation))
        return self._on_grid(read_masks(self.masks, count, orientation, self.spacing), image)

    def _volume(self, orientation: str) -> Volume:
        return read_volume(self.images, orientation, spacing=self.spacing)

    def _on_grid(self, label: Volume, image: Volume | None) -> Volume:
        apart = "" if image is None else describe_difference(image, label)
        if apart:
            raise ImageError(
                f"{label.source.path}: {apart} its image {self.images[0]}. A label must lie on its image's "
                "grid: resample it, or copy the image's header into it if only that is wrong."
            )
        return label


def check_channels(path: Path, volume: Volume, channels: Sequence[str]) -> None:
    """Hold the channels of an image against those that are wanted.

    Args:
        path: Of the image, for the message.
        volume: The image as read.
        channels: Names of the channels wanted, in order.

    Raises:
        ImageError: If they are not as many.
    """
    if len(volume.voxels) != len(channels):
        raise ImageError(
            f"{path}: the case has {len(volume.voxels)} channels, where {len(channels)} are wanted: "
            f"{', '.join(channels)}, in this order. Correct 'channel_names', or the files."
        )


class Source(NamedTuple):
    """A data set.

    Args:
        task: What is segmented from what.
        cases: Those that have all their files by name, sorted.
        faults: What is wrong with the others.
        remarks: What a user should know and need not act on.
        path: Where it was found.
    """

    task: Task
    cases: list[CaseFiles]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    path: Path = Path()

    def __repr__(self) -> str:
        return short_repr(self)

    def check_meaning(self) -> None:
        """Refuse labels that cannot mean what they say, with the name of what says it.

        Raises:
            SourceError: If they cannot; see :meth:`ingradient_pl.task.Task.check_meaning`.
        """
        try:
            self.task.check_meaning()
        except ValueError as error:
            described = self.path / "dataset.json"
            raise SourceError(f"{described if described.is_file() else self.path}: {error}") from error


def label_values(labels: Mapping[str, Any]) -> dict[str, int | tuple[int, ...]]:
    """Give name -> integer(s); the Medical Decathlon writes integer -> name.

    Args:
        labels: As a ``dataset.json`` has them; several integers make a region.

    Raises:
        ValueError: If a value is neither an integer nor a list of them.
    """
    if all(str(key).isdigit() for key in labels) and all(isinstance(name, str) for name in labels.values()):
        return {str(name): int(key) for key, name in sorted(labels.items(), key=lambda entry: int(entry[0]))}
    return {str(name): _value(name, value) for name, value in labels.items()}


def strip_ending(path: Path) -> str:
    """Give the name of a file without its ending.

    Args:
        path: Of an image; ``.nii.gz`` counts as one ending.
    """
    return path.name[: -len(ending(path))] if ending(path) else path.stem


def _value(name: str, value: Any) -> int | tuple[int, ...]:
    entries = value if isinstance(value, (list, tuple)) else [value]
    if not entries or not all(isinstance(one, (int, float, str)) and str(one).isdigit() for one in entries):
        raise ValueError(f"label '{name}' must be an integer or a list of integers; got {value!r}.")
    made = tuple(int(one) for one in entries)
    return made if isinstance(value, (list, tuple)) else made[0]

"""Whether a file is DICOM, and the library that reads its header."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.optional import require

ENDINGS = (".dcm", ".dicom", ".ima")
"""What names of DICOM files end in, where they end in anything; small letters or capitals."""

SEGMENTATION = "Segmentation Storage"
"""What the names of classes of segmentations end in: their frames are masks, not slices."""

STRUCTURES = "RT Structure Set Storage"
"""What the class of structure sets is called."""

PREAMBLE, MAGIC = 128, b"DICM"

CLASS = 0x00080016
"""Tag of ``SOPClassUID``: elements are in the order of their tags, and few stand before it."""


@cache
def pydicom() -> Any:
    """Give the module ``pydicom``, imported with the first DICOM file.

    How a hospital writes names and dates is not ours to mend: a warning for each slice hides what matters.

    Raises:
        ImageError: If it cannot be imported.
    """
    otherwise = "Stores and NIfTI files do without it."
    module: Any = require("pydicom", "DICOM files", "pydicom>=3.0", otherwise, ImageError)
    module.config.settings.reading_validation_mode = module.config.IGNORE
    return module


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM by its name, or by the four letters that stand in front.

    Args:
        path: It need not exist, and a pipe is not opened.
    """
    if path.suffix.lower() in ENDINGS:
        return True
    if not path.is_file():  # a pipe is not opened
        return False
    with path.open("rb") as file:
        return file.read(PREAMBLE + 4)[PREAMBLE:] == MAGIC


def class_of(header: Any) -> str:
    """Give the name of the class of an object; its UID where that is a private one.

    Args:
        header: As pydicom reads it.
    """
    kind = str(header.get("SOPClassUID") or getattr(header.file_meta, "MediaStorageSOPClassUID", ""))
    return str(pydicom().uid.UID(kind).name)


def read_class(path: Path) -> str | None:
    """Read the name of the class of a DICOM file, and nothing after it; None of any other file, or of none.

    Args:
        path: It need not exist, and a pipe is not opened.

    Raises:
        ImageError: If it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            if path.suffix.lower() not in ENDINGS and file.read(PREAMBLE + 4)[PREAMBLE:] != MAGIC:
                return None
            file.seek(0)
            return class_of(pydicom().filereader.read_partial(file, _is_past_class, force=True))
    except Exception as error:  # a damaged header fails in many ways
        raise ImageError(f"{path}: it cannot be read as DICOM ({error}). Copy or export it again.") from error


def _is_past_class(tag: int, *_: object) -> bool:
    return int(tag) > CLASS


def read_header(path: Path, tags: list[str] | None = None) -> Any:
    """Read the header of a file that is known to be DICOM; its pixels stay where they are.

    Args:
        path: The file.
        tags: Elements that are wanted, by keyword; None for all.

    Raises:
        ImageError: If it cannot be read.
    """
    try:
        return pydicom().dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    except Exception as error:  # a damaged header fails in many ways
        raise ImageError(f"{path}: it cannot be read as DICOM ({error}). Copy or export it again.") from error


def find_in_groups(groups: Iterable[Any], name: str, *sequences: str) -> Any:
    """Find an element in the functional groups of a frame; None where none of them has it.

    Args:
        groups: The frame's own first, then those of all frames.
        name: Of the element.
        *sequences: In which it may be.
    """
    items = (item for group in groups for sequence in sequences for item in group.get(sequence) or [])
    return next((value for item in items if (value := item.get(name)) is not None), None)

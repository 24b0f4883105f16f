"""Whether a file is DICOM, and the library that reads its header."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from ingradient_pl.images.raw_image import ImageError

ENDINGS = (".dcm", ".dicom", ".ima")
"""What names of DICOM files end in, where they end in anything; small letters or capitals."""


PREAMBLE = 128


@cache
def pydicom() -> Any:
    """Give the module ``pydicom``, imported with the first DICOM file.

    How a hospital writes names and dates is not ours to mend: a warning for each slice hides what matters.

    Raises:
        ImageError: If it cannot be imported.
    """
    try:
        module: Any = importlib.import_module("pydicom")
    except ImportError as error:
        raise ImageError(
            f"DICOM is read by pydicom, which cannot be imported ({error}). Install it: pip install "
            "'pydicom>=3.0'. Stores and NIfTI files do without it."
        ) from error
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
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"

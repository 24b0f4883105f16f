"""Whether a file is DICOM, and the library that reads its header."""

from functools import cache
from pathlib import Path
from typing import Any

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.optional import require

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
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"

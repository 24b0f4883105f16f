"""SimpleITK, imported with the first file that needs it: a store and NIfTI files do without it."""

from functools import cache
from typing import Any

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.optional import require


@cache
def simpleitk() -> Any:
    """Give the module ``SimpleITK``.

    Raises:
        ImageError: If it cannot be imported.
    """
    return require(
        "SimpleITK",
        "NRRD, MetaImage, DICOM and pictures",
        "SimpleITK>=2.5",
        "Stores and NIfTI files need it not.",
        ImageError,
    )

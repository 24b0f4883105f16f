"""SimpleITK, imported with the first file that needs it: a store and NIfTI files do without it."""

import importlib
from functools import cache
from typing import Any

from ingradient_pl.images.raw_image import ImageError


@cache
def simpleitk() -> Any:
    """Give the module ``SimpleITK``.

    Raises:
        ImageError: If it cannot be imported.
    """
    try:
        return importlib.import_module("SimpleITK")
    except ImportError as error:
        raise ImageError(
            f"NRRD, MetaImage, DICOM and pictures are read by SimpleITK, which cannot be imported ({error}). "
            "Install it: pip install 'SimpleITK>=2.5'. Stores and NIfTI files need it not."
        ) from error

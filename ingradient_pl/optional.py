"""Packages that are imported with what first needs them; one that is missing is named with the cure."""

from importlib import import_module
from typing import Any


def require(
    package: str, use: str, install: str, otherwise: str = "", error: type[Exception] = ImportError
) -> Any:
    """Import a package that not every use of this one needs.

    Args:
        package: Its name as it is imported, such as ``SimpleITK``.
        use: What needs it, the subject of a sentence in the plural: ``"DICOM segmentations"``.
        install: What pip is to install: ``"SimpleITK>=2.5"``, or an extra, ``"ingradient_pl[dicom]"``.
        otherwise: A sentence on how to do without it; empty where that is not possible.
        error: The kind of error to raise, that of the caller.

    Raises:
        ImportError: Or ``error``, if it is missing or broken: the message names package, reason and cure.
    """
    try:
        return import_module(package)
    except ImportError as reason:
        raise error(
            f"{use} need the package {package}, which cannot be imported ({reason}). "
            f"Install it: pip install '{install}'. {otherwise}".rstrip()
        ) from reason

"""File formats of other packages, named on the command line."""

from collections.abc import Iterable

from ingradient_pl.commands.dotted_name import import_name
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.known_formats import add_formats
from ingradient_pl.messages import UsageError


def add_image_formats(names: Iterable[str] | None) -> None:
    """Read and write further image formats from here on.

    Args:
        names: Dotted names, each of an ``ImageFormat``; None for none.

    Raises:
        UsageError: If one is not there, or is not an ``ImageFormat``.
    """
    for name in names or ():
        found = import_name(name, "an image format")
        if not isinstance(found, ImageFormat):
            raise UsageError(f"'{name}' is not an image format: an ImageFormat is wanted, got {found!r}.")
        add_formats([found])

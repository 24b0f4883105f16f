"""What a file format is: endings, a reader, a writer. Other packages bring theirs by an entry point."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ingradient_pl.images.frame import Frame
from ingradient_pl.images.raw_image import RawImage

Reader = Callable[[Path, int | None], RawImage]
"""From a file and the number of channels that it must hold (None: one) to voxels (channel, z, y, x)."""

Writer = Callable[[Path, NDArray[Any], Frame, bytes | None], None]
"""Writes voxels (channel, z, y, x) and their frame; the last argument is the header of a NIfTI source."""


def _alone(path: Path) -> list[Path]:
    return [path]


def _nothing(path: Path, frame: Frame) -> dict[Path, bytes]:
    return {}


class ImageFormat(NamedTuple):
    """A file format.

    Args:
        name: What messages call it.
        endings: What its files end in, small letters, the dot included.
        read: The reader. It raises ``ImageError`` with a message that begins with the file's name.
        write: The writer; None where there is none.
        answers: Ending of the answer to an image of this format; its own where None and there is a writer.
        several_channels: Whether one file usually holds all channels of a case, as a colour picture does.
        parts: Gives the files that belong to one image, itself included: where one changes, it is read again.
        beside: Gives the content of further files that are written beside an image.
    """

    name: str
    endings: tuple[str, ...]
    read: Reader
    write: Writer | None = None
    answers: str | None = None
    several_channels: bool = False
    parts: Callable[[Path], list[Path]] = _alone
    beside: Callable[[Path, Frame], dict[Path, bytes]] = _nothing

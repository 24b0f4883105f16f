"""Reads image files whole or unpacked, and never more of them than their header promises or memory holds."""

import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.machine import available_memory

GZIP = b"\x1f\x8b"
LFS = b"version https://git-lfs"
CHUNK = 2**20
"""Bytes read from the disk at a time."""

STEEPEST = 1032
"""Bytes that one byte of a deflate stream can stand for, at most."""

AT_WORK = 3
"""Times the memory of its voxels that an image takes at least, whatever is done with it."""

SURPLUS = 2**20
"""Bytes behind the voxels that are let be: padding, notes of the program that wrote the file."""


class Extent(NamedTuple):
    """How many bytes of a file, unpacked, are wanted.

    Args:
        need: Those without which it is truncated.
        most: Those that are kept where they are there.
    """

    need: int
    most: int


def check_regular(path: Path) -> int:
    """Give the size of a file in bytes.

    Args:
        path: A file, or a link to one.

    Raises:
        ImageError: If it is not a regular file (a pipe would be waited for, a device never ends), or empty.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise ImageError(
            f"{path}: no such file ({error.strerror}). Is the path relative to another folder, or the link "
            "broken?"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(
            f"{path}: not a regular file ({_kind(found.st_mode)}). Save the image as a file and name that."
        )
    if not found.st_size:
        raise ImageError(f"{path}: the file is empty. Copy or download it again.")
    return found.st_size


def check_memory(path: Path, needed: int) -> None:
    """Refuse voxels that this machine cannot hold, before any memory is taken.

    Args:
        path: The file that promises them.
        needed: Their bytes.

    Raises:
        ImageError: If they are more than the machine's (or the job's) memory.
    """
    there = available_memory()
    if needed * AT_WORK > there:
        raise ImageError(
            f"{path}: its header promises {needed / 1e9:.1f} GB of voxels, {AT_WORK} times that at work, and "
            f"this machine has {there / 1e9:.1f} GB of memory. Is the header damaged? Copy it again, or crop "
            "the image."
        )


def read_file(path: Path, largest: int) -> bytes:
    """Read a whole file of at most ``largest`` bytes.

    Args:
        path: A file, or a link to one.
        largest: Bytes; a larger file is not opened.

    Raises:
        ImageError: If it is larger, empty or not a regular file.
    """
    size = check_regular(path)
    if size > largest:
        raise ImageError(f"{path}: it has {size} bytes, where at most {largest} are read. Is it this file?")
    return path.read_bytes()


def read_extent(path: Path, head: int, extent_of: Callable[[bytes], Extent]) -> bytearray:
    """Read a file and undo gzip, whose check sum is verified, up to what its own header promises.

    Args:
        path: The file.
        head: Bytes of the header that ``extent_of`` wants.
        extent_of: Gives the extent from the first ``head`` bytes (fewer where the file is shorter).

    Raises:
        ImageError: If it is cut short, damaged, a Git LFS pointer, not a regular file, unpacks to much more
            than its header promises, or promises more than memory holds.
    """
    size = check_regular(path)
    with path.open("rb") as file:
        start = file.read(max(head, len(LFS)))
        if start.startswith(LFS):
            raise ImageError(
                f"{path}: this is a Git LFS pointer, not the image. Fetch it with 'git lfs pull'."
            )
        file.seek(0)
        if start.startswith(GZIP):
            return _unpack(path, file, size, head, extent_of)
        extent = extent_of(start[:head])
        if extent.need > size:
            raise ImageError(
                f"{path}: it is truncated: its header promises {extent.need} bytes, it has {size}. "
                "Copy or download it again."
            )
        check_memory(path, extent.need)
        return bytearray(file.read(extent.most))


def _unpack(
    path: Path, file: IO[bytes], size: int, head: int, extent_of: Callable[[bytes], Extent]
) -> bytearray:
    stream = _Gzip(path, file)
    start = b""
    while len(start) < head and (part := stream.read(head - len(start))):
        start += part
    extent = extent_of(start)
    if extent.need > STEEPEST * size:
        raise ImageError(
            f"{path}: it is truncated: its header promises {extent.need} bytes, more than {size} packed ones "
            "can hold. Copy or download it again."
        )
    check_memory(path, extent.need)
    content = bytearray(max(extent.most if extent.most == extent.need else 0, len(start)))
    content[: len(start)] = start
    at = len(start)
    while at < extent.most and (part := stream.read(extent.most - at)):
        content[at : at + len(part)] = part
        at += len(part)
    if at < extent.need:
        raise ImageError(
            f"{path}: the voxels are truncated: {extent.need} bytes are promised, {at} unpacked. "
            "Copy or download it again."
        )
    stream.finish(SURPLUS)
    return content


class _Gzip:
    """A gzip file that is unpacked piece by piece; what follows its last member is let be, as zlib does."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.unpacker = zlib.decompressobj(wbits=31)
        self.waiting = b""

    def read(self, most: int) -> bytes:
        """Unpack up to ``most`` bytes; none at the end."""
        while True:
            if self.unpacker.eof and not self._next_member():
                return b""
            fed = self.waiting or self.file.read(CHUNK)
            if not fed:
                raise ImageError(f"{self.path}: the gzip file is truncated. Copy or download it again.")
            try:
                part = self.unpacker.decompress(fed, most)
            except zlib.error as error:
                raise ImageError(
                    f"{self.path}: the gzip file is damaged ({error}). Copy or download it again."
                ) from error
            self.waiting = self.unpacker.unconsumed_tail
            if part:
                return part

    def finish(self, surplus: int) -> None:
        """Go to the end, where the check sum lies."""
        while part := self.read(CHUNK):
            surplus -= len(part)
            if surplus < 0:
                raise ImageError(
                    f"{self.path}: it unpacks to far more than its header promises. Is the header damaged, "
                    "or the file made to fill memory? Save it again."
                )

    def _next_member(self) -> bool:
        rest = self.unpacker.unused_data or self.file.read(CHUNK)
        if not rest.startswith(GZIP):
            return False
        self.unpacker, self.waiting = zlib.decompressobj(wbits=31), rest
        return True


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "another kind")

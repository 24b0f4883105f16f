"""A checkpoint as a file: written whole, held by check sums, and opened without running anything in it.

PyTorch's format is a zip archive that keeps the CRC-32 of each of its entries, which PyTorch itself never
looks at. The rest of the file (names, lengths, order of the entries) has a CRC-32 of its own in the archive's
comment. So each byte is covered, and a save reads none of its weights twice.
"""

import os
import pickle
import re
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

import torch

from ingradient_pl.files import whole_file
from ingradient_pl.inference.archive_sums import is_stored, sum_frame
from ingradient_pl.inference.other_files import name_kind
from ingradient_pl.inference.storage_sizes import StorageError, check_pickles
from ingradient_pl.inference.torch_files import write_torch
from ingradient_pl.phrases import one_line
from ingradient_pl.pickle_bounds import PickleError
from ingradient_pl.unfinished import remove_leftovers

OURS = "ingradient"
PREVIOUS = "previous"
OTHERS = "others"
MOST_MODELS = 100
"""Models that a checkpoint may hold beside and within each other, shared ones counted as often as named."""

END, END_BYTES = b"PK\x05\x06", 22
MARK = b"ingradient:crc32:"
SEAL_BYTES = len(MARK) + 8


class CheckpointError(ValueError):
    """A file that cannot be used as a checkpoint; the message says why and what to do."""


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a checkpoint holds, with check sums; the file appears whole, and on the disk, or not at all.

    Args:
        path: Where to. What killed runs left beside it is removed.
        content: Tensors and plain values.

    Raises:
        OSError: If the disk does not take it; an older file is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    with whole_file(path, sync=True) as temporary, temporary.open("w+b") as file:
        write_torch(file, lambda to: torch.save(content, to))
        _seal(file)


def read_content(path: Path) -> Mapping[str, Any]:
    """Open a checkpoint of ours without running anything in it, and give all it holds.

    Args:
        path: A checkpoint; its weights stay on the disk until they are read.

    Raises:
        CheckpointError: If it is none of ours, or damaged.
    """
    found = load(path, mmap=True)
    if not is_ours(found):
        raise CheckpointError(
            f"{path} is a PyTorch file, but no checkpoint of ingradient: it lacks the entry '{OURS}' with "
            "plan and task. Take one that ingradient-train wrote, or bring a model along with import-nnunet."
        )
    return found


def load(path: Path | str, map_location: Any = "cpu", *, mmap: bool = False) -> Any:
    """Open a file of PyTorch that holds tensors and plain values, after its check sums.

    Args:
        path: The file; an address (``http://``, ``s3://``) is refused.
        map_location: Where tensors go, in the words of ``torch.load``.
        mmap: Whether weights are read as they are needed.

    Raises:
        CheckpointError: If it is no such file, is damaged, or holds anything else; nothing was run.
    """
    with _open_sound(path) as archive:
        try:  # names and plain values that would cost years to read, tensors that are not in the file
            check_pickles(archive)
        except (PickleError, StorageError) as error:
            raise CheckpointError(f"{path} is not a checkpoint that can be opened: {error}.") from error
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_why_not_opened(Path(path), error)) from error
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint, or was cut short while being copied ({one_line(error)})."
        ) from error


def check_sums(path: Path | str) -> None:
    """Read a checkpoint's file from end to end and hold it against its check sums.

    Args:
        path: A file on this machine.

    Raises:
        CheckpointError: If it is not a file of PyTorch's format, or a byte of it is not what was written.
    """
    with _open_sound(path):
        pass


@contextmanager
def _open_sound(path: Path | str) -> Iterator[zipfile.ZipFile]:
    """Open a checkpoint once, as an archive, after its check sums."""
    check_address(path)
    path = Path(path)
    _check_kind(path)
    with ExitStack() as opened:
        try:
            # By a path alone all that the disk says is swallowed
            file = opened.enter_context(path.open("rb"))
            whole = zipfile.is_zipfile(file)
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read ({error.strerror}): see that it is yours to read, and its disk is "
                "there."
            ) from error
        except zipfile.BadZipFile:
            whole = True  # a damaged one: the reason follows
        if not whole:
            raise CheckpointError(
                f"{path} is not a checkpoint of PyTorch's file format, or was cut short while being copied."
            )
        try:
            archive = opened.enter_context(zipfile.ZipFile(file))
            wrong = _damage(archive, file)
        except (zipfile.BadZipFile, OSError, ValueError, LookupError, EOFError) as error:
            wrong = one_line(error)
        except (RuntimeError, struct.error, OverflowError, zlib.error) as error:
            wrong = one_line(error)
        if wrong:
            raise CheckpointError(
                f"{path} is damaged: it is not what was written ({wrong}). Copy it again, or take another "
                "checkpoint of the run."
            )
        yield archive


def _check_kind(path: Path) -> None:
    """Refuse what is not there, a folder, and a file of another kind that its name tells."""
    kind = name_kind(path) if path.exists() else None
    if not path.is_file() and kind is None:
        raise CheckpointError(f"There is no checkpoint {path}: check the path.")
    if kind is not None and not (path.is_file() and zipfile.is_zipfile(path)):
        raise CheckpointError(
            f"{path} is not a checkpoint but {kind}. Name a file that training or import-nnunet wrote, such "
            "as RUN/checkpoints/last.ckpt."
        )


def check_address(path: Any) -> None:
    """Refuse a checkpoint that would come over a network.

    Args:
        path: What a user gave for a file.

    Raises:
        CheckpointError: If ``path`` is an address.
    """
    if "://" in str(path) or "::" in str(path) or str(path).startswith("registry:"):
        raise CheckpointError(
            f"{path} is an address, and checkpoints are opened from files only: download it first."
        )


def _seal(file: IO[bytes]) -> None:
    """Put the check sum of all that is not an entry's content into the archive's comment."""
    end = file.seek(-END_BYTES, os.SEEK_END)
    last = file.read()
    file.seek(end)
    file.write(last[:20] + struct.pack("<H", SEAL_BYTES))
    file.write(MARK + b"0" * 8)
    file.flush()
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        found = _skeleton(archive, file)
    file.seek(-8, os.SEEK_END)
    file.write(found)


def _damage(archive: zipfile.ZipFile, file: IO[bytes]) -> str | None:
    """Say what of a file is not as it was written; None where all is."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - END_BYTES - 2**16)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END)
    comment = tail[at + END_BYTES :]
    if at < 0 or struct.unpack("<H", tail[at + 20 : at + END_BYTES])[0] != len(comment):
        return "its end is not where it should be"
    for entry in archive.infolist():
        if not is_stored(entry):
            return f"'{entry.filename}' is packed, which PyTorch never does"
    names = archive.namelist()
    if len(set(names)) < len(names):
        return "an entry of it is there twice"
    broken = archive.testzip()
    if broken is not None:
        return f"the check sum of '{broken}' does not fit"
    if comment and (not comment.startswith(MARK) or comment[len(MARK) :] != _skeleton(archive, file)):
        return "the check sum of its directory does not fit"
    return None


def _skeleton(archive: zipfile.ZipFile, file: IO[bytes]) -> bytes:
    """Give the CRC-32 of all but the contents of entries, as eight hexadecimal digits."""
    return b"%08x" % sum_frame(archive, file, file.seek(0, os.SEEK_END) - 8)


def is_ours(found: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether what a file of PyTorch holds is a checkpoint of this package.

    Args:
        found: What :func:`load` gave.
    """
    waiting, seen = [found], 0
    while waiting:
        one, seen = waiting.pop(), seen + 1
        if seen > MOST_MODELS or not isinstance(one, Mapping) or not isinstance(one.get(OURS), Mapping):
            return False
        others = one.get(OTHERS, [])
        if not isinstance(others, list):
            return False
        waiting += [*others, *([one[PREVIOUS]] if PREVIOUS in one else [])]
    return True


def _why_not_opened(path: Path, error: Exception) -> str:
    """Say why a file that is pickled was not opened."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        pickled = archive.read(pickles[0]) if pickles else b""
    if b"network_weights" in pickled and b"trainer_name" in pickled:
        return (
            f"{path} is a checkpoint of nnU-Net. Bring the model along first: "
            f"ingradient import-nnunet --model {shlex.quote(str(path.parent.parent))} --output model.ckpt"
        )
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))  # what torch says besides is how to run it after all
    why = f"it asks for '{asked[1]}'" if asked else "its pickle is not plain"
    return (
        f"{path} holds more than tensors and plain values, and opening it could run a program it brings "
        f"({why}). It is not opened. Write the checkpoint anew from the training run."
    )

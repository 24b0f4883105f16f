"""Text of NRRD's and MetaImage's headers, in a grammar so narrow that ITK finds nothing else in it.

ITK's own readers know the file of the voxels by a dozen spellings, hand its name to ``sprintf``, and copy
lines into buffers whose ends they do not watch: such a header ends the process, or worse. So what is not
plain is refused here, before they see it.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.images.raw_image import ImageError

NRRD = (".nrrd", ".nhdr")
METAIMAGE = (".mha", ".mhd")
HEADER = 2**20
"""Bytes at the beginning of a file in which the text of its header lies."""

LONGEST_META, LONGEST_NRRD = 255, 500
"""Bytes of a line that is copied into a buffer; what is free text, or a matrix, may be longer."""

MOST_FILES = 2**16
"""Files that the voxels of one image may be shared out among."""

FREE_NRRD = ("content", "sample units")
MATRICES = ("transformmatrix", "rotation", "orientation")
LENGTHS = (
    *(*MATRICES, "offset", "position", "origin", "centerofrotation", "elementspacing", "elementsize"),
    *("spacings", "space directions", "space origin", "measurement frame", "thicknesses"),
)
"""Fields of numbers that say where voxels lie."""

LARGEST = 1e12
"""Of them: ITK's own algebra does not come to an end on matrices whose squares overflow."""

META_LINE = re.compile(rb"[ \t]*([^\s=:][^=:]*?)[ \t]*[=:][ \t]*(.*?)[ \t]*")
NRRD_LINE = re.compile(rb"([^:]*):([ =])(.*)")
NRRD_MAGIC = re.compile(rb"NRRD\d{4}")
BLANK = re.compile(rb"\r?\n\r?\n")
DATA_FILE, DATA_FILES = "ElementDataFile", ("data file", "datafile")
LOCAL = ("LOCAL", "Local", "local")
SERIES = re.compile(r"[^%]*%0?\d?d[^%]*")
"""Pattern of the names of numbered files."""


class HeaderText(NamedTuple):
    """What the text of a header says.

    Args:
        fields: By names in small letters; without comments and NRRD's keys of users.
        end: Bytes before the voxels, where they follow in the same file.
        files: Where the voxels lie elsewhere.
    """

    fields: dict[str, str]
    end: int
    files: tuple[Path, ...]


def read_header(path: Path) -> HeaderText:
    """Read the header of a NRRD or MetaImage.

    Args:
        path: Its ending says which of both.

    Raises:
        ImageError: If it is written in any but the plain way, or is longer than a header.
    """
    with path.open("rb") as file:
        text = file.read(HEADER + 1)
    try:
        header = (_read_metaimage if path.suffix.lower() in METAIMAGE else _read_nrrd)(path, text)
        _check_numbers(header.fields)
        return header
    except ValueError as error:
        raise ImageError(f"{path}: its header {error}. Copy it again, or save it as .nii.gz.") from error


def _read_metaimage(path: Path, text: bytes) -> HeaderText:
    fields: dict[str, str] = {}
    at = 0
    while DATA_FILE.lower() not in fields:
        if at >= min(len(text), HEADER):
            raise ValueError(f"has no line '{DATA_FILE} = ...' in its first {HEADER} bytes")
        end = text.find(b"\n", at) + 1 or len(text)
        line, at = _take_line(text[at:end]), end
        if line.strip():
            _add_metaimage_field(fields, line)
    told = fields[DATA_FILE.lower()]
    if told in LOCAL:
        return HeaderText(fields, at, ())
    if not told or "\ufffd" in told:
        raise ValueError(f"names no file of voxels: '{DATA_FILE} = {told}'")
    return HeaderText(fields, at, _list_files(path, told, text[at:]))


def _add_metaimage_field(fields: dict[str, str], line: bytes) -> None:
    found = META_LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"has a line that is not 'NAME = VALUE': {_quote(line)}")
    name, value = (part.decode("utf-8", "replace") for part in found.groups())
    if name.lower() == DATA_FILE.lower() and name != DATA_FILE:
        raise ValueError(f"writes '{name}' for '{DATA_FILE}'")
    if name.isalpha() and name.lower() not in MATRICES:
        _check_length(line, LONGEST_META)
    _add(fields, name, value)


def _read_nrrd(path: Path, text: bytes) -> HeaderText:
    blank = BLANK.search(text)
    if blank is None and len(text) > HEADER:
        raise ValueError(f"has no end in its first {HEADER} bytes")
    head, end = (text, len(text)) if blank is None else (text[: blank.start()], blank.end())
    if NRRD_MAGIC.match(head) is None:
        raise ValueError("does not begin with 'NRRD', though its name says so")
    fields: dict[str, str] = {}
    lines = head.rstrip(b"\n").split(b"\n")
    for number, raw in enumerate(lines[1:], 2):
        listed = _add_nrrd_field(fields, _take_line(raw))
        if listed:
            return HeaderText(fields, end, _list_files(path, listed, text[len(b"\n".join(lines[:number])) :]))
    told = [fields[name] for name in DATA_FILES if name in fields]
    if len(told) > 1 or not all(told):
        raise ValueError(f"does not name one file of voxels: 'data file: {', '.join(told)}'")
    return HeaderText(fields, end, _list_files(path, told[0], b"") if told else ())


def _add_nrrd_field(fields: dict[str, str], line: bytes) -> str:
    """Add what a line says; give the word that begins a list of files, where it is that."""
    found = NRRD_LINE.match(line)
    if line.startswith(b"#") or (found is not None and found[2] == b"="):
        return ""
    if found is None:
        raise ValueError(f"has a line that is not 'FIELD: VALUE': {_quote(line)}")
    name, value = (found[part].decode("utf-8", "replace") for part in (1, 3))
    if name.lower() not in FREE_NRRD:
        _check_length(line, LONGEST_NRRD)
    _add(fields, name, value.strip())
    return value.strip() if name.lower() in DATA_FILES and value.strip().startswith("LIST") else ""


def _check_numbers(fields: Mapping[str, str]) -> None:
    for name in LENGTHS:
        for text in re.split(r"[\s(),]+", fields.get(name, "")):
            try:
                number = float(text)
            except ValueError:
                continue  # 'none', or whatever the reader makes of it
            if abs(number) > LARGEST or (math.isnan(number) and name in MATRICES):
                raise ValueError(f"gives {text} among '{name}', which no length or direction is")


def _take_line(line: bytes) -> bytes:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if b"\0" in line or b"\r" in line:
        raise ValueError(f"is not text: {_quote(line)}")
    return line


def _check_length(line: bytes, longest: int) -> None:
    if len(line) > longest:
        raise ValueError(f"has a line of {len(line)} bytes, where {longest} are read: {_quote(line)}")


def _add(fields: dict[str, str], name: str, value: str) -> None:
    if name.lower() in fields:
        raise ValueError(f"says twice what '{name[:60]}' is")
    fields[name.lower()] = value


def _list_files(path: Path, told: str, behind: bytes) -> tuple[Path, ...]:
    """Give the files that a header names: one, those of a list behind it, or numbered ones."""
    names = [told]
    if told.startswith("LIST"):
        if len(behind) >= HEADER:
            raise ValueError(f"has a list of files longer than {HEADER} bytes")
        lines = [_take_line(line).decode("utf-8", "replace") for line in behind.strip(b"\r\n").split(b"\n")]
        names = [line.strip() for line in lines]
        if not all(names):
            raise ValueError("has a list of files with an empty line, or none")
    elif "%" in told:
        names = _number_names(told)
    if len(names) > MOST_FILES:
        raise ValueError(f"names {len(names)} files, where at most {MOST_FILES} are read")
    return tuple(path.parent / name for name in names)


def _number_names(told: str) -> list[str]:
    """Give the names that a pattern, its first and last number and its step stand for."""
    pattern, *numbers = told.split()
    if SERIES.fullmatch(pattern) is None or len(numbers) not in (3, 4):
        raise ValueError(
            f"names files of voxels by '{told[:60]}', where PATTERN%03d.raw FIRST LAST STEP is read"
        )
    try:
        first, last, step = map(int, numbers[:3])
        wanted = range(first, last + (1 if step > 0 else -1), step)
    except ValueError as error:
        raise ValueError(f"numbers its files of voxels by '{told[:60]}' ({error})") from error
    if len(wanted) > MOST_FILES or max(abs(first), abs(last)) >= 2**31:
        raise ValueError(f"names {len(wanted)} files, where at most {MOST_FILES} are read")
    return [pattern % number for number in wanted]


def _quote(line: bytes) -> str:
    return repr(line[:60].decode("latin1"))

"""JSON files that hold an object, and what is said where one cannot be read: file, place, reason and cure."""

from pathlib import Path
from typing import Any

from ingradient_pl.plain_values import read_json


def read_object(file: Path, cure: str, fault: type[ValueError] = ValueError) -> dict[str, Any]:
    """Read a JSON file that holds an object; a byte order mark in front of it is taken.

    Args:
        file: It must be there, and is refused where it is out of bounds, as :func:`read_json` does.
        cure: What to do about a file that cannot be read, a whole sentence.
        fault: Kind of the error.

    Raises:
        ValueError: Of the kind ``fault``, if it cannot be read or holds something else.
    """
    try:
        found = read_json(file, "utf-8-sig")
    except OSError as error:
        raise fault(f"{file} cannot be read ({error.strerror or error}). {cure}") from error
    except ValueError as error:
        raise fault(f"{file} cannot be read as JSON ({error}). {cure}") from error
    if not isinstance(found, dict):
        raise fault(f"{file} holds a {type(found).__name__} where a JSON object is wanted. {cure}")
    return found

"""Files that a case may have meant: other capitals, accents, endings, or words that programs add to names."""

import re
from collections.abc import Iterable
from pathlib import Path
from unicodedata import normalize

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.records import strip_ending

ADDED = re.compile(r"([-_. ](\d{4}|seg|segmentation|label|labels|mask|gt|roi|img|image|pred))+$")
"""What programs and people add to the name of a case."""


class NearNames:
    """The entries of a folder by what is left of their names.

    Args:
        folder: Where files are looked for; it need not exist.
        used: Entries that belong to a case already.
    """

    def __init__(self, folder: Path, used: Iterable[Path]) -> None:
        taken = set(used)
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        self.entries = {
            _core(strip_ending(entry)): entry
            for entry in reversed(entries)
            if not is_hidden(entry) and entry not in taken
        }

    def hint(self, name: str) -> str:
        """Say which entry a case may have meant; empty where there is none.

        Args:
            name: Of the case.
        """
        found = self.entries.get(_core(name))
        if found is None:
            return ""
        if found.is_dir():
            return f" There is a folder {found.name!r}: put the file that is in it in its place."
        if not found.is_file():
            return f" There is {found.name!r}, which is not a regular file."
        return f" There is {found.name!r}: is it that one, under another name or ending?"


def find_near(name: str, names: Iterable[str]) -> str:
    """Say which of several names a case may have under another one; empty where there is none.

    Args:
        name: Of the case.
        names: Those that there are.

    >>> find_near("Liver_1_0000", ["liver_1", "liver_2"])
    " Is it 'liver_1'?"
    """
    found = next((one for one in names if _core(one) == _core(name)), None)
    return "" if found is None else f" Is it {found!r}?"


def _core(name: str) -> str:
    return ADDED.sub("", normalize("NFC", name).casefold())

"""What C++ readers write to standard error by themselves is kept apart from what this program says."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STANDARD_ERROR = 2

BLOCK = rb"(?:WARNING|Warning|ERROR|Error|DEBUG): In [^\n]*\n(?:[^\n]+\n)*\n?"
"""Of ITK and GDCM: where in their source, then the text, then an empty line."""

LINE = rb"(?:\*\* ?(?:ERROR|WARNING)|Meta\w+:|MetaImage|TIFF\w*:|libpng |gdcm|itk|NIFTI|NrrdIO|\[nrrd\]|vnl_"
LINE += rb"| *ideal = \d+|\w+ required and not defined)[^\n]*\n"
"""Of the libraries that ITK brings along."""

NATIVE = re.compile(rb"^(?:" + BLOCK + rb"|" + LINE + rb")", re.MULTILINE)


CAUSES = re.compile(r"required and not defined|ideal = \d+ : actual = \d+|M_\w+: .*")
"""What tells more than the exception that comes of it, which may name a file that is there as missing."""


class Messages:
    """What readers printed while it was held back."""

    def __init__(self) -> None:
        self.native = ""

    @property
    def cause(self) -> str:
        """The first line that says what is wrong with a file; empty where none does."""
        lines = [line.strip() for line in self.native.splitlines()]
        return next((line for line in lines if CAUSES.search(line)), "")


@contextmanager
def hold_back_messages() -> Iterator[Messages]:
    """Leave out what C++ readers print; what other threads print meanwhile follows once they are done.

    Errors of theirs are raised as exceptions as well, whose text becomes part of our message; a warning of a
    header says nothing that is not looked at here, and names no case.
    """
    messages = Messages()
    try:
        kept = os.dup(STANDARD_ERROR)
    except OSError:  # it is closed, as for a service
        yield messages
        return
    with tempfile.TemporaryFile() as file:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(file.fileno(), STANDARD_ERROR)
        try:
            yield messages
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            file.seek(0)
            printed = file.read()
            rest = without_native(printed)
            messages.native = printed[: 2**16].decode(errors="replace")
            if rest:
                os.write(STANDARD_ERROR, rest)


def without_native(text: bytes) -> bytes:
    r"""Leave out the lines of C++ readers.

    Args:
        text: As it was printed.

    >>> without_native(b"WARNING: In itkX.cxx, line 5\nX (0x1): odd\n\nours\nMetaImage: M_Read failed\n")
    b'ours\n'
    """
    return NATIVE.sub(b"", text)

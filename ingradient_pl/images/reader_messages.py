"""What C++ readers print by themselves is kept apart from what this program says."""

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

BLOCK = rb"(?:WARNING|Warning|ERROR|Error|DEBUG): In [^\n]*\n(?:[^\n]+\n)*\n?"
"""Of ITK and GDCM: where in their source, then the text, then an empty line."""
LINE = rb"(?:\*\* ?(?:ERROR|WARNING)|Meta\w+:|MetaImage|TIFF\w*:|libpng |gdcm|itk|NIFTI|NrrdIO|\[nrrd\]|vnl_"
LINE += rb"| *ideal = \d+|\w+ required and not defined|\w+Decode\w*:"
LINE += rb"|Corrupt JPEG|Premature end of JPEG|Bogus |Inconsistent progression|Empty JPEG|Wrong JPEG|JPEG "
LINE += (
    rb"|Invalid (?:JPEG|SOS|progressive|component)|Not a JPEG|Unsupported (?:JPEG|marker)|Sampling factors"
)
LINE += rb"|(?:Quantization|Huffman|Arithmetic) table|Maximum supported image|Insufficient memory"
LINE += rb"|Warning: unknown JFIF)[^\n]*\n"
"""Of the libraries that ITK brings along."""
DAMAGE = re.compile(
    r"^(?:Corrupt|Premature end of|Bogus|Inconsistent progression|Invalid SOS).*", re.MULTILINE
)
"""What libjpeg says of pixels that it made up, and goes on."""
NATIVE = re.compile(rb"^(?:" + BLOCK + rb"|" + LINE + rb")", re.MULTILINE)
CAUSES = re.compile(r"required and not defined|ideal = \d+ : actual = \d+|M_\w+: .*")
"""What tells more than the exception that comes of it, which may name a file that is there as missing."""

OUTPUTS = 1, 2
"""Standard output and standard error, as the system numbers them."""


class Messages:
    """What readers printed while it was held back."""

    def __init__(self) -> None:
        self.native = ""

    @property
    def cause(self) -> str:
        """The first line that says what is wrong with a file; empty where none does."""
        lines = [line.strip() for line in self.native.splitlines()]
        return next((line for line in lines if CAUSES.search(line)), "")

    @property
    def damage(self) -> str:
        """The first line that says that voxels were made up; empty where none does."""
        found = DAMAGE.search(self.native)
        return "" if found is None else found[0].strip()


@contextmanager
def hold_back_messages() -> Iterator[Messages]:
    """Leave out what C++ readers print; what other threads print meanwhile follows once they are done.

    Errors of theirs are raised as exceptions as well, whose text becomes part of our message; a warning of a
    header says nothing that is not looked at here, and names no case.
    """
    messages = Messages()
    with ExitStack() as stack:
        for number, stream in zip(OUTPUTS, (sys.stdout, sys.stderr), strict=True):
            stack.enter_context(_hold_back(number, stream, messages))
        yield messages


@contextmanager
def _hold_back(number: int, stream: IO[str] | None, messages: Messages) -> Iterator[None]:
    try:
        kept = os.dup(number)
    except OSError:  # it is closed, as for a service
        yield
        return
    with tempfile.TemporaryFile() as file:
        _flush(stream)
        os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            _flush(stream)
            os.dup2(kept, number)
            os.close(kept)
            file.seek(0)
            printed = file.read()
            rest = without_native(printed)
            messages.native += printed[: 2**16].decode(errors="replace")
            if rest:
                os.write(number, rest)


def _flush(stream: IO[str] | None) -> None:
    """Have all that was printed so far written: by Python, and by C, whose buffers are its own."""
    if stream is not None and not stream.closed:
        stream.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


def without_native(text: bytes) -> bytes:
    r"""Leave out the lines of C++ readers.

    Args:
        text: As it was printed.

    >>> without_native(b"WARNING: In itkX.cxx, line 5\nX (0x1): odd\n\nours\nMetaImage: M_Read failed\n")
    b'ours\n'
    """
    return NATIVE.sub(b"", text)

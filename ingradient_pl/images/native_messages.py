"""What C++ readers (ITK, GDCM, libjpeg, ...) print: told apart from other text, and what in it matters."""

import re

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


def without_native(text: bytes) -> bytes:
    r"""Leave out the lines of C++ readers.

    Args:
        text: As it was printed.

    >>> without_native(b"WARNING: In itkX.cxx, line 5\nX (0x1): odd\n\nours\nMetaImage: M_Read failed\n")
    b'ours\n'
    """
    return NATIVE.sub(b"", text)

"""Files that PyTorch writes: what the disk refuses is an error, where PyTorch ends the process."""

import io
from collections.abc import Callable
from typing import IO, cast

from typing_extensions import Buffer, override


def write_torch(file: IO[bytes], write: Callable[[IO[bytes]], object]) -> None:
    """Have PyTorch write into an open file.

    Args:
        file: Open for writing.
        write: Called with what ``torch.save`` and its like can write to.

    Raises:
        OSError: If the disk does not take it.
    """
    writer = _Writer(file)
    write(cast(IO[bytes], writer))
    if writer.error is not None:
        raise writer.error


class _Writer(io.RawIOBase):
    """A file as ``torch.save`` writes to it: what the disk refuses is told afterwards.

    PyTorch ends the process where an error meets its own writer while it tidies up.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.file = file
        self.error: OSError | None = None

    @override
    def writable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True  # as torch.export wants it, which goes back to the start when it has written

    @override
    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go elsewhere in the file."""
        return self.file.seek(offset, whence)

    @override
    def write(self, content: Buffer) -> int:
        """Write, unless that failed before."""
        if self.error is None:
            try:
                self.file.write(content)
            except OSError as error:
                self.error = error
        return memoryview(content).nbytes

    @override
    def flush(self) -> None:
        """Do nothing: the file is flushed when it is whole."""

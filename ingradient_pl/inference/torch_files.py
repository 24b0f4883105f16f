"""Files that PyTorch writes: what the disk refuses is an error, where PyTorch ends the process."""

from collections.abc import Callable
from typing import IO, cast


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


class _Writer:
    """A file as ``torch.save`` writes to it: what the disk refuses is told afterwards.

    PyTorch ends the process where an error meets its own writer while it tidies up.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        """Write, unless that failed before."""
        if self.error is None:
            try:
                self.file.write(content)
            except OSError as error:
                self.error = error
        return memoryview(content).nbytes

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is whole."""

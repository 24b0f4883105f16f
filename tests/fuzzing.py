"""One mutation of a file after the other: read as the program reads it, judged by what comes of it."""

import random
import resource
import shutil
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from file_kinds import KINDS, UNKNOWN, same
from mutations import harm_bytes, harm_value

READ, REFUSED = "read", "refused"
TRACEBACK, UNNAMED, SILENT, HANG, MEMORY = "traceback", "unnamed", "silent", "hang", "memory"
FAULTS = (TRACEBACK, UNNAMED, SILENT, HANG, MEMORY)
LONGEST = 20
"""Seconds that a reading may take."""

ROOM = 2 * 2**30
"""Bytes that it may take beside what the process has."""


class Verdict(NamedTuple):
    """What came of a mutation.

    Args:
        kind: Of the file.
        number: Of the mutation.
        file: Name of the file.
        harm: What was done to it.
        outcome: READ, REFUSED or one of FAULTS.
        detail: What was said.
    """

    kind: str
    number: int
    file: str
    harm: str
    outcome: str
    detail: str


class Hung(BaseException):
    """A reading that took too long; no reader catches it."""


class Fuzzer:
    """Files of one kind in a folder of their own, harmed and read again and again.

    Args:
        name: Of the kind.
        folder: Where to.
        seed: From which, with the number of a mutation, all follows.
    """

    def __init__(self, name: str, folder: Path, seed: int = 0) -> None:
        self.name, self.kind, self.folder, self.seed = name, KINDS[name], folder, seed
        folder.mkdir(parents=True)
        self.files = self.kind.make(folder)
        self.whole = {file: file.read_bytes() for file in self.files}
        self.there = self._entries()
        self.answer = self.kind.read(folder)

    def judge(self, number: int) -> Verdict:
        """Harm a file, read it, and put it right again."""
        draws = random.Random(f"{self.seed} {self.name} {number}")
        file = draws.choice(self.files)
        try:
            harm = self._harm(file, draws)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome, detail = self._outcome(file)
        finally:
            self._restore()
        return Verdict(self.name, number, file.name, harm, outcome, detail)

    def _harm(self, file, draws):
        codec = self.kind.codec
        if codec is not None and draws.random() < 0.5:
            harm, plain = harm_value(codec.load(file), draws)
            try:
                codec.dump(file, plain)
            except (ValueError, OverflowError, TypeError, RecursionError):  # no such value in this format
                file.write_bytes(b"")
            return f"value {harm}"
        harm, content = harm_bytes(self.whole[file], draws)
        file.write_bytes(content)
        return harm

    def _outcome(self, file):
        try:
            with limits():
                found = self.kind.read(self.folder)
        except Hung:
            return HANG, ""
        except (ValueError, OSError) as error:
            return _judge_message(error, {path.name for path in self.there if path.is_file()})
        except MemoryError as error:
            return MEMORY, str(error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return TRACEBACK, f"{type(error).__name__}: {error}"[:300]
        return self._compare(found)

    def _compare(self, found):
        if self.kind.says is None:
            return (READ, "") if _same(found, self.answer) else (SILENT, "another answer")
        try:
            with limits(), warnings.catch_warnings():
                warnings.simplefilter("error")
                said = self.kind.says(self.folder)
        except (Exception, Hung):  # noqa: BLE001 - the other program does not read it
            said = UNKNOWN
        return (READ, "") if _same(found, said) else (SILENT, f"{found} {said}"[:2000])

    def _entries(self):
        return {path for path in self.folder.rglob("*") if ".configs" not in path.parts}

    def _restore(self):
        for file, content in self.whole.items():
            file.write_bytes(content)
        for path in self._entries() - self.there:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _same(one, two):
    try:
        return same(one, two)
    except RecursionError:
        return False


def _judge_message(error, names):
    text = str(error)
    told = f"{type(error).__name__}: {text}"[:300]
    if type(error).__module__ in ("builtins", "json.decoder", "zipfile") and type(error) not in (
        ValueError,
        OSError,
        FileNotFoundError,
        PermissionError,
    ):
        return TRACEBACK, told
    if not any(name in text for name in names):
        return UNNAMED, told
    return (REFUSED, told) if "\n" not in text.strip() else (UNNAMED, f"several lines: {told}")


@contextmanager
def limits():
    """Bound time and memory of what is done inside."""

    def stop(number, frame):
        raise Hung

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, hard))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

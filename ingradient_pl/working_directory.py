"""Classes of one's own, found in the folder where a command is started by those who look for a named one."""

import importlib.machinery
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

LOOKING = (
    *("ingradient_pl.spec.", "ingradient_pl.lightning.targets.", "ingradient_pl.commands.dotted_name."),
    *("ingradient_pl.cli.suggestions.", "jsonargparse._util."),
    *("hydra._internal.utils.", "hydra._internal.instantiate."),
    *("cloudpickle.", "distributed.protocol.pickle.", "submitit.core.utils."),
)
"""Modules that import what a config or an option names, or work that is sent to another process."""


class WorkingDirectory:
    """Finds modules of a folder for those who import what a user names, and for modules of that folder.

    Put on Python's path, the folder would also answer for each package that some library would like to have,
    for its plugins and their entry points: a data set that somebody else packed could bring them, and be run.

    Args:
        folder: Absolute path.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module or package that lies in the folder itself.

        Args:
            name: Of the module.
            path: Of the package that it lies in, whose modules are found without this class.
            target: Not used.
        """
        if path is not None or not self._is_looked_for():
            return None
        return importlib.machinery.PathFinder.find_spec(name, [self.folder])

    def _is_looked_for(self) -> bool:
        asking = next(_frames_outside_importlib(), None)
        if asking is None:
            return False
        file = Path(asking.f_code.co_filename)
        own = file.is_relative_to(self.folder) and not file.is_relative_to(sys.prefix)
        return own or f"{asking.f_globals.get('__name__')}.".startswith(LOOKING)


def _frames_outside_importlib() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name != __name__ and name.split(".")[0] not in ("importlib", "_frozen_importlib"):
            yield frame
        frame = frame.f_back


def join_working_directory(folder: str | None = None) -> None:
    """Find classes that a user names in the working directory too, last: nothing there hides a package.

    A console script's path begins with the script's folder, where ``python -m`` begins with this one.

    Args:
        folder: Absolute path of another folder, such as that of the process that sent this one its work.
    """
    place = os.getcwd() if folder is None else folder  # noqa: PTH109 - a text, as sys.path holds them
    known = find_joined() == place
    if not known and not {"", place} & set(sys.path):
        sys.meta_path.append(WorkingDirectory(place))


def find_joined() -> str | None:
    """Give the folder whose classes this process finds by :func:`join_working_directory`; None for none."""
    return next((one.folder for one in sys.meta_path if isinstance(one, WorkingDirectory)), None)


class _Joined(str):
    """A folder that is joined as soon as it reaches another process, before anything behind it is read."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rejoin, (str(self),)


def _rejoin(folder: str) -> "_Joined":
    join_working_directory(folder)
    return _Joined(folder)


@dataclass(frozen=True)
class InWorkingDirectory:
    """A function for other processes, which find the classes of this one's working directory as well.

    Args:
        function: What they call.
        folder: What was joined here; pickled before the function, whose parts may be classes of it.
    """

    function: Callable[..., Any]
    folder: str | None = field(default_factory=find_joined)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Args:
            args: Of the function.
            kwargs: Of the function.
        """
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _send, (None if self.folder is None else _Joined(self.folder), self.function)


def _send(folder: str | None, function: Callable[..., Any]) -> InWorkingDirectory:
    return InWorkingDirectory(function, folder)

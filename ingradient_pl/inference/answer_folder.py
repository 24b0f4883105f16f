"""Folders of segmentations: nothing of the user's is written over, and each tells what it was made from."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.layouts import DESCRIPTION, RAW_FOLDERS
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.files import hold_alone, replace_file
from ingradient_pl.inference.answer_files import (
    OutputError,
    answer_parts,
    answer_task,
    check_folder,
    check_targets,
    input_files,
    map_files,
)
from ingradient_pl.inference.archive_sums import sum_file
from ingradient_pl.inference.dice_estimates import remove_estimates
from ingradient_pl.inference.probabilities import ENDING
from ingradient_pl.plain_values import read_json
from ingradient_pl.store.metadata import find_store
from ingradient_pl.task import Task

WRITTEN_BY, ANSWERS = "written_by", "answers"
BESIDE_ANSWERS = "ingradient_pl predict", "ingradient_pl postprocess"
"""Entries of ``dataset.json`` that tell a folder of answers from a data set."""


class AnswerFolder:
    """A folder for segmentations, described by a ``dataset.json`` of its own.

    Args:
        folder: Where the answers go; it is made.
        task: What their integers mean.
        model: What they come from, as :func:`identify` names it.
    """

    def __init__(self, folder: Path, task: Task, model: str = "") -> None:
        self.folder, self.task, self.model = Path(folder), answer_task(task), model

    def begin(self, cases: Sequence[CaseFiles], targets: Mapping[str, Path], *, resume: bool) -> list[str]:
        """Make the folder and write down what each answer will be made from.

        Args:
            cases: What will be segmented.
            targets: The file of each case.
            resume: Whether answers that are there already are left as they are.

        Returns:
            What to tell the user: answers that are made again although they are there, and what lay beside
            them of another model, which is deleted.

        Raises:
            OutputError: If a file in the way is not an answer of ours to the very same source, or the
                folder belongs to a data set.
        """
        maps = {case.name: self.folder / f"{case.name}{ENDING}" for case in cases}
        parts = {name: answer_parts(target, self.task) for name, target in targets.items()}
        files = [file for answer in parts.values() for file in answer]
        check_targets([*files, *maps.values(), self.folder / DESCRIPTION], input_files(cases))
        self._refuse_beside(cases)
        refuse_data_set(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        told, stale = [], list[str]()
        with self._change_record() as held:
            for case in cases:
                wanted = self._describe(case)
                there = held.get(case.name)
                if there is None and maps[case.name].exists() and not resume:
                    raise OutputError(
                        f"{maps[case.name]} is there already. Name another folder, or delete it."
                    )
                present = [file for file in parts[case.name] if file.is_file()]
                if present:
                    told += self._judge(present, there, wanted, resume=resume)
                if not all(file.is_file() for file in parts[case.name]) or (there is not None and not resume):
                    held[case.name] = wanted
                    stale += [case.name] if there is not None and there.get("model") != self.model else []
        for name in stale:
            told += self._remove_beside(targets[name], maps[name], name)
        return told

    def _describe(self, case: CaseFiles) -> dict[str, Any]:
        """Give what an answer is the answer to."""
        told = {"sources": [str(file.resolve()) for file in case.images], "model": self.model}
        return {**told, "channels": list(case.channels)} if case.channels else told

    def _remove_beside(self, target: Path, probabilities: Path, name: str) -> list[str]:
        """Delete what lies beside an answer and is of another model than the answer will be; say so."""
        found = [file for file in (*map_files(target), probabilities) if file.is_file()]
        for file in found:
            file.unlink()
        found += remove_estimates(self.folder, name)
        return [f"{', '.join(map(str, found))}: deleted, of another model."] if found else []

    def finish(self, targets: Mapping[str, Path]) -> None:
        """Write down how large the finished answers are, so that one cut short later is noticed.

        Args:
            targets: The file of each case, by name.
        """
        with self._change_record() as held:
            for name, file in targets.items():
                parts = answer_parts(file, self.task)
                if name in held and all(part.is_file() for part in parts):
                    held[name]["bytes"] = _sizes(parts)

    def _refuse_beside(self, cases: Sequence[CaseFiles]) -> None:
        """Refuse answers among the images and labels of a data set, which they would become part of."""
        places = {file.resolve().parent for file in input_files(cases)}
        if self.folder.resolve() in places and (len(cases) > 1 or self.folder.resolve().name in RAW_FOLDERS):
            raise OutputError(
                f"{self.folder} is the folder of images or labels. Name another for the answers."
            )

    def _judge(
        self, parts: Sequence[Path], there: dict[str, Any] | None, wanted: dict[str, Any], *, resume: bool
    ) -> list[str]:
        """Decide about an answer of which files are there: leave it, make it again, or refuse."""
        target = parts[0]
        if there is None:
            if resume:
                return []
            raise OutputError(
                f"{target} is there already and was not written by 'ingradient predict'. Name another "
                "folder, or delete it; --resume leaves out cases that are there."
            )
        if there.get("sources") != wanted["sources"]:
            raise OutputError(
                f"{target} is the answer to {_list_sources(there.get('sources', []))}, not to "
                f"{_list_sources(wanted['sources'])}. Name another folder, or one of the two differently."
            )
        sizes = _sizes(parts)
        why = "it is of another model" if there.get("model") != self.model else ""
        if there.get("channels") != wanted.get("channels"):
            why = "its channels were taken in another order"
        if not all(part.stat().st_size for part in parts) or there.get("bytes", sizes) != sizes:
            why = "it was cut short or changed since"
        if not resume or not why:
            return []
        target.unlink()
        return [f"{target} is made again: {why}."]

    @contextlib.contextmanager
    def _change_record(self) -> Iterator[dict[str, Any]]:
        """Give what is written down, to be changed; other processes that share the folder wait."""
        file = self.folder / DESCRIPTION
        with hold_alone(self.folder):
            held = _read(file).get(ANSWERS, {}) if file.is_file() else {}
            held = dict(held) if isinstance(held, dict) else {}
            yield held
            described = {**self.task.described, WRITTEN_BY: BESIDE_ANSWERS[0], ANSWERS: held}
            replace_file(file, json.dumps(described, indent=2, sort_keys=False).encode())


def refuse_data_set(folder: Path, content: str = "segmentations") -> None:
    """Refuse a folder that is a data set or a store for answers.

    Args:
        folder: Where answers shall go; it need not be there.
        content: What goes there, for the message.

    Raises:
        OutputError: If its ``dataset.json`` is not one that was written beside answers, or it is no folder.
    """
    check_folder(folder, content)
    store = find_store(folder)
    if store is not None:
        raise OutputError(f"{store} is a case store. Name another folder for the {content}.")
    file = folder / DESCRIPTION
    if not file.is_file():
        return
    held = _read(file)
    if held.get(WRITTEN_BY) not in BESIDE_ANSWERS:
        raise OutputError(
            f"{file} describes a data set, not predictions of ours: nothing is written over it. Name "
            f"another folder for the {content}."
        )


def holds_answers(folder: Path) -> bool:
    """Whether a folder's description says that segmentations were written into it by us.

    Args:
        folder: It need not exist.
    """
    file = folder / DESCRIPTION
    try:
        return file.is_file() and read_json(file).get(WRITTEN_BY) in BESIDE_ANSWERS
    except (OSError, ValueError, AttributeError):
        return False


def copy_description(file: Path, target: Path) -> None:
    """Write what a folder's integers mean beside answers made of its files.

    Args:
        file: The ``dataset.json`` of the folder that was read.
        target: That of the answers.
    """
    held = {key: value for key, value in _read(file).items() if key != ANSWERS}
    replace_file(target, json.dumps({**held, WRITTEN_BY: BESIDE_ANSWERS[1]}, indent=2).encode())


def read_models(folder: Path) -> dict[str, str]:
    """Read which model each answer of a folder is of, as :func:`identify` names it, by case.

    Args:
        folder: It need not be there; what it does not tell is left out.
    """
    answers = _read(folder / DESCRIPTION).get(ANSWERS, {})
    told = answers if isinstance(answers, dict) else {}
    return {name: str(one["model"]) for name, one in told.items() if isinstance(one, dict) and "model" in one}


def identify(files: Sequence[Path]) -> str:
    """Name a model by the check sums of its files.

    Args:
        files: Its checkpoints.
    """
    return "+".join(f"{sum_file(path):08x}" for path in files)


def _sizes(parts: Sequence[Path]) -> int | list[int]:
    """Give the bytes of an answer's file, or of each of several."""
    sizes = [part.stat().st_size for part in parts]
    return sizes[0] if len(sizes) == 1 else sizes


def _read(file: Path) -> dict[str, Any]:
    try:
        plain = read_json(file, "utf-8-sig")
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _list_sources(sources: Sequence[object]) -> str:
    """List files; of a DICOM series that is its folder."""
    return ", ".join(
        f"the DICOM series {source}" if Path(str(source)).is_dir() else str(source) for source in sources
    )

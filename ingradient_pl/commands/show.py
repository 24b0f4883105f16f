"""``ingradient show``: a case store -> a picture of each labelled case in three planes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ingradient_pl.commands.inputs import AnyPath, AnyStore, open_store
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference.answer_folder import refuse_data_set
from ingradient_pl.inference.case_pictures import check_pictures, write_picture
from ingradient_pl.messages import UsageError, say, say_failure
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.store.stored_cases import stored_cases

FAULTS = (ValueError, OSError)
NAMED = 5


def show(store: AnyStore, output: AnyPath, cases: str | list[str] | None = None) -> list[Path]:
    """Draw the cases of a store in three planes through the centre of their labels, before training.

    Each picture has a row for every channel and one with the labels' outlines over the first; voxels are as
    large as they are, letters tell the patient's sides, a bar some millimetres. Wrong labels, swapped sides
    and wrong voxel sizes are found so.

    Args:
        store: Folder written by prepare, or the store itself.
        output: Folder for the pictures, CASE.png each.
        cases: Names of cases (a,b); if not given, all that have a label.

    Returns:
        The pictures, in the order of the cases. A case that cannot be read is named and does not hold up the
        others.

    Raises:
        StoreError: If there is no store of this version.
        UsageError: If it has no such case, or none with a label.
        OutputError: If the folder is the store's, or a data set's.
        OSError: If no picture can be written to it.
    """
    opened, folder = open_store(store), Path(output)
    found = stored_cases(opened.path, opened.task)
    chosen = _choose(found.cases, cases, opened.path)
    refuse_data_set(folder, "pictures")
    check_pictures(chosen, folder, [opened.path])
    folder.mkdir(parents=True, exist_ok=True)  # or nothing can be drawn
    faults = [fault for fault in found.faults if cases is None]
    written = []
    for case in tqdm(chosen, unit="case", disable=not sys.stderr.isatty()):
        try:
            written.append(write_picture(case, None, found.task, folder))
        except FAULTS as error:
            if isinstance(error, OSError) and Path(str(error.filename)).parent == folder:
                raise  # no picture can be written
            say_failure(f"{case.name}: {error}")
    for fault in faults:
        say_failure(fault)
    unlabelled = sum(case.label is None for case in found.cases) if cases is None else 0
    bare = f"{say_count(unlabelled, 'case')} without a label"
    more = f"; left out: {bare}, to be named with --cases" if unlabelled else ""
    say(f"{say_count(len(written), 'picture')} in {folder}{more}")
    return written


def _choose(there: Sequence[CaseFiles], names: str | list[str] | None, store: Path) -> list[CaseFiles]:
    """Give the cases that are asked for: by default those with a label."""
    if names is None:
        labelled = [case for case in there if case.label is not None]
        if not labelled:
            raise UsageError(
                f"None of the {len(there)} cases of {store} has a label. Name those whose images you want to "
                "see: --cases a,b"
            )
        return labelled
    known = {case.name: case for case in there}
    wanted = [names] if isinstance(names, str) and names in known else names
    wanted = wanted.split(",") if isinstance(wanted, str) else wanted
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise UsageError(
            f"{store} holds no case {', '.join(map(repr, unknown[:NAMED])) or 'of no name'}; it holds "
            f"{len(known)}: {name_some(known)}."
        )
    return [known[name] for name in dict.fromkeys(wanted)]

"""The layout of the older library: an npz of voxels and a pickle of properties for each case."""

from pathlib import Path

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.records import CaseFiles, Fault, SourceError
from ingradient_pl.images import pairs
from ingradient_pl.phrases import name_some


def holds_pairs(folder: Path) -> bool:
    """Whether a folder holds npz files of the older library's.

    Args:
        folder: Searched itself, not the folders in it.
    """
    return any(entry.suffix.lower() == ".npz" and not is_hidden(entry) for entry in folder.iterdir())


def pairs_layout(folder: Path) -> Layout:
    """Match npz and pkl files: by name, or in sorted order where no two share a name.

    Args:
        folder: Holds as many .npz as .pkl files.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if not is_hidden(entry)]
    arrays = [entry for entry in entries if entry.suffix.lower() == ".npz"]
    pickles = [entry for entry in entries if entry.suffix.lower() == ".pkl"]
    alone = sorted({path.stem for path in arrays} ^ {path.stem for path in pickles})
    if len(arrays) != len(pickles) or (alone and len(alone) < len(arrays) + len(pickles)):
        # Where no name has its partner, both were named by a rule of their own: order tells
        raise SourceError(
            f"{folder}: {len(arrays)} .npz and {len(pickles)} .pkl files; each needs its partner. "
            f"Alone: {name_some(alone)}."
        )
    cases, faults = [], []
    for array, properties in zip(arrays, pickles, strict=True):
        made = pair_case(array, properties)
        if isinstance(made, Fault):
            faults.append(made)
        else:
            cases.append(made)
    return Layout(cases, tuple(faults))


def pair_case(array: Path, properties: Path) -> CaseFiles | Fault:
    """Give the case of an npz and its pkl; its label is the npz where that holds one.

    Args:
        array: The npz: ``x``, and ``y`` where there is a label.
        properties: The pickle with spacing, origin and direction.
    """
    try:
        held = pairs.keys(array)
    except Exception as error:  # noqa: BLE001 - a damaged archive fails in many ways: one case, not all
        return Fault(array.stem, array, f"not a readable npz ({error}). Save or copy it again.")
    return case_of(array.stem, (array, properties), array if "y" in held else None)

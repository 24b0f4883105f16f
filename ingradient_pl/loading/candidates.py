"""A case as draws see it: its grid, and voxels of the labels that it annotates."""

from collections.abc import Mapping, Sequence
from functools import partial

from ingradient_pl.draws.records import Candidate
from ingradient_pl.store.annotation import annotates
from ingradient_pl.store.store_union import AnyCases, StoreUnion


def view_case(store: AnyCases, name: str) -> Candidate:
    """Give a case as draws see it: only what it annotates is drawn.

    Args:
        store: With the case.
        name: Of the case.
    """
    case, task = store.cases[name], store.task
    told = [integers for label, integers in task.foreground.items() if annotates(case, label)]
    inside = {integer for integers in told for integer in integers}
    return Candidate(
        name,
        case.grid,
        partial(store.foreground, name),
        tuple(value for value in case.classes if value in inside),
        None if task.ignore is None else partial(store.annotated_voxels, name),
        count_regions(told, case.voxels) if task.has_regions else None,
        store.store_of(name) if isinstance(store, StoreUnion) else "",
    )


def count_regions(regions: Sequence[Sequence[int]], voxels: Mapping[int, int]) -> tuple[dict[int, int], ...]:
    """Give how many voxels each integer has, for each region that a case holds.

    Args:
        regions: Integers of each region.
        voxels: How many voxels each integer has in the case.

    >>> count_regions([(1, 2), (2,), (3,)], {1: 50, 2: 4})
    ({1: 50, 2: 4}, {2: 4})
    """
    counts = ({value: voxels[value] for value in region if voxels.get(value)} for region in regions)
    return tuple(region for region in counts if region)

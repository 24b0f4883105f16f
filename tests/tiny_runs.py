"""A store of a few phantoms and a plan whose network trains in no time."""

import dataclasses

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore


def write_tiny_store(folder):
    """Prepare six phantoms of three patients."""
    raw = write_phantoms(folder / "raw", 6, (20, 24, 28), (1.5, 1.0, 1.0))
    build_store(read_source(raw), folder / "store", progress=False)
    return folder / "store"


def write_tiny_plan(store):
    """Plan for a store, and make the network small."""
    plan = Planner().plans(Fingerprint.of_store(CaseStore(store)))["3d_fullres"]
    small = dataclasses.replace(
        plan,
        patch=(16, 16, 16),
        batch_size=2,
        widths=(4, 6, 8),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        kernels=((3, 3, 3),) * 3,
        blocks=(1, 1, 1),
        decoder_blocks=(1, 1),
    )
    file = store.parent / "plan.yaml"
    write_plan(file, small)
    return file

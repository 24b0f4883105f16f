"""While tests run, every call into the core is held to its shape annotations."""

import gc
import locale
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compositions
import jaxtyping
import pytest
import shapes

# The shell is left out: its arguments are Lightning's, and tests hand it stand-ins.
CORE = [
    "images",
    "datasets",
    "store",
    "draws",
    "transforms",
    "networks",
    "losses",
    "metrics",
    "planning",
    "loading",
    "inference",
    "nnunet",
    "finetuning",
    "pictures",
]

# Without bytecode on disk each process of the suite compiles the package anew, with its checks for 10 seconds
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
jaxtyping.install_import_hook([f"ingradient_pl.{unit}" for unit in CORE], "shapes.check")
vars(jaxtyping)["jaxtyped"] = shapes.jaxtyped


compositions.keep_compositions()


def _no_curves(*_: object) -> Any:
    import numpy as np

    return np.zeros((8, 8, 3), np.uint8)


def _no_levels(*_: object) -> Any:
    import torch

    return torch.zeros(3, 8, 8, dtype=torch.uint8)


BLANK = {("epoch_log", "draw_progress"): _no_curves, ("layer_images", "draw_levels"): _no_levels}
DRAWING: dict[str, Any] = {}
"""What draws the pictures of a run, by name."""

SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    found = SHARED / name
    if not found.is_dir():
        pytest.skip(f"no real data: {name} is not beside the checkout")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave what is imported out of the garbage that is looked for, then and in every test.

    Torch's fifty loggers hand on to one: pytest would add its handler to each, six times a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.")]:
            logging.getLogger(name).propagate = True
            logging.getLogger(name).handlers.clear()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each process of xdist begin with files of slow tests; short ones are what is shared out last."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if count == 1:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = {
        file: sum(item.get_closest_marker("slow") is not None for item in of) for file, of in files.items()
    }
    shares: list[list[pytest.Item]] = [[] for _ in range(count)]
    for number, file in enumerate(sorted(files, key=slow.__getitem__, reverse=True)):
        share = shares[number % count] if slow[file] else min(shares, key=len)
        share.extend(files[file])
    items[:] = [item for share in sorted(shares, key=len, reverse=True) for item in share]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let runs leave blank pictures (drawing is a third of a tiny run), but for tests marked ``pictures``.

    Weights that nobody seeds start alike, whatever tests came before.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        # torch.manual_seed writes down the stack of its caller for devices that may come, twice
        torch.default_generator.manual_seed(0)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(0)
    for (module, name), blank in BLANK.items():
        callback = sys.modules.get(f"ingradient_pl.lightning.callbacks.{module}")
        if callback is not None:
            draw = DRAWING.setdefault(name, getattr(callback, name))
            setattr(callback, name, draw if item.get_closest_marker("pictures") else blank)


@pytest.fixture(autouse=True)
def _locale_as_before() -> Iterator[None]:
    """Undo what SimpleITK does when a test writes a DICOM series with it."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.fixture
def hippocampus() -> Path:
    return _shared("data/Dataset004_Hippocampus")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets."""
    return _shared("data")


@pytest.fixture
def reference_model() -> Path:
    """A model folder that nnU-Net trained."""
    return _shared("reference/nnunet_hippocampus")


@pytest.fixture(scope="session")
def raw_phantoms(tmp_path_factory) -> Path:
    """Six phantoms of three patients in nnU-Net's raw layout."""
    from ingradient_pl.datasets.phantom_files import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "raw", 6, (20, 24, 28), (1.5, 1.0, 1.0))


@pytest.fixture(scope="session")
def phantom_store(raw_phantoms) -> Path:
    """The phantoms as a case store."""
    from ingradient_pl.datasets.sources import read_source
    from ingradient_pl.store.build import build_store

    store = raw_phantoms.parent / "store"
    build_store(read_source(raw_phantoms), store)
    return store


@pytest.fixture(scope="session")
def phantom_plan(phantom_store) -> Path:
    """A plan for the phantoms whose network trains in no time."""
    from tiny_runs import write_tiny_plan

    return write_tiny_plan(phantom_store)


@pytest.fixture(scope="session")
def quick(phantom_store, phantom_plan) -> list[str]:
    """Overrides for a run of the shipped config that takes a second; to be copied, not changed."""
    return [
        f"store={phantom_store}",
        f"plan={phantom_plan}",
        "trainer=cpu",
        "epochs=2",
        "batches_per_epoch=2",
        "data.workers=0",
        "trainer.log_every_n_steps=1",
    ]

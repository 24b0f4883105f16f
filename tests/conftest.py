"""While tests run, every call into the core is held to its shape annotations."""

import locale
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

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

install_import_hook([f"ingradient_pl.{unit}" for unit in CORE], "shapes.check")

SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    found = SHARED / name
    if not found.is_dir():
        pytest.skip(f"no real data: {name} is not beside the checkout")
    return found


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
    from ingradient_pl.datasets.phantom import write_phantoms

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

"""While tests run, every call into the core is held to its shape annotations."""

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# The shell is left out: its arguments are Lightning's, and tests hand it stand-ins.
CORE = [
    "cases",
    "sampling",
    "transforms",
    "networks",
    "losses",
    "metrics",
    "planning",
    "inference",
    "pictures",
]

install_import_hook([f"ingradient_pl.{unit}" for unit in CORE], "shapes.check")

SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    found = SHARED / name
    if not found.is_dir():
        pytest.skip(f"no real data: {name} is not beside the checkout")
    return found


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

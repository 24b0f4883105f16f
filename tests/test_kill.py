"""A few of the moments of scripts/kill: killed within its first save, told to stop, and the same in the end."""

import random
import tempfile
from pathlib import Path

import pytest
from killing import Chain, differences

MEMORY = Path("/dev/shm")
"""Another disk than the temporary folder is on, where there is one."""


@pytest.mark.slow
def test_a_run_that_is_harmed_ends_as_one_that_was_left_alone(phantom_store, phantom_plan, tmp_path):
    line = [f"store={phantom_store}", f"plan={phantom_plan}", "logger=none", "data.workers=0"]
    alone = Chain(line, tmp_path / "disk", tmp_path / "alone")
    assert not alone.finish()
    draws = random.Random(0)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as other_disk:
        chain = Chain(line, Path(other_disk), tmp_path / "harmed")
        for kind in ("SIGKILL within a save", "SIGTERM to one"):
            moment = chain.harm(kind, draws)
            assert not moment.faults
            assert moment.lost <= 1
        assert not chain.finish()
        assert not differences(chain.run, alone.run)

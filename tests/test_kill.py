"""One of the moments of scripts/kill: killed within its first save, a run is the same in the end."""

import random
import tempfile
from pathlib import Path

import processes
import pytest
from killing import Chain, differences

MEMORY = Path("/dev/shm")
"""Another disk than the temporary folder is on, where there is one."""


@pytest.mark.slow
def test_a_run_that_is_harmed_ends_as_one_that_was_left_alone(phantom_store, phantom_plan, tmp_path):
    line = [f"store={phantom_store}", f"plan={phantom_plan}", "logger=none", "data.workers=0"]
    alone = Chain(line, tmp_path / "disk", tmp_path / "alone", processes.fork)
    assert not alone.finish()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as other_disk:
        chain = Chain(line, Path(other_disk), tmp_path / "harmed", processes.fork)
        moment = chain.harm("SIGKILL within a save", random.Random(0))
        assert not moment.faults
        assert moment.lost <= 1
        assert not chain.finish()
        assert not differences(chain.run, alone.run)

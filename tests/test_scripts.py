"""Scripts that people call by hand leave alone what is not theirs."""

import subprocess
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "scripts" / "demo"


@pytest.mark.skipif(not DEMO.exists(), reason="the scripts are those of a checkout")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_demo_does_not_delete_what_it_did_not_make(tmp_path, kind):
    mine = tmp_path / "my [data]"
    mine.mkdir()
    (mine / "scan.nii.gz").write_text("years of work")
    place = mine if kind == "folder" else mine / "scan.nii.gz"
    done = subprocess.run([DEMO, place], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(place) in done.stderr
    assert "Name another folder" in done.stderr
    assert (mine / "scan.nii.gz").read_text() == "years of work"

"""JSON files that hold an object are read by one function: file, line, column and cure are told."""

import pytest

from ingradient_pl.cli.crossval_state import read_state
from ingradient_pl.cli.sweep_files import SWEEP, read_sweep
from ingradient_pl.cli.sweep_table import read_score
from ingradient_pl.datasets.descriptions import DESCRIPTION, read_description
from ingradient_pl.inference.dice_estimates import ESTIMATES, read_estimates
from ingradient_pl.lightning.record_file import RECORD, read_record
from ingradient_pl.lightning.run_files import CASCADE, CROSSVAL, read_folds_state
from ingradient_pl.store.metadata import DATASET, read_dataset

READERS = {
    DESCRIPTION: read_description,
    f"store/{DATASET}": read_dataset,
    RECORD: read_record,
    CROSSVAL: read_state,
    CASCADE: lambda folder: read_folds_state(folder / CASCADE),
    SWEEP: read_sweep,
    "score.json": lambda folder: read_score(folder / "score.json"),
    ESTIMATES: read_estimates,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'\xef\xbb\xbf{"a": 1,\n "b": }', r" cannot be read as JSON \(line 2, column 7: .+\)\. [A-Z].+\.$"),
        (b"", r" cannot be read as JSON \(line 1, column 1: .+\)\. [A-Z].+\.$"),
        (b'{"a": 1, "a": 2}', r" cannot be read as JSON \(it names 'a' a second time\)\. [A-Z].+\.$"),
        (b'{"a": "\xff"}', r" cannot be read as JSON \(it is not text in utf-8.*\)\. [A-Z].+\.$"),
        (b"[1]", r" holds a list where a JSON object is wanted\. [A-Z].+\.$"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_place_and_a_cure(tmp_path, name, content, told):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file}{told}"):
        READERS[name](file.parent)


def test_a_folder_in_its_place_is_told(tmp_path):
    (tmp_path / "score.json").mkdir()
    with pytest.raises(ValueError, match=r"score\.json cannot be read .*is a folder.*Delete it"):
        read_score(tmp_path / "score.json")

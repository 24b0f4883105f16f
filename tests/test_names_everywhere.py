"""Names of cases, files and folders that mean something elsewhere, through what works on finished answers."""

import json

import nibabel
import numpy as np
import pytest
from folder_names import TELLING
from hostile_names import HARMLESS

import ingradient_pl as ip
from ingradient_pl.messages import UsageError

NAMES = [
    *HARMLESS,
    *("scan_2019", "pancreas_0001", "x_0000", "a.nii.gz", "A.NII.GZ", "ct.tar.gz", "0", "007", "1e3", "true"),
    *(
        "null",
        "nan",
        "last.ckpt",
        "e\u0301a",
        " leading",
        "trailing ",
        "(1)",
        "100%",
        "!x",
        "^",
        "a==b",
        "x" * 215,
    ),
]
LITTER = (".DS_Store", "._scan_2019.nii.gz", "Thumbs.db")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Predictions and labels of every name, in folders with names of the same kind."""
    folder = tmp_path_factory.mktemp("names") / "Projekt (alt), [x]=ü"
    generator = np.random.default_rng(0)
    for side in ("pre dictions", "la bels"):
        (folder / side).mkdir(parents=True)
        for name in NAMES:
            voxels = generator.integers(0, 3, (8, 7, 6)).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / side / f"{name}.nii.gz")
        for name in LITTER:
            (folder / side / name).write_bytes(b"left behind by a system")
    described = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1, "b": 2}}
    (folder / "la bels" / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz"}))
    return folder / "pre dictions", folder / "la bels"


@pytest.mark.slow
def test_every_case_is_scored_cleaned_and_compared(answers):
    predictions, labels = answers
    folder = predictions.parent
    found = ip.evaluate(predictions, labels, output=folder / "a=b, [1].json", csv=folder / "--c.csv", seed=1)
    assert sorted(case.name for case in found.cases) == sorted(NAMES)
    steps = ip.postprocess(predictions, folder / "ru les [ü].yaml", learn=True, labels=labels)
    ip.postprocess(predictions, folder / "clean =", postprocess=folder / "ru les [ü].yaml")
    names = sorted(f"{name}.nii.gz" for name in NAMES)
    assert sorted(file.name for file in (folder / "clean =").iterdir() if file.suffix == ".gz") == names
    ip.evaluate(folder / "clean =", labels, output=folder / "second #2.json")
    compared = ip.compare(folder / "a=b, [1].json", folder / "second #2.json")
    assert compared.cases == len(NAMES)
    assert steps is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", TELLING, ids=ascii)
def test_folders_of_every_name_hold_answers(answers, tmp_path, name):
    predictions, labels = answers
    place = tmp_path / name
    place.mkdir()
    (place / predictions.name).symlink_to(predictions)
    (place / labels.name).symlink_to(labels)
    found = ip.evaluate(place / predictions.name, place / labels.name, output=place / f"{name}.json")
    assert len(found.cases) == len(NAMES)
    assert (place / f"{name}.json").is_file()


def test_steps_are_not_learnt_from_labels_of_another_meaning(answers, tmp_path):
    predictions, labels = answers
    for folder, numbers in ((tmp_path / "p", {"a": 1, "b": 2}), (tmp_path / "l", {"a": 2, "b": 1})):
        folder.mkdir()
        source = predictions if folder.name == "p" else labels
        (folder / "x.nii.gz").write_bytes((source / "scan_2019.nii.gz").read_bytes())
        described = {"channel_names": {"0": "MR"}, "labels": {"background": 0, **numbers}}
        (folder / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz"}))
    with pytest.raises(UsageError, match="'a' is 1"):
        ip.postprocess(tmp_path / "p", tmp_path / "steps.yaml", learn=True, labels=tmp_path / "l")

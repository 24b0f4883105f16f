"""Every layout is understood, and what is wrong with it is said at once."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.source_channels import describe_channels
from ingradient_pl.datasets.sources import SourceError, images_only, read_source
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task


@pytest.fixture
def raw(tmp_path):
    return write_phantoms(tmp_path / "Dataset900_Phantom", 3, (10, 12, 14), channels=2)


def edited(raw, **changes):
    file = raw / "dataset.json"
    plain = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in plain.items() if value is not None}))
    return raw


def test_nnunets_layout_tells_the_whole_task(raw):
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    source = read_source(
        edited(
            raw, labels=labels, regions_class_order=[1, 2], licence="CC0", overwrite_image_reader_writer="X"
        )
    )
    assert source.task.channels == ("MR", "MR1")
    assert source.task.labels == {"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}
    assert source.task.regions_class_order == (1, 2)
    assert source.task.file_ending == ".nii.gz"
    assert source.task.notes["licence"] == "CC0"
    assert [case.name for case in source.cases] == ["phantom_000", "phantom_001", "phantom_002"]
    assert [path.name for path in source.cases[1].images] == [
        "phantom_001_0000.nii.gz",
        "phantom_001_0001.nii.gz",
    ]
    assert source.cases[1].label == raw / "labelsTr" / "phantom_001.nii.gz"
    assert all(case.group == case.name for case in source.cases)
    assert not source.faults
    assert not source.remarks


def test_channels_are_in_the_order_of_their_numbers(raw):
    numbers = [10, 2, 0, 1, *range(3, 10)]
    edited(raw, channel_names={str(number): f"c{number}" for number in numbers})
    assert read_source(raw).task.channels == tuple(f"c{number}" for number in range(11))


def test_missing_extra_and_lonely_files_are_faults_of_their_cases(raw):
    (raw / "imagesTr" / "phantom_000_0001.nii.gz").unlink()
    shutil.copy(raw / "imagesTr" / "phantom_001_0000.nii.gz", raw / "imagesTr" / "phantom_001_0002.nii.gz")
    (raw / "labelsTr" / "phantom_002.nii.gz").rename(raw / "labelsTr" / "else.nii.gz")
    (raw / "imagesTr" / "._phantom_002_0000.nii.gz").write_text("macOS")
    (raw / "imagesTr" / "readme.txt").write_text("text")
    source = read_source(raw)
    assert source.cases == []
    told = {fault.case: str(fault) for fault in source.faults}
    assert "channel 0001 is missing" in told["phantom_000"]
    assert "phantom_000_0001.nii.gz" in told["phantom_000"]
    assert "one channel too many" in told["phantom_001"]
    assert "phantom_001_0002.nii.gz" in told["phantom_001"]
    assert "label is missing" in told["phantom_002"]
    assert "label without an image" in told["else"]


def test_a_mapping_of_paths_replaces_the_layout(raw, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", str(raw / "imagesTr"))
    mapping = {
        "one": {
            "images": ["$ELSEWHERE/phantom_000_0000.nii.gz", "imagesTr/phantom_000_0001.nii.gz"],
            "label": "labelsTr/phantom_000.nii.gz",
        },
        "two": {"label": "x"},
    }
    source = read_source(edited(raw, dataset=mapping))
    assert [case.name for case in source.cases] == ["one"]
    assert read_volume(source.cases[0].images).voxels.shape[0] == 2
    assert [fault.case for fault in source.faults] == ["two"]


def renamed(raw, old, new):
    """Give the files of a phantom another name, channel numbers included."""
    for file in sorted(raw.glob(f"*Tr/{old}*")):
        file.rename(file.with_name(file.name.replace(old, new)))


@pytest.fixture
def single(tmp_path):
    return write_phantoms(tmp_path / "single", 3, (6, 7, 8))


@pytest.mark.parametrize("first", [0, 1, 2019])
def test_names_of_cases_may_end_in_four_digits(single, first):
    wanted = []
    for number in range(3):
        new = f"pancreas_{first + number:04d}"
        renamed(single, f"phantom_{number:03d}_0000", new)
        renamed(single, f"phantom_{number:03d}", new)
        wanted.append(new)
    source = read_source(single)
    assert [case.name for case in source.cases] == wanted
    assert not source.faults
    assert "3 files end in four digits, but not in _0000" in " ".join(source.remarks)
    assert [case.name for case in images_only(single, source.task).cases] == wanted
    if first:  # else nobody can know
        assert [case.name for case in images_only(single / "imagesTr", source.task).cases] == wanted


def test_numbers_of_channels_that_were_forgotten_are_told_with_the_cure(raw, tmp_path):
    task = read_source(raw).task
    for number in (1, 2):
        (tmp_path / f"pancreas_{number:04d}.nii.gz").touch()
    (fault,) = images_only(tmp_path, task).faults[:1]
    assert "rename pancreas_0001.nii.gz to pancreas_0001_0000.nii.gz" in str(fault)


@pytest.mark.parametrize(
    ("file", "name"),
    [("scan_0000", "scan"), ("scan_0001", "scan_0001"), ("scan_2019", "scan_2019"), ("scan", "scan")],
)
def test_a_single_file_loses_the_number_of_the_first_channel_alone(tmp_path, single, file, name):
    path = tmp_path / f"{file}.nii.gz"
    path.touch()
    assert [case.name for case in images_only(path, read_source(single).task).cases] == [name]


@pytest.mark.parametrize(
    "files",
    [
        ("scan.nii.gz", "scan.nii", "scan.mha"),
        ("scan.nii.gz", "scan_0000.nii.gz"),
        ("scan_0000.nii.gz", "scan_0000.mha"),
        ("scan.NII.GZ", "scan.nii.gz"),
        ("scan.nii.gz", "scan/slice.dcm"),
        ("ann/t1/slice.dcm", "ann/t2/slice.dcm", "ann_t1/slice.dcm"),
    ],
)
def test_sources_that_come_to_one_name_are_all_told(tmp_path, single, files):
    folder = tmp_path / "new"
    for file in (*files, "other.nii.gz"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    source = images_only(folder, read_source(single).task)
    told = {str(fault.file.relative_to(folder)) for fault in source.faults}
    kept = {str(case.images[0].relative_to(folder)) for case in source.cases}
    assert not kept & told
    assert len(kept) + len(told) == len(files) + 1
    assert len(told) >= 2
    assert "other.nii.gz" in kept
    assert all("Rename one." in str(fault) for fault in source.faults)


def test_capitals_in_endings_do_not_matter(raw):
    before = [case.name for case in read_source(raw).cases]
    for file in sorted(raw.glob("*Tr/*.nii.gz")):
        file.rename(file.with_name(file.name.replace(".nii.gz", ".NII.GZ")))
    source = read_source(raw)
    assert [case.name for case in source.cases] == before
    assert not source.faults


def test_what_systems_leave_behind_is_no_data(raw, single, tmp_path):
    pairs = pairs_folder(tmp_path)
    for folder in (raw / "imagesTr", raw / "labelsTr", single / "imagesTr", pairs):
        for name in (".DS_Store", "._x.nii.gz", "._x_0000.nii.gz", "._a.npz", "._a.pkl"):
            (folder / name).write_bytes(b"\0")
        (folder / "__MACOSX").mkdir()
    task = read_source(single).task
    assert len(images_only(single / "imagesTr", task).cases) == 3
    assert len(images_only(single, task).cases) == 3
    for folder in (raw, single, pairs):
        source = read_source(folder)
        assert len(source.cases) in (2, 3)
        assert not source.faults


def datalist(raw, entries, **more):
    plain = {"modality": {"0": "a", "1": "b"}, "labels": {"0": "background", "1": "organ", "2": "lesion"}}
    (raw / "dataset.json").write_text(json.dumps({**plain, "training": entries, **more}))
    return read_source(raw)


def listed(number, **more):
    images = [f"imagesTr/phantom_{number:03d}_{channel:04d}.nii.gz" for channel in range(2)]
    return {"image": images, "label": f"labelsTr/phantom_{number:03d}.nii.gz", **more}


def test_the_folds_of_a_datalist_are_taken(raw):
    source = datalist(raw, [listed(0, fold=0), listed(1, fold=1), listed(2)])
    assert [case.split for case in source.cases] == ["0", "1", None]
    assert not source.faults
    source = datalist(raw, [listed(0), listed(1)], validation=[listed(2)])
    assert [case.split for case in source.cases] == ["train", "train", "val"]
    source = datalist(raw, [listed(0, fold=0), listed(1, fold=1)], validation=[listed(2)])
    assert [case.split for case in source.cases] == ["0", "1"]
    assert "'validation' are left out" in source.remarks[0]
    (fault,) = datalist(raw, [listed(0, fold=0), listed(1, fold="first")]).faults
    assert "'fold' must be a number from 0; got 'first'" in str(fault)


def test_files_of_one_name_in_several_folders_are_named_after_them(raw):
    for number in range(2):
        (raw / f"patient{number}").mkdir()
        shutil.copy(
            raw / "imagesTr" / f"phantom_{number:03d}_0000.nii.gz", raw / f"patient{number}" / "ct.nii.gz"
        )
    source = datalist(raw, [{"image": f"patient{number}/ct.nii.gz"} for number in range(2)])
    assert [case.name for case in source.cases] == ["patient0_ct", "patient1_ct"]


def test_a_wrong_path_in_a_table_is_told_once(raw, tmp_path):
    table = raw / "table.csv"
    table.write_text(
        "case,image_0,image_1,label\na,no.nii.gz,imagesTr/phantom_000_0001.nii.gz,\n"
        "b," + ",".join([*listed(1)["image"], listed(1)["label"]]) + "\n"
    )
    summary = build_store(read_source(table), tmp_path / "store", progress=False)
    assert str(summary).count("no.nii.gz") == 1
    assert list(CaseStore(tmp_path / "store").cases) == ["b"]


def test_a_patient_on_both_sides_is_told_when_preparing(raw, tmp_path):
    rows = [
        ",".join([*listed(number)["image"], listed(number)["label"], "one", split])
        for number, split in enumerate(["train", "val"])
    ]
    (raw / "table.csv").write_text("image_0,image_1,label,group,split\n" + "\n".join(rows))
    summary = build_store(read_source(raw / "table.csv"), tmp_path / "store", progress=False)
    assert "1 patients are on both sides" in str(summary)


def decathlon(tmp_path):
    folder = tmp_path / "Task04_Phantom"
    raw = write_phantoms(tmp_path / "raw", 2, (10, 12, 14), channels=2)
    (folder / "imagesTr").mkdir(parents=True)
    shutil.copytree(raw / "labelsTr", folder / "labelsTr")
    for number in range(2):
        paths = [raw / "imagesTr" / f"phantom_{number:03d}_{channel:04d}.nii.gz" for channel in range(2)]
        both = SimpleITK.JoinSeries([SimpleITK.ReadImage(str(path)) for path in paths])
        SimpleITK.WriteImage(both, str(folder / "imagesTr" / f"phantom_{number:03d}.nii.gz"))
    names = [f"phantom_{number:03d}.nii.gz" for number in range(2)]
    description = {
        "name": "Phantom",
        "modality": {"0": "T1w", "1": "T2w"},
        "labels": {"0": "background", "1": "organ", "2": "lesion"},
        "numTraining": 2,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": ["./imagesTs/x.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder, raw


def test_the_decathlons_layout_gives_the_same_store(tmp_path):
    folder, raw = decathlon(tmp_path)
    source = read_source(folder)
    assert source.task.channels == ("T1w", "T2w")
    assert source.task.labels == {"background": 0, "organ": 1, "lesion": 2}
    for given, name in ((folder, "a"), (raw, "b")):
        build_store(read_source(given), tmp_path / name, progress=False)
    first, second = CaseStore(tmp_path / "a"), CaseStore(tmp_path / "b")
    assert first.cases == second.cases
    for name, case in first.cases.items():
        for one, two in zip(
            first.read(name, case.grid.whole), second.read(name, case.grid.whole), strict=True
        ):
            np.testing.assert_array_equal(one, two)


def pairs_folder(tmp_path, names=("a", "b"), pickles=None):
    folder = tmp_path / "pairs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, other in zip(names, pickles or names, strict=True):
        y = np.zeros((6, 7, 8), np.uint8)
        y[2:4, 2:5, 3:6] = 1
        y[4, 3, 3] = 3
        np.savez_compressed(folder / f"{name}.npz", x=rng.integers(1, 99, (2, 6, 7, 8)).astype(np.int16), y=y)
        properties = {
            "spacing": np.array([1.0, 2.0, 3.0 + len(name)]),
            "origin": np.zeros(3),
            "direction": np.array([-1.0, 0, 0, 0, 1, 0, 0, 0, 1]),
        }
        (folder / f"{other}.pkl").write_bytes(pickle.dumps(properties))
    return folder


def test_pairs_are_a_data_set_whose_task_stands_in_the_labels(tmp_path):
    folder = pairs_folder(tmp_path)
    source = read_source(folder)
    assert source.task.channels == ("modality_0", "modality_1")
    assert source.task.labels == {"background": 0, "label_1": 1, "label_3": 3}
    build_store(source, tmp_path / "store", progress=False)
    store = CaseStore(tmp_path / "store")
    voxels = store.read("a", store.cases["a"].grid.whole)
    with np.load(folder / "a.npz") as held:
        np.testing.assert_array_equal(voxels.image, held["x"][..., ::-1])
        np.testing.assert_array_equal(store.task.integers, [0, 1, 3])
        np.testing.assert_array_equal(np.array([0, 1, 3])[voxels.label], held["y"][..., ::-1])
    assert store.cases["a"].grid.spacing == (4.0, 2.0, 1.0)


def test_pairs_of_other_names_are_matched_in_order_and_lonely_ones_refused(tmp_path):
    folder = pairs_folder(tmp_path, ("x1", "x2"), ("info1", "info2"))
    source = read_source(folder)
    assert [tuple(path.name for path in case.images) for case in source.cases] == [
        ("x1.npz", "info1.pkl"),
        ("x2.npz", "info2.pkl"),
    ]
    assert not build_store(source, tmp_path / "store", progress=False).faults
    shutil.copy(folder / "x1.npz", folder / "x3.npz")
    with pytest.raises(SourceError, match=r"3 \.npz and 2 \.pkl"):
        read_source(folder)
    (folder / "x3.npz").unlink()
    (folder / "info2.pkl").rename(folder / "x1.pkl")
    with pytest.raises(SourceError, match="each needs its partner"):
        read_source(folder)


def table(raw, text, name="cases.csv"):
    (raw / name).write_text(text)
    return raw / name


IMAGES = "imagesTr/phantom_{0}_0000.nii.gz,imagesTr/phantom_{0}_0001.nii.gz"
ROWS = f"{{0}},{IMAGES},labelsTr/phantom_{{0}}.nii.gz,{{1}},{{2}}\n"


def test_a_table_names_paths_patients_and_splits(raw):
    text = "case,image_0,image_1,label,group,split\n"
    text += (
        ROWS.format("000", "anna", "train")
        + ROWS.format("001", "anna", "train")
        + ROWS.format("002", "", "val")
    )
    source = read_source(table(raw, text))
    assert [(case.name, case.group, case.split) for case in source.cases] == [
        ("000", "anna", "train"),
        ("001", "anna", "train"),
        ("002", "002", "val"),
    ]
    assert source.task.labels["organ"] == 1  # from the dataset.json beside it
    build_store(source, raw.parent / "store", progress=False)
    case = CaseStore(raw.parent / "store").cases["001"]
    assert (case.group, case.split) == ("anna", "train")


def test_a_table_alone_finds_its_labels_and_names_its_channels(raw):
    (raw / "dataset.json").unlink()
    text = (
        "case;image_T1;image_T2;label\n" + ROWS.format("000", "", "").replace(",", ";").rstrip(";\n") + "\n"
    )
    source = read_source(table(raw, text))
    assert source.task.channels == ("T1", "T2")
    assert source.task.labels == {"background": 0, "label_1": 1, "label_2": 2}
    unlabelled = table(raw, "image_0\nimagesTr/phantom_000_0000.nii.gz\n")
    with pytest.raises(SourceError, match=r"no label with foreground.*dataset.json"):
        read_source(unlabelled)


def test_a_json_table_may_bring_its_task(raw):
    plain = {
        "channel_names": ["CT"],
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "cases": [
            {
                "image_0": "imagesTr/phantom_000_0000.nii.gz",
                "label": "labelsTr/phantom_000.nii.gz",
                "split": 0,
            }
        ],
    }
    source = read_source(table(raw, json.dumps(plain), "cases.json"))
    assert source.task.channels == ("CT",)
    assert source.cases[0].name == "phantom_000_0000"
    assert source.cases[0].split == "0"
    rows = json.dumps([{"case": "a", "images": ["imagesTr/phantom_000_0000.nii.gz"] * 2}])
    assert len(read_source(table(raw, rows, "rows.json")).cases[0].images) == 2


def test_a_misspelt_split_is_refused_and_a_column_nobody_reads_is_remarked(raw):
    rows = [f"p{n},imagesTr/p{n}_0000.nii.gz,{split}" for n, split in enumerate(["train", "Val", "vall"])]
    heading = "case,image_0,split"
    with pytest.raises(SourceError, match="row 3: 'vall' is not a split"):
        read_source(table(raw, "\n".join([heading, *rows])))
    text = "case,image_0,image_1,label,splt\ny,a,b,c,train\n"
    assert "nobody reads the column 'splt'" in read_source(table(raw, text)).remarks[0]


def test_every_fault_of_a_table_is_told_at_once(raw):
    text = "case,image_0,image_1,label\n../up,a,b,c\nx,a,,c\ny,a,b,c\ny,a,b,c\n"
    with pytest.raises(SourceError) as told:
        read_source(table(raw, text))
    for words in ("'../up' cannot name a case", "row 2 ('x') lacks an image", "'y' is there more than once"):
        assert words in str(told.value)
    source = read_source(table(raw, "case,image_0,image_1,label\ny,a,b,c\n"))
    assert len(source.faults) == 3
    assert "relative to the table" in str(source.faults[0])
    with pytest.raises(SourceError, match="no column 'image_0'"):
        read_source(table(raw, "case,picture\nx,a\n"))
    with pytest.raises(SourceError, match="not a table of cases"):
        read_source(table(raw, "{", "cases.json"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None, "channel_names": None}, "'channel_names' is missing.*'labels' is missing"),
        ({"labels": {"background": 0, "organ": "one"}}, "label 'organ' must be an integer"),
        ({"labels": {"background": 0}}, "foreground label"),
        ({"file_ending": ".nrrd"}, r"'file_ending' is '\.nrrd', but 6 files in .* end in '\.nii\.gz'"),
    ],
)
def test_a_faulty_description_is_explained(raw, changes, words):
    with pytest.raises(SourceError, match=words):
        read_source(edited(raw, **changes))


def test_what_is_no_data_set_is_explained(tmp_path, raw):
    with pytest.raises(SourceError, match="no such file or folder"):
        read_source(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no known data set.*table with the paths"):
        read_source(tmp_path / "empty")
    shutil.rmtree(raw / "labelsTr")
    with pytest.raises(SourceError, match="labelsTr is missing"):
        read_source(raw)
    (raw / "dataset.json").write_text("{")
    with pytest.raises(SourceError, match="cannot be read as JSON"):
        read_source(raw)


def test_a_number_of_cases_that_is_not_kept_is_remarked(raw):
    assert "promises 9 cases" in read_source(edited(raw, numTraining=9)).remarks[0]


def test_cases_to_predict_come_in_every_layout(raw):
    task = read_source(raw).task
    found = images_only(raw / "imagesTr", task).cases
    assert [case.name for case in found] == ["phantom_000", "phantom_001", "phantom_002"]
    assert all(len(case.images) == 2 and case.label is None for case in found)
    assert [case.name for case in images_only(raw, task).cases] == [case.name for case in found]
    (raw / "imagesTr" / "phantom_000_0000.nii.gz").unlink()
    (raw / "imagesTr" / "phantom_002_0001.nii.gz").unlink()
    left = images_only(raw / "imagesTr", task)
    assert [case.name for case in left.cases] == ["phantom_001"]
    assert [(fault.case, "missing" in fault.reason) for fault in left.faults] == [
        ("phantom_000", True),
        ("phantom_002", True),
    ]
    with pytest.raises(SourceError, match="no image"):
        images_only(write_phantoms(raw / "other", 0) / "imagesTr", task)


@pytest.mark.parametrize("folders", [("images", "labels"), ("imagesTs",), ("P1", "P2", "P3")])
def test_folders_of_images_are_no_series_and_the_one_to_give_is_named(raw, tmp_path, folders):
    for folder in folders:
        shutil.copytree(raw / "labelsTr", tmp_path / folder)
    with pytest.raises(SourceError, match=f"{folders[0]} \\(3\\).*Give the folder.*{folders[0]}"):
        images_only(tmp_path, read_source(raw).task)


@pytest.mark.parametrize(
    ("named", "wanted", "told"),
    [
        (("FLAIR", "T1c"), ("T1", "T2"), True),
        (("t1 ", "T2"), ("T1", "T2"), False),
        (("0", "1"), ("T1", "T2"), False),
        (("image_0", "channel 1"), ("T1", "T2"), False),
        (("T1", "1"), ("T1", "T2"), False),
        (("PET", "1"), ("CT", "T2"), True),
        ((), ("CT", "T2"), False),
    ],
)
def test_channels_of_other_names_than_the_models_are_told(named, wanted, told):
    remarks = describe_channels(Path("here"), named, Task(wanted, {"a": 1}))
    assert bool(remarks) == told
    assert all(name in "".join(remarks) for name in (*named, *wanted) if told)


def test_other_channels_are_told_whatever_the_source(raw, tmp_path):
    build_store(read_source(raw), tmp_path / "store", progress=False)
    task = replace(read_source(raw).task, channels=("PET", "SPECT"))
    table = raw / "t.csv"
    table.write_text(
        "case,image_PET,image_T9\na,imagesTr/phantom_000_0000.nii.gz,imagesTr/phantom_000_0001.nii.gz\n"
    )
    for found in (images_only(raw, task), stored_cases(tmp_path / "store", task), images_only(table, task)):
        assert "Are they the same contrasts?" in found.remarks[-1]
    assert not images_only(raw / "imagesTr", task).remarks


def test_a_store_is_no_source_of_another(phantom_store):
    with pytest.raises(SourceError, match=r"is a case store already.*ingradient plan --store"):
        read_source(phantom_store)


def test_single_files_are_cases_where_there_is_one_channel(tmp_path):
    raw = write_phantoms(tmp_path / "raw", 2, (10, 12, 14))
    task = read_source(raw).task
    for number, path in enumerate(sorted((raw / "imagesTr").iterdir())):
        path.rename(path.with_name(f"scan {number}.nii.gz"))
    assert [case.name for case in images_only(raw / "imagesTr", task).cases] == ["scan 0", "scan 1"]
    single = images_only(raw / "imagesTr" / "scan 1.nii.gz", task).cases
    assert [case.name for case in single] == ["scan 1"]


def test_cases_to_predict_need_no_labels(tmp_path):
    folder, raw = decathlon(tmp_path)
    task = read_source(raw).task
    shutil.rmtree(raw / "labelsTr")
    assert len(images_only(raw, task).cases) == 2
    whole = images_only(folder / "imagesTr", task).cases
    assert [case.name for case in whole] == ["phantom_000", "phantom_001"]
    assert len(whole[0].images) == 1
    series = tmp_path / "patient"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"")
    assert images_only(series, task).cases[0].images == (series,)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "cases", "groups"),
    [
        ("Dataset004_Hippocampus", 200, 200),
        ("Dataset027_ACDC", 78, 39),
        ("Dataset013_BraTS2013", 6, 6),
        ("ingradient_format/Hippocampus20", 20, 20),
    ],
)
def test_real_data_sets_are_found_whole(real_data, name, cases, groups):
    source = read_source(real_data / name)
    assert len(source.cases) == cases
    assert len({case.group for case in source.cases}) == groups
    assert not source.faults


@pytest.mark.slow
@pytest.mark.real
def test_pairs_and_files_of_the_same_patients_are_the_same_voxels(real_data):
    """The pairs were made from the raw data set, cropped; every one is found in it."""
    pairs = read_source(real_data / "ingradient_format" / "Hippocampus20")
    raw = read_source(real_data / "Dataset004_Hippocampus")
    labels = {read_label(case.label).voxels.sum(): case for case in raw.cases}
    matched = 0
    for case in pairs.cases[:5]:
        volume, label = read_volume(case.images), read_label(case.label, properties=case.images[1])
        other = labels.get(label.voxels.sum())
        if other is not None:
            found = read_volume(other.images)
            matched += int(np.isin(volume.voxels, found.voxels).all())
    assert matched == 5

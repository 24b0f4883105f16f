"""Tables as spreadsheets and programs write them: no cell is lost, none is taken for what it is not."""

import csv
import io
import itertools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import SourceError, images_only, read_source
from ingradient_pl.datasets.table_rows import MISSING
from ingradient_pl.images.formats import read_volume, write_label
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import find_labels
from ingradient_pl.task import Task

COLUMNS = ("case", "image_0", "label", "group", "split")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("tables") / "raw", 3, (10, 12, 14))


def rows(raw, absolute=False):
    start = f"{raw}/" if absolute else ""
    return [
        {
            "case": f"c {number}",
            "image_0": f"{start}imagesTr/phantom_00{number}_0000.nii.gz",
            "label": f"{start}labelsTr/phantom_00{number}.nii.gz",
            "group": f"p{number}",
            "split": ("train", "train", "val")[number],
        }
        for number in range(3)
    ]


def written(raw, rows, columns=COLUMNS, delimiter=",", end="\n", encoding="utf-8", name="t.csv"):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    (raw / name).write_bytes(text.getvalue().encode(encoding))
    return raw / name


def told(source):
    return [(case.name, case.label is not None, case.group, case.split) for case in source.cases]


WRITTEN = list(itertools.product(",;\t", ("\n", "\r\n"), ("utf-8", "utf-8-sig"), (False, True)))


@pytest.mark.parametrize(("delimiter", "end", "encoding", "absolute"), WRITTEN)
def test_spreadsheets_of_every_country_are_one_table(raw, delimiter, end, encoding, absolute):
    table = written(raw, rows(raw, absolute), delimiter=delimiter, end=end, encoding=encoding)
    source = read_source(table)
    assert not source.faults
    assert not source.remarks
    assert told(source) == [
        (f"c {n}", True, f"p{n}", split) for n, split in enumerate(("train", "train", "val"))
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.json", "dataset"])
def test_paths_that_were_written_on_windows_are_read(raw, tmp_path, name):
    shutil.copytree(raw, tmp_path / "raw")
    image, label = "imagesTr\\phantom_000_0000.nii.gz", ".\\labelsTr\\phantom_000.nii.gz"
    path = tmp_path / "raw" / name
    if name == "dataset":
        path = tmp_path / "raw"
        plain = json.loads((path / "dataset.json").read_text())
        plain["dataset"] = {"c": {"images": [image], "label": label}}
        (path / "dataset.json").write_text(json.dumps(plain))
    elif name == "t.json":
        path.write_text(json.dumps([{"image_0": image, "label": label}]))
    else:
        written(tmp_path / "raw", [{"image_0": image, "label": label}], name=name)
    (case,) = read_source(path).cases
    assert all(file.is_file() for file in case.files)
    assert case.name in ("c", "phantom_000_0000")


@pytest.mark.parametrize("word", [*MISSING, "NaN", "None", "NULL", "N/A", "NA", " nan "])
@pytest.mark.parametrize("column", ["label", "group", "split"])
def test_a_word_for_nothing_is_an_empty_cell_with_a_remark(raw, word, column):
    changed = [{**row, column: word} for row in rows(raw)]
    changed[2][column] = rows(raw)[2][column]
    source = read_source(written(raw, changed))
    empty = {**rows(raw)[0], column: ""}
    assert told(source)[0] == told(read_source(written(raw, [empty, *changed[2:]])))[0]
    assert len({case.group for case in source.cases}) == 3
    (remark,) = source.remarks
    assert f"'{word.strip()}' in the column '{column}' (2 rows) was taken for an empty cell" in remark


def test_a_number_that_is_none_is_empty_in_json_too(raw):
    cases = [{**row, "group": float("nan"), "label": None} for row in rows(raw)]
    cases[0]["label"] = rows(raw)[0]["label"]
    (raw / "t.json").write_text(json.dumps(cases))
    source = read_source(raw / "t.json")
    assert [case.group for case in source.cases] == ["c 0", "c 1", "c 2"]
    assert "'nan' in the column 'group' (3 rows)" in source.remarks[0]


def test_an_image_that_is_a_word_for_nothing_is_missing(raw):
    changed = [*rows(raw)[:2], {**rows(raw)[2], "image_0": "nan"}]
    with pytest.raises(SourceError, match=r"row 3 \('c 2'\) lacks an image"):
        read_source(written(raw, changed))


REFUSED = {
    "a column twice": ("case,image_0,label,label\na,x,y,z\n", "the column 'label' is there 2 times"),
    "a column twice but for blanks": ("case,image_0, case\na,x,b\n", "'case' is there 2 times"),
    "a cell too many": (
        "case,image_0,label\na,x,1,y\n",
        "line 2 has 4 cells under 3 columns; beyond them is 'y'",
    ),
    "a path with a comma": ("case,image_0\nb,c\na,scan, second.nii\n", "line 3 has 3 cells.*in quotes"),
    "a cell without heading": ("case,,image_0\na,secret,x\n", "'secret' in a column without a name"),
    "a spacing that is not one": ("case,image_0,spacing\na,x,1 2 3 4\n", "two or three sizes in mm"),
    "a spacing of zero": ("case,image_0,spacing\na,x,0 1\n", "above 0"),
    "a spacing in words": ("case,image_0,spacing\na,x,wide\n", "got 'wide'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_can_be_read_in_two_ways_is_refused(raw, name):
    text, words = REFUSED[name]
    (raw / "t.csv").write_text(text)
    with pytest.raises(SourceError, match=words) as error:
        read_source(raw / "t.csv")
    assert str(error.value).startswith(str(raw / "t.csv"))


@pytest.mark.parametrize(
    "text", ["case,image_0,,\na,{},,\n", ",case,image_0\n0,a,{}\n", "case,image_0\n\na,{}\n\n,\n"]
)
def test_what_spreadsheets_leave_is_let_be(raw, text):
    (raw / "t.csv").write_text(text.format(rows(raw)[0]["image_0"]))
    task = Task(("MR",), {"organ": 1})
    assert [case.name for case in images_only(raw / "t.csv", task).cases] == ["a"]


def test_cases_of_one_image_are_told(raw):
    second = {**rows(raw)[1], "image_0": rows(raw)[0]["image_0"]}
    (remark,) = read_source(written(raw, [rows(raw)[0], second])).remarks
    assert "the cases c 0, c 1 are all of" in remark
    assert not read_source(written(raw, [rows(raw)[0], {**second, "group": "p0"}])).remarks


@pytest.mark.parametrize("names", [("Case", "case"), ("caf\u00e9", "cafe\u0301"), ("STRASSE", "stra\u00dfe")])
def test_names_that_some_disks_take_for_one_are_told(raw, names):
    changed = [{**row, "case": name} for row, name in zip(rows(raw), names, strict=False)]
    source = read_source(written(raw, changed))
    assert len(source.cases) == 2
    assert "differ in capitals or accents alone" in source.remarks[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"channel_names": {"0": "MR"}, "labels": {"a": 1, "b": 2, "a": 3}}', "names 'a' a second time"),
        ('{"channel_names": {"0": "MR", "0": "CT"}, "labels": {"a": 1}}', "names '0' a second time"),
    ],
)
def test_a_key_that_stands_twice_is_refused(raw, tmp_path, text, words):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(SourceError, match=words):
        read_source(tmp_path)


def pictures(folder, spacing, ending=".png", **more):
    """A table of two pictures."""
    labels = np.zeros((12, 10), np.uint8)
    labels[3:8, 2:7] = 1
    lines = []
    for number in range(2):
        for name, pixels in (("i", labels * 90 + number), ("l", labels)):
            Image.fromarray(pixels).save(folder / f"{name}{number}{ending}")
        lines.append({"case": f"c{number}", "image_0": f"i{number}{ending}", "label": f"l{number}{ending}"})
    lines = [{**line, "spacing": spacing, **more} for line in lines]
    return written(folder, lines, ("case", "image_0", "label", "spacing", *more))


@pytest.mark.parametrize("cell", ["2 0.5 0.25", "[2, 0.5, 0.25]", "2x0.5x0.25", "(2;0.5;0.25)"])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_column_tells_the_spacing_of_pictures(tmp_path, cell, ending):
    source = read_source(pictures(tmp_path, cell, ending))
    summary = build_store(source, tmp_path / "store", progress=False)
    assert not summary.faults
    assert {case.grid.spacing for case in CaseStore(tmp_path / "store").cases.values()} == {(2.0, 0.5, 0.25)}
    again = build_store(
        read_source(pictures(tmp_path, "2 0.5 0.5", ending)), tmp_path / "store", progress=False
    )
    assert {case.spacing for case in again.cases} == {(2.0, 0.5, 0.5)}
    label = find_labels(pictures(tmp_path, cell, ending))["c0"].read()
    assert label.frame.spacing == (2.0, 0.5, 0.25)
    volume = source.cases[0].read_image("LPS", ["grey"])
    write_label(tmp_path / f"answer{ending}", label.voxels[0], volume)
    assert read_volume([tmp_path / f"answer{ending}"]).frame.spacing == (2.0, 0.5, 0.25)


def test_two_sizes_are_those_of_a_pixel_and_a_sidecar_is_not_overruled(tmp_path):
    table = pictures(tmp_path, "0.5 0.25")
    assert read_source(table).cases[0].read_image("LPS", ["grey"]).frame.spacing == (1.0, 0.5, 0.25)
    (tmp_path / "i1.json").write_text('{"spacing": [1, 3, 3]}')
    summary = build_store(read_source(table), tmp_path / "store", progress=False)
    assert "its spacing is (1.0, 3.0, 3.0) mm (z, y, x), the table says (1.0, 0.5, 0.25)" in str(summary)


def test_a_spacing_that_a_file_tells_otherwise_is_refused(raw):
    column = [{**row, "spacing": "9 9 9"} for row in rows(raw)]
    source = read_source(written(raw, column, (*COLUMNS, "spacing")))
    summary = build_store(source, raw.parent / "odd", progress=False)
    assert len(summary.faults) == 3
    assert "the table says (9.0, 9.0, 9.0)" in str(summary)


SPLITS = {
    "folds and words": (("0", "1", "train"), "folds .0, 1. and 'train': the two cannot be meant together"),
    "a patient tested and trained": (("train", "val", "test"), "1 patients are in the test cases"),
    "no word of one": (("train", "val", ""), "1 cases have no split while others have one: .*c 2"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_column_that_leaves_something_open_is_told(raw, tmp_path, name):
    said, words = SPLITS[name]
    changed = [{**row, "split": split} for row, split in zip(rows(raw), said, strict=True)]
    if "test" in said:
        changed[2]["group"] = "p0"
    summary = build_store(read_source(written(raw, changed)), tmp_path / "store", progress=False)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(" ".join(summary.warnings))
    assert len(summary.warnings) == 1

"""Words that somebody else chose, in names, tables and patterns: nothing obeys them or leaves its folder."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import network

from ingradient_pl.cli.sweep_table import keep_table
from ingradient_pl.finetuning.names import name_weights, read_names
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.inference.answer_files import mask_targets
from ingradient_pl.inference.probabilities import read_maps, scratch_maps
from ingradient_pl.inference.torch_files import write_torch
from ingradient_pl.messages import UsageError, as_cell, from_cell, printable, say
from ingradient_pl.metrics.evaluation import CaseScores, Evaluation
from ingradient_pl.metrics.evaluation_report import write_csv
from ingradient_pl.reports.swept_runs import read_sweep_table
from ingradient_pl.task import Task

SURROGATE = "\ud800"  # cannot travel from one process of tests to another, as what was logged does
CONTROLS = ["\x1b[2J", "a\x1b]0;x\x07", "\0", "a\nb", "a\rb", "\x9b31m", "\x7f", "\u2028", "\u2029"]
CONTROLS += [SURROGATE]
OBEYED = [*CONTROLS, "\u202egnp.exe", "\u2066x", "a\u200bb", "\ufeffa", "\u200f"]
FORMULAS = ["=1+1", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "=", "-y", "+@"]
OUTSIDE = [
    *("../{case}", "../../victim/{case}", "/etc/{case}", "a/../../{case}", "{case}/..", "./../{case}"),
    *(
        "..\\{case}",
        "C:\\{case}",
        "C:{case}",
        "{case}\0x",
        "{case}\n",
        "a//../{case}",
        "{case}/../../x",
        ".{case}",
    ),
]


@pytest.mark.parametrize("name", CONTROLS, ids=ascii)
@pytest.mark.parametrize("what", ["channel", "label", "region", "overlapping label"])
def test_no_name_of_a_task_holds_control_characters(what, name):
    channels = (name,) if what == "channel" else ("MR",)
    label = "organ" if what == "channel" else name
    value = (1, 2) if what == "region" else 1
    overlap = {label: {"file": "{case}_x"}} if what == "overlapping label" else None
    with pytest.raises(ValueError, match=r"control character.* Rename it") as raised:
        Task(channels, {"background": 0, label: value, "other": 2}, overlap=overlap)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", OBEYED, ids=ascii)
def test_what_is_printable_holds_nothing_that_a_terminal_obeys(text):
    assert printable(text).replace("\n", "").isprintable()


@pytest.mark.parametrize("text", [text for text in OBEYED if text != SURROGATE], ids=ascii)
def test_what_is_said_holds_nothing_that_a_terminal_obeys(text, capsys):
    say(f"raw {text}: 2 cases")
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert out.startswith("raw ")


@pytest.mark.parametrize("name", FORMULAS, ids=ascii)
def test_tables_hold_names_that_no_spreadsheet_computes(tmp_path, name):
    scores = {1: {"Dice": -0.5, "FN": 1.0}}
    write_csv(Evaluation({1: name}, [CaseScores(name, Path("p"), Path("r"), scores)], ()), tmp_path / "s.csv")
    _, row = csv.reader(io.StringIO((tmp_path / "s.csv").read_bytes().decode(), newline=""))
    assert row == [f"'{name}", "1", f"'{name}", "-0.5", "1.0"]
    assert [as_cell(text) for text in ("case_1", "-1.5", "+3", "a=b", "")] == [
        "case_1",
        "-1.5",
        "+3",
        "a=b",
        "",
    ]


@pytest.mark.parametrize("name", FORMULAS, ids=ascii)
def test_the_table_of_a_sweep_holds_none_either_and_is_read_as_it_was(tmp_path, name):
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    (tmp_path / "0" / ".hydra" / "score.json").write_text(json.dumps({"overrides": [name], "val/dice": 0.5}))
    keep_table(tmp_path, "val/dice")
    _, row = csv.reader(io.StringIO((tmp_path / "runs.csv").read_bytes().decode(), newline=""))
    assert row == ["0", f"'{name}", "0.5"]
    assert from_cell(row[1]) == name
    (run,), score = read_sweep_table(tmp_path)
    assert (run.folder, run.score, score) == ("0", 0.5, "val/dice")


@pytest.mark.parametrize(
    "row", ["/etc,a=1,0.5", "../x,a=1,0.5", "0,a=1", "0,a=1,0.5,6", "0,a=1,much", f"0,{'a' * 2**18},0.5"]
)
def test_a_table_of_a_sweep_that_is_none_is_one_line(tmp_path, row):
    (tmp_path / "runs.csv").write_text(f"run,overrides,val/dice\n{row}\n")
    with pytest.raises(ValueError, match=r"runs\.csv is not the table of a sweep") as raised:
        read_sweep_table(tmp_path)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("pattern", OUTSIDE, ids=ascii)
def test_masks_are_written_below_the_answers_whatever_a_model_calls_its_files(tmp_path, pattern):
    overlap = {"x": {"file": pattern}, "y": {"file": "{case}_y"}}
    task = Task(("MR",), {"background": 0, "x": (1,), "y": (2,)}, overlap=overlap)
    for path in mask_targets(tmp_path / "c.nii.gz", task).values():
        assert ".." not in path.parts
        assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "name", ["../x", "../../victim/x", "/etc/x", "a/b", "..", ".", "", "a\\b", "C:x", "nul"]
)
def test_a_mask_is_not_named_after_a_label_that_leads_elsewhere(tmp_path, name):
    overlap = {name: {"file": "../{case}"}, "y": {"file": "{case}_y"}}
    task = Task(("MR",), {"background": 0, name: (1,), "y": (2,)}, overlap=overlap)
    with pytest.raises(ValueError, match="cannot name a file of masks"):
        mask_targets(tmp_path / "c.nii.gz", task)


@pytest.mark.parametrize("stars", [4, 20, 400])
def test_a_mapping_of_names_takes_no_time_that_grows_with_its_stars(tmp_path, stars):
    file = tmp_path / "names.yaml"
    file.write_text(f"{'a*' * stars}: {'b*' * stars}\n")
    with pytest.raises(UsageError, match="3 at most"):
        read_names(file)


@pytest.mark.parametrize(
    "text",
    [
        f"a: {'b' * 2000}",
        f"{'a' * 2000}: b",
        f"? {'a' * 2000}\n: b",
        "a: [b]",
        "1: b",
        "a: 1",
        "a: true",
        "{}",
        "[a]",
        "a: &x [*x]",
        "a: !!python/name:os.system",
        "\0",
    ],
    ids=lambda text: text[:20],
)
def test_a_mapping_of_names_that_is_none_is_one_short_line(tmp_path, text):
    (tmp_path / "names.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"init_mapping=.*names\.yaml") as raised:
        read_names(tmp_path / "names.yaml")
    assert len(str(raised.value)) < 700


def test_a_mapping_of_more_lines_than_there_are_tensors_is_not_walked_to_its_end():
    weights = network().state_dict()

    class Lines(dict):
        def items(self):
            yield from zip(weights, weights, strict=True)
            yield "more", "x"
            pytest.fail("it was walked on")

    with pytest.raises(UsageError, match="'more: x' fits no pair"):
        name_weights(network(), weights, Source(None, weights, None, "x.pth", ()), Lines(more="x"))


def test_what_the_disk_refuses_is_an_error_where_pytorch_ends_the_process(capfd):
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        write_torch(file, lambda to: torch.save({"a": torch.zeros(10_000)}, to))
    program = torch.export.export(torch.nn.Linear(30, 30), (torch.zeros(1, 30),))
    capfd.readouterr()
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        write_torch(file, lambda to: torch.export.save(program, to))
    assert not capfd.readouterr().err


def test_maps_are_refused_where_the_disk_has_no_room_for_them(tmp_path):
    with pytest.raises(OSError, match=r"\d+ bytes are needed") as raised:
        scratch_maps((2**20, 2**14, 2**14, 2**6), tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    "shape", [(3, 2**20, 2**12, 2**9), (1, 1, 1, 1), (-1, 2, 2, 2), (0, 0, 0, 0)], ids=str
)
def test_a_header_of_maps_that_promises_something_else_takes_no_room(tmp_path, shape):
    file = tmp_path / "a.npz"
    with zipfile.ZipFile(file, "w") as archive, archive.open("probabilities.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "<f2", "fortran_order": False, "shape": shape})
        entry.write(bytes(64))
    with pytest.raises(ValueError, match=r"a\.npz does not hold maps"):
        read_maps(file)

"""``ingradient report``: one page that loads nothing, of a store, a run, a sweep or an evaluation."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from page_reader import PageReader
from PIL import Image
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli.sweep_table import write_page
from ingradient_pl.lightning.record_file import write_record
from ingradient_pl.lightning.run_epochs import write_epochs
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.reports.evaluations import order_cases
from ingradient_pl.reports.images import SLICES, choose_slices
from ingradient_pl.reports.parallel_coordinates import Axis, draw_parallel
from ingradient_pl.reports.plan_words import plan_in_words
from ingradient_pl.reports.summaries import read_summary
from ingradient_pl.reports.swept_runs import read_sweep_table
from ingradient_pl.reports.unlike_cases import find_unlike
from ingradient_pl.spec import to_spec

pytest.importorskip("plotly")

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def a_run(folder, store, plan, epochs=3, dice=0.5):
    """What a run leaves behind, without its training."""
    (folder / "images").mkdir(parents=True)
    record = {"state": "finished", "seed": 1, "length": {"epochs": epochs, "batches_per_epoch": 4}}
    record |= {
        "store": {"path": str(store)},
        "split": {"train": ["a"] * 4, "validation": ["b"]},
        "plan": plan,
    }
    write_record(folder, record)
    rows = [
        {
            "epoch": n,
            "train": 1 / n,
            "val": 1.1 / n,
            "dice": dice * n / epochs,
            "labels": {HOSTILE: 0.4},
            "lr": 0.1,
        }
        for n in range(1, epochs + 1)
    ]
    write_epochs(
        folder, [{**row, "seconds": 2.0, "patches": 9.0, "waiting": 0.1, "memory": 1.0} for row in rows]
    )
    for name in ("val_1_epoch0000", "val_1_epoch0002", "val_worst_epoch0002", "train_epoch0002"):
        Image.new("RGB", (60, 20)).save(folder / "images" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, phantom_store, phantom_plan, raw_phantoms):
    """A folder with a run, a sweep and an evaluation, in folders of odd names."""
    folder = tmp_path_factory.mktemp("made") / "a [b] ü, c=1"
    folder.mkdir()
    plan = json.loads(json.dumps(to_spec(read_plan(phantom_plan))))
    a_run(folder / "run", phantom_store, plan)
    rows = ["run,overrides,val/dice"]
    for number in range(5):
        a_run(folder / "sweep" / str(number), phantom_store, plan, dice=number / 10)
        rows.append(
            f"{number},module.optimizer.lr=0.{number + 1} network=<b>,{number / 10 if number else 'nan'}"
        )
    (folder / "sweep" / "runs.csv").write_text("\n".join(rows))
    (folder / "sweep" / "1" / "run.json").write_text("{")
    (folder / "sweep" / "0" / "error.txt").write_text("Traceback ...\nValueError: it did not fit\n")
    (folder / "predictions").mkdir()
    for shift, file in enumerate(sorted((raw_phantoms / "labelsTr").glob("*.nii.gz"))):
        image = nibabel.load(file)
        moved = np.roll(np.asarray(image.dataobj), shift, 0).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(moved, image.affine), folder / "predictions" / file.name)
    described = json.loads((raw_phantoms / "dataset.json").read_text())
    described["labels"] = {"background": 0, HOSTILE: 1, "lesion": 2}
    (folder / "predictions" / "dataset.json").write_text(json.dumps(described))
    ip.evaluate(folder / "predictions", raw_phantoms / "labelsTr", folder / "summary.json")
    a_crossval(folder / "crossval", phantom_store, phantom_plan, folder / "summary.json", rows)
    a_cascade(folder / "cascade", phantom_store, phantom_plan, rows)
    return folder


def a_crossval(folder, store, plan, summary, rows):
    """What a cross-validation leaves behind: one configuration, a cascade that failed, and a pair."""
    run = json.loads(json.dumps(to_spec(read_plan(plan))))
    for number in range(2):
        a_run(folder / "2d" / f"fold_{number}", store, run, dice=0.4 + number / 10)
    shutil.copy(summary, folder / "2d" / "summary.json")
    (folder / "runs.csv").write_text("run,overrides,val/dice\n2d/fold_0,plan=2d,0.4\n2d/fold_1,plan=2d,0.5")
    dice = {HOSTILE: {"mean": 0.5, "low": 0.4, "high": 0.6}, "mean of labels": {"mean": 0.51, "low": 0.41}}
    one = {"members": ["2d"], "cases": 6, "patients": 3, "Dice": dice}
    state = {"format": 1, "store": {"path": str(store), "cases": 6}, "settings": {"epochs": "3"}}
    state["configurations"] = {
        "2d": {"folds": {"0": "done", "1": "done"}},
        "3d_cascade_fullres": {"folds": {"0": "done", "1": f"it died {HOSTILE}"}},
    }
    state["summary"] = {
        "best": "2d",
        "candidates": {"2d": one, f"2d+{HOSTILE}": {**one, "Dice": 3}},
        "postprocessed": one,
        "failures": {"3d_cascade_fullres/fold_1": f"it died {HOSTILE}"},
    }
    (folder / "crossval.json").write_text(json.dumps(state))


def a_cascade(folder, store, plan, rows):
    """What a cascade leaves behind whose second stage has trained."""
    run = json.loads(json.dumps(to_spec(read_plan(plan))))
    a_run(folder / "first" / "fold_0", store, run)
    (folder / "first" / "runs.csv").write_text("run,overrides,val/dice\nfold_0,data.split.number=0,0.4")
    a_run(folder / "second", store, run)
    for stage in ("first", "second"):
        shutil.copy(plan, folder / f"{stage}.yaml")
    state = {"store": str(store), "folds of the first stage": [{}, {}]}
    (folder / "cascade.json").write_text(json.dumps(state))


@pytest.fixture(scope="module")
def pages(made, phantom_store):
    """A page of each kind."""
    sources = {"store": phantom_store, "run": made / "run", "sweep": made / "sweep"}
    sources["evaluation"] = made / "summary.json"
    sources |= {"crossval": made / "crossval", "cascade": made / "cascade"}
    return {kind: ip.report(path, made / f"{kind}.html") for kind, path in sources.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            "store",
            ["Geometry over all cases", "organ (ml)", "phantom_005", "What is odd", "Volume of each label"],
        ),
        (
            "run",
            [
                "finished",
                "patches of 16 × 16 × 16 voxels",
                "Learning rate",
                "worst patch, epoch 3",
                "Geometry",
            ],
        ),
        (
            "sweep",
            [
                "Runs, the best first",
                "ValueError: it did not fit",
                "record is damaged",
                "Parallel coordinates",
                "5, 4 with a score",
            ],
        ),
        (
            "evaluation",
            ["Cases, the worst first", "95 % low", "95 % intervals over", "phantom_005", "prediction"],
        ),
        (
            "crossval",
            ["Cross-validation", "2d, post-processed", "it died", "The worst cases: 2d", "Geometry"],
        ),
        ("cascade", ["The first stage:", "Folds of the first stage", "Curves: second stage", "Geometry"]),
    ],
)
def test_each_kind_of_page_tells_what_there_is_and_loads_nothing(pages, kind, told):
    text = pages[kind].read_text()
    page = PageReader(text)
    for words in told:
        assert words in page.text
    assert all(value.startswith(("data:", "#")) for value in page.loaded)
    assert "default-src 'none'" in text
    assert len(text) < 8e6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "sweep", "evaluation", "crossval", "cascade"])
def test_hostile_names_are_text(pages, kind):
    page = PageReader(pages[kind].read_text())
    charts = page.tags.count("figure")
    assert not page.handlers
    assert page.tags.count("script") <= charts + 2  # the charts' figures, plotly and the page's own
    assert page.tags.count("b") == 0
    if kind == "evaluation":
        assert HOSTILE in "".join(page.words)


@pytest.mark.slow
def test_the_worst_cases_come_first_and_can_be_scrolled_through(made, pages):
    summary = read_summary(made / "summary.json")
    assert order_cases(summary, "Dice")[0] in ("phantom_003", "phantom_004", "phantom_005")
    assert order_cases(summary, "Dice")[-1] == "phantom_000"
    page = PageReader(pages["evaluation"].read_text())
    assert page.text.count("slice") == 0  # written by the page itself
    assert page.tags.count("input") == 6
    few = PageReader(ip.report(made / "summary.json", made / "few.html", worst=2).read_text())
    assert few.tags.count("input") == 2


@pytest.mark.slow
def test_images_may_be_named_and_missing_ones_are_told(made, phantom_store, tmp_path):
    plain = json.loads((made / "summary.json").read_text())
    for place, entry in enumerate(plain["metric_per_case"]):
        lonely = tmp_path / "labels" / f"phantom_00{place}.nii.gz"
        lonely.parent.mkdir(exist_ok=True)
        shutil.copy(entry["reference_file"], lonely)
        entry["reference_file"] = str(lonely)
    plain["metric_per_case"][0]["prediction_file"] = "gone.nii.gz"
    (tmp_path / "summary.json").write_text(json.dumps(plain))
    without = PageReader(ip.report(tmp_path, tmp_path / "page.html").read_text())
    assert "Name the data set or the store: --images PATH" in without.text
    assert "gone cannot be shown" in without.text
    named = PageReader(ip.report(tmp_path, tmp_path / "page.html", images=phantom_store).read_text())
    assert "--images" not in named.text


@pytest.mark.slow
def test_a_run_may_be_told_with_its_evaluation(made, tmp_path):
    page = ip.report(made / "run", tmp_path / "page.html", evaluation=made / "summary.json")
    text = PageReader(page.read_text()).text
    assert "Curves" in text
    assert "The worst cases" in text


@pytest.mark.slow
def test_uncertainty_is_shown_beside_the_case_and_against_its_score(made, tmp_path):
    folder = tmp_path / "predictions"
    shutil.copytree(made / "predictions", folder)
    plain = json.loads((made / "summary.json").read_text())
    for place, entry in enumerate(plain["metric_per_case"]):
        file = folder / Path(entry["prediction_file"]).name
        entry["prediction_file"] = str(file)
        image = nibabel.load(file)
        shape = image.shape if place else (3, 3, 3)  # of another grid
        for kind in ("entropy", "disagreement"):
            (folder / kind).mkdir(exist_ok=True)
            share = np.full(shape, 50, np.uint8)
            nibabel.save(nibabel.Nifti1Image(share, image.affine), folder / kind / file.name)
    (tmp_path / "summary.json").write_text(json.dumps(plain))
    told = {f"phantom_00{place}": {HOSTILE: 0.9, "lesion": None} for place in range(6)}
    (folder / "dice_estimates.json").write_text(json.dumps(told))
    page = PageReader(ip.report(tmp_path, tmp_path / "page.html").read_text())
    assert "Dice that was expected" in "".join(page.words) or "of 6 cases and labels" in page.text
    text = (tmp_path / "page.html").read_text()
    assert text.count(': entropy"') == text.count(': disagreement"') == 5
    (folder / "dice_estimates.json").write_text("{")
    assert "Uncertainty" not in PageReader(ip.report(tmp_path, tmp_path / "page.html").read_text()).text


@pytest.mark.slow
def test_a_run_on_several_stores_tells_of_each(made, phantom_store, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(phantom_store, other)
    shutil.copytree(made / "run", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    parts = [{"name": path.name, "path": str(path)} for path in (phantom_store, other, tmp_path / "gone")]
    record["store"] = {"path": [part["path"] for part in parts], "parts": parts}
    write_record(tmp_path / "run", record)
    page = PageReader(ip.report(tmp_path / "run", tmp_path / "page.html").read_text())
    for name in ("store", "other"):
        assert f"A look at the cases: {name}" in page.text
    assert "gone" not in page.text


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("broken", "Call the command again"),
        ("nowhere", "there is no such file or folder"),
        ("empty", "none of what a report is made of"),
        ("begun", "nothing was trained there yet"),
        ("cases.json", "holds no case"),
        ("odd.json", "is not the summary of an evaluation"),
        ("rows/runs.csv", "holds no run"),
        ("cells/runs.csv", "is not the table of a sweep"),
    ],
)
def test_what_cannot_be_reported_is_one_line(monkeypatch, capsys, tmp_path, what, told):
    (tmp_path / "empty").mkdir()
    for name, content in (
        ("begun/.hydra/config.yaml", ""),
        ("cases.json", '{"metric_per_case": []}'),
        ("odd.json", '{"metric_per_case": [{"metrics": 3}]}'),
        ("rows/runs.csv", "run,overrides,val/dice"),
        ("cells/runs.csv", "run,overrides,val/dice\n1,a=2"),
        ("broken/crossval.json", "[1"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    code, _, err = outcome(monkeypatch, capsys, "report", tmp_path / what, "--output", tmp_path / "page.html")
    assert code in (1, 2)
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_a_page_replaces_no_file_that_is_read(monkeypatch, capsys, made):
    before = (made / "summary.json").read_bytes()
    line = ("report", made / "summary.json", "--output", made / "summary.json")
    code, _, err = outcome(monkeypatch, capsys, *line)
    assert code == 2
    assert "Name another file" in err
    assert (made / "summary.json").read_bytes() == before


@pytest.mark.parametrize("package", ["plotly", "jinja2"])
def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch, capsys, made, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = outcome(monkeypatch, capsys, "report", made / "run", "--output", made / "x.html")
    assert code == 1
    assert "pip install 'ingradient_pl[report]'" in err
    assert len(err.strip().splitlines()) == 1
    write_page(made / "sweep")
    said = capsys.readouterr().out
    assert said.count("pip install 'ingradient_pl[report]'") == 1
    assert not (made / "sweep" / "report.html").exists()


def test_a_sweep_leaves_its_page(made):
    write_page(made / "sweep")
    assert (made / "sweep" / "report.html").is_file()


def test_runs_are_sorted_and_axes_take_numbers_and_words(made):
    runs, score = read_sweep_table(made / "sweep")
    assert score == "val/dice"
    assert [run.folder for run in runs] == ["4", "3", "2", "1", "0"]
    assert runs[0].told == {"module.optimizer.lr": "0.5", "network": "<b>"}
    axes = [Axis("lr", ["0.1", "10", "0.001"]), Axis("kind", ["b", "a", "a"])]
    figure = draw_parallel(axes, [0.5, float("nan"), 0.7], "dice", ["x", "y", "z"])
    lines = [list(trace.y) for trace in figure.data]
    assert lines[0] == [1.0, 0.0]  # without a score it ends before it
    assert lines[-1] == [0.0, 0.0, 1.0]
    assert lines[1] == [pytest.approx(0.5), 1.0, 0.0]


def test_slices_are_those_of_the_labels_and_bounded():
    labelled = np.zeros(500, bool)
    labelled[100:103] = True
    assert choose_slices(labelled) == list(range(98, 105))
    labelled[100:400] = True
    chosen = choose_slices(labelled)
    assert len(chosen) == SLICES
    assert (chosen[0], chosen[-1]) == (98, 401)
    assert len(choose_slices(np.zeros(500, bool))) == SLICES
    assert choose_slices(np.ones(1, bool)) == [0]


def test_cases_unlike_the_others_are_found(phantom_store):
    cases = list(ip.CaseStore(phantom_store).cases.values())
    assert find_unlike(cases) == []
    odd = cases[0]._replace(grid=cases[0].grid._replace(spacing=(7.5, 1.0, 1.0)))
    assert find_unlike([odd, *cases[1:]])[0].startswith("phantom_000: voxels of 7.5 × 1 × 1 mm")


WRONG = [None, 3, "text", [], {}, [[1]], {"a": {"b": 1}}, float("nan")]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_record_that_somebody_changed_is_read_as_far_as_it_goes(made, tmp_path, wrong):
    run = tmp_path / "run"
    (run / "images").mkdir(parents=True)
    (run / "images" / "val_1_epoch0000.png").write_bytes(b"no picture")
    record = json.loads((made / "run" / "run.json").read_text())
    plan = dict.fromkeys(record["plan"], wrong)
    checked = {key: record[key] for key in ("state", "length")}  # where the record is read
    record = dict.fromkeys(record, wrong) | checked | {"plan": plan}
    write_record(run, record)
    row = json.loads((made / "run" / "epochs.jsonl").read_text().splitlines()[0])
    write_epochs(run, [{**dict.fromkeys(row, wrong), "epoch": 1}, {**row, "epoch": 2}])
    assert "Curves" in ip.report(run, tmp_path / "page.html").read_text()
    write_record(run, {"plan": wrong, "state": "finished"})
    assert "Curves" in ip.report(run, tmp_path / "page.html").read_text()


def test_a_damaged_case_takes_nothing_from_the_page_of_a_store(phantom_store, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(phantom_store, store)
    (store / "cases" / "phantom_001" / "image.b2nd").write_bytes(b"nothing")
    (store / "cases" / "phantom_002" / "numbers.npz").write_bytes(b"nothing")
    page = PageReader(ip.report(store, tmp_path / "page.html").read_text())
    assert page.text.count("Case 'phantom_001'") == 1
    assert page.text.count("Case 'phantom_002'") == 2  # intensities, and the centre of its labels
    assert page.tags.count("img") == 4


def test_a_plan_is_told_in_words_and_an_odd_one_as_far_as_it_goes(phantom_plan):
    told = " ".join(plan_in_words(to_spec(read_plan(phantom_plan))))
    assert "patches of 16 × 16 × 16 voxels" in told
    assert "4 × 4 × 4 times smaller" in told
    assert plan_in_words({}) == []


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(("kind", "width"), [("all", 1280), ("sweep", 500)])  # no window is narrower
def test_a_browser_draws_all_of_it_and_finds_no_fault(made, pages, tmp_path, kind, width):
    if kind == "all":
        page = ip.report(made / "run", tmp_path / "page [x].html", evaluation=made / "summary.json", worst=1)
    else:
        page = pages[kind]
    line = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    line += [f"--window-size={width},900", "--virtual-time-budget=8000", "--enable-logging=stderr"]
    done = subprocess.run(
        [*line, "--dump-dom", Path(page).as_uri()],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=200,
    )
    assert "CONSOLE" not in done.stderr, done.stderr  # a fault, or something that the page may not load
    drawn = PageReader(done.stdout)
    assert drawn.tags.count("figure") == PageReader(page.read_text()).tags.count("figure")
    assert 'type="application/json"' not in done.stdout  # charts have taken the place of their figures
    assert not drawn.handlers
    if kind == "all":
        assert "slice " in drawn.text

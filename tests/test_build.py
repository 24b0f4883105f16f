"""Cases are stored whole or not at all; a run resumes, notices changes and tells every fault at once."""

import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from opened_files import count_opens
from runs import outcome

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.store import build, metadata, odd_cases
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.source_stamp import stamp_file

NAMES = [f"phantom_{number:03d}" for number in range(4)]


@pytest.fixture
def raw(tmp_path) -> Path:
    return write_phantoms(tmp_path / "raw", 4, (10, 12, 14))


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def built(raw, store, **settings):
    return build_store(read_source(raw), store, progress=False, **settings)


def image_of(raw, number):
    return raw / "imagesTr" / f"phantom_{number:03d}_0000.nii.gz"


def label_of(raw, number):
    return raw / "labelsTr" / f"phantom_{number:03d}.nii.gz"


def changed(path, change=lambda voxels: voxels, affine=None, dtype=None):
    """Rewrite a NIfTI with other voxels or another place."""
    image = nibabel.load(path)
    voxels = change(np.asarray(image.dataobj).copy())
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine if affine is None else affine, dtype=dtype), path)


def test_a_summary_tells_what_was_found(raw, store):
    edited = json.loads((raw / "dataset.json").read_text()) | {"name": "Phantoms"}
    (raw / "dataset.json").write_text(json.dumps(edited))
    for number in (1, 3):
        for path in (image_of(raw, number), label_of(raw, number)):
            path.rename(path.with_name(path.name.replace(NAMES[number], f"anna_visit{number}")))
    summary = built(raw, store)
    text = str(summary)
    for words in (
        "Phantoms: 4 cases in the store, 4 new",
        "4 cases of 3 patients; up to 2 cases a patient, e.g. anna: anna_visit1, anna_visit3",
        "2 x 1 x 1 mm (z, y, x)",
        "int16 (4)",
        "organ",
        "MB",
    ):
        assert words in text
    assert summary.outcomes == {"done": 4}
    assert summary.classes["lesion"][0] == (2,)
    assert summary.classes["lesion"][1] == 4
    assert summary.size > 0
    stored = CaseStore(store)
    assert stored.cases["anna_visit1"].group == stored.cases["anna_visit3"].group == "anna"
    described = stored.describe("anna_visit1")
    assert described["sources"][0] == str(raw / "imagesTr" / "anna_visit1_0000.nii.gz")


def test_what_is_done_is_not_done_again_and_changes_are_noticed(raw, store):
    built(raw, store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert built(raw, store).outcomes == {"skipped": 4}
    assert before == {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    changed(label_of(raw, 2), lambda voxels: voxels * 0)
    summary = built(raw, store)
    assert summary.outcomes == {"skipped": 3, "rebuilt": 1}
    assert "1 rebuilt, their files or the format had changed" in str(summary)
    assert CaseStore(store).cases["phantom_002"].classes == ()
    os.utime(image_of(raw, 0))
    assert built(raw, store).outcomes == {"skipped": 3, "rebuilt": 1}
    for orientation, words in (
        ("RAS", "in the orientation LPS, not RAS"),
        ("XYZ", "'XYZ' is not an orientation"),
    ):
        with pytest.raises(ValueError, match=words):
            built(raw, store, orientation=orientation)
    assert built(raw, store).outcomes == {"skipped": 4}


@pytest.mark.parametrize("series", [True, False])
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_file_is_noticed_though_size_and_time_are_as_before(tmp_path, series, place):
    for number in range(5):
        (tmp_path / f"{number}.nii").write_bytes(bytes([number]) * 100_000)
        os.utime(tmp_path / f"{number}.nii", (1e9, 1e9))
    file = tmp_path / "2.nii"
    looked_at = tmp_path if series else file
    before = stamp_file(looked_at)
    assert stamp_file(looked_at) == before
    other = bytearray(file.read_bytes())
    other[place] ^= 1
    file.write_bytes(other)
    os.utime(file, (1e9, 1e9))
    assert stamp_file(looked_at) != before


def test_a_store_of_an_earlier_version_is_made_again_and_half_of_it_is_not_trained_on(raw, store):
    built(raw, store)
    for name in NAMES:
        folder = store / "cases" / name
        described = json.loads((folder / "case.json").read_text())
        del described["made_from"]["store_format"]
        (folder / "case.json").write_bytes(metadata.encode(described))
        with np.load(folder / "numbers.npz", allow_pickle=False) as numbers:
            kept = {key: numbers[key] for key in numbers if not key.startswith("coordinates_")}
        np.savez_compressed(folder / "numbers.npz", **kept)
    with pytest.raises(StoreError, match=r"Case 'phantom_001'.*numbers.npz cannot be read.*prepare the data"):
        CaseStore(store).foreground("phantom_001", 1)
    for name in NAMES:
        file = store / "cases" / name / "case.json"
        described = json.loads(file.read_text())
        del described[metadata.SUM]
        file.write_text(json.dumps(described))
    file = store / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"store_format": 1}))
    with pytest.raises(StoreError, match="earlier version"):
        CaseStore(store)
    assert built(raw, store).outcomes == {"rebuilt": 4}
    assert len(CaseStore(store).foreground("phantom_001", 1))


def test_a_damaged_case_is_made_again(raw, store):
    built(raw, store)
    (store / "cases" / "phantom_001" / "image.b2nd").unlink()
    (store / "cases" / "phantom_002" / "case.json").write_text("{")
    (store / "cases" / "phantom_003" / "label.b2nd").write_bytes(b"short")
    assert built(raw, store).outcomes == {"skipped": 1, "rebuilt": 3}
    CaseStore(store).read("phantom_003", CaseStore(store).cases["phantom_003"].grid.whole)


def test_patients_and_splits_may_change_without_a_rebuild(raw, store):
    built(raw, store)
    source = read_source(raw)
    moved = source._replace(cases=[case._replace(group="one", split="train") for case in source.cases])
    assert build_store(moved, store, progress=False).outcomes == {"skipped": 4}
    assert {(case.group, case.split) for case in CaseStore(store).cases.values()} == {("one", "train")}


def spoil(raw):
    """Ten cases, nine of them faulty in ways of their own; what is said about each."""
    labels = {"background": 0, "organ": 1, "lesion": 2}
    write_phantoms(raw, 10, (10, 12, 14))
    assert json.loads((raw / "dataset.json").read_text())["labels"] == labels
    whole = image_of(raw, 0).read_bytes()
    image_of(raw, 0).write_bytes(whole[: len(whole) // 2])
    changed(label_of(raw, 1), lambda voxels: voxels[:-1])
    shifted = nibabel.load(label_of(raw, 2)).affine.copy()
    shifted[0, 3] += 2
    changed(label_of(raw, 2), affine=shifted)
    changed(label_of(raw, 3), lambda voxels: np.where(voxels == 2, 7, voxels))
    changed(label_of(raw, 4), lambda voxels: voxels / np.float32(2), dtype=np.float32)
    changed(
        image_of(raw, 5), lambda voxels: np.where(voxels > 700, np.float32(np.nan), voxels), dtype=np.float32
    )
    changed(image_of(raw, 6), lambda voxels: np.stack([voxels, voxels], axis=-1))
    label_of(raw, 7).unlink()
    changed(image_of(raw, 8), lambda voxels: voxels * 0)
    return {
        "phantom_000": "phantom_000_0000.nii.gz: the gzip file is truncated",
        "phantom_001": r"phantom_001.nii.gz: its shape \(z, y, x\) .* differs",
        "phantom_002": r"phantom_002.nii.gz: its origin .* differs \(corners up to 2 mm apart\)",
        "phantom_003": r"phantom_003.nii.gz: it holds 7, which the task's labels do not name \(0, 1, 2\)",
        "phantom_004": "phantom_004.nii.gz: labels must be integers",
        "phantom_005": "phantom_005_0000.nii.gz: .*NaN or infinite",
        "phantom_006": "phantom_006_0000.nii.gz: it is 4D",
        "phantom_007": "phantom_007.nii.gz: its label is missing",
        "phantom_008": "phantom_008_0000.nii.gz: every voxel is zero",
    }


def test_every_faulty_case_is_told_at_once_and_the_good_ones_are_stored(raw, store):
    wanted = spoil(raw)
    summary = built(raw, store)
    assert list(CaseStore(store).cases) == ["phantom_009"]
    assert [fault.case for fault in summary.faults] == list(wanted)
    for fault in summary.faults:
        assert "\n" not in str(fault)

        assert re.search(wanted[fault.case], str(fault)), str(fault)
        assert fault.file.name in str(fault)
    assert "9 faulty cases, not in the store:" in str(summary)
    assert sorted(path.name for path in (store / "cases").iterdir()) == ["phantom_009"]


def test_a_source_that_cannot_be_read_deletes_no_good_case(raw, store):
    built(raw, store)
    before = {path: path.read_bytes() for path in sorted(store.glob("cases/*/*"))}
    image_of(raw, 0).unlink()
    image_of(raw, 0).symlink_to(raw / "a_disk_that_is_not_mounted")
    image_of(raw, 1).write_bytes(b"")
    label_of(raw, 2).unlink()
    summary = built(raw, store)
    assert [fault.case for fault in summary.faults] == NAMES[:3]
    assert {path: path.read_bytes() for path in sorted(store.glob("cases/*/*"))} == before
    assert summary.kept == tuple(NAMES[:3])
    assert "3 of the faulty cases stay in the store as they were prepared before: phantom_000" in str(summary)


def test_a_case_that_fits_the_task_no_more_leaves_the_store(raw, store):
    built(raw, store)
    image_of(raw, 1).write_bytes(b"")
    described = json.loads((raw / "dataset.json").read_text())
    described["labels"]["vessel"] = 3
    (raw / "dataset.json").write_text(json.dumps(described))
    assert [fault.case for fault in built(raw, store).faults] == ["phantom_001"]
    assert list(CaseStore(store).cases) == [NAMES[0], *NAMES[2:]]


def test_an_empty_label_is_a_warning_and_float_integers_are_labels(raw, store):
    changed(label_of(raw, 0), lambda voxels: voxels * 0)
    changed(label_of(raw, 1), lambda voxels: voxels.astype(np.float32), dtype=np.float32)
    summary = built(raw, store)
    assert not summary.faults
    assert len(summary.warnings) == 1
    assert "phantom_000.nii.gz: the label is empty" in str(summary)
    stored = CaseStore(store)
    assert stored.cases["phantom_000"].classes == ()
    assert stored.statistics("phantom_000")[0].foreground is None
    assert not any(len(stored.foreground("phantom_000", value)) for value in (1, 2))
    assert stored.cases["phantom_001"].classes == (1, 2)


def test_small_differences_of_rounding_are_no_fault(raw, store):
    affine = nibabel.load(label_of(raw, 0)).affine
    changed(label_of(raw, 0), affine=affine * (1 + 1e-5))
    assert not built(raw, store).faults


def test_a_label_in_another_orientation_is_no_fault(raw, store, tmp_path):
    built(raw, tmp_path / "plain")
    image = nibabel.load(label_of(raw, 0))
    nibabel.save(image.as_reoriented([[1, -1], [2, 1], [0, -1]]), label_of(raw, 0))
    assert not built(raw, store).faults
    first, second = CaseStore(tmp_path / "plain"), CaseStore(store)
    box = first.cases["phantom_000"].grid.whole
    np.testing.assert_array_equal(first.read("phantom_000", box).label, second.read("phantom_000", box).label)


def test_labels_that_the_crop_loses_are_told(raw, store):
    def outside(voxels):
        voxels[0, 0, 0] = 1
        return voxels

    changed(image_of(raw, 0), lambda voxels: np.pad(voxels[2:-2, 2:-2, 2:-2], 2))
    changed(label_of(raw, 0), outside)
    assert "1 labelled voxels lie where the image is zero" in str(built(raw, store))


def test_an_ignore_label_is_no_class_and_its_voxels_are_not_measured(raw, store):
    plain = json.loads((raw / "dataset.json").read_text())
    plain["labels"] = {"background": 0, "organ": 1, "ignore": 2}
    (raw / "dataset.json").write_text(json.dumps(plain))
    built(raw, store)
    stored = CaseStore(store)
    case = stored.cases["phantom_000"]
    voxels = stored.read("phantom_000", case.grid.whole)
    assert case.classes == (1,)
    assert stored.statistics("phantom_000")[0].foreground.voxels == np.count_nonzero(voxels.label == 1)
    annotated = stored.annotated_voxels("phantom_000")
    assert len(annotated) == min(10_000, np.count_nonzero(voxels.label != 2))
    assert (voxels.label[tuple(annotated.T)] != 2).all()


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, store):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it_ran"),)

    folder = tmp_path / "pairs"
    folder.mkdir()
    x, y = np.ones((1, 4, 5, 6), np.int16), np.ones((4, 5, 6), np.uint8)
    good = {"spacing": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0), "direction": tuple(np.eye(3).ravel())}
    for name, properties in {"bad": good | {"x": Attack()}, "good": good}.items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(properties))
    np.savez(folder / "object.npz", x=np.array([{}], dtype=object), y=y)
    (folder / "object.pkl").write_bytes(pickle.dumps(good))
    summary = built(folder, store)
    assert list(CaseStore(store).cases) == ["good"]
    assert "mkdir" in str(summary.faults[0])
    assert "array of numbers" in str(summary.faults[1])
    assert not (tmp_path / "it_ran").exists()


def test_a_full_disk_ends_the_run_with_nothing_half_written(raw, store, monkeypatch):
    real = Path.write_bytes

    def write(path, content):
        if path.name == "label.b2nd" and "phantom_002" in str(path):
            real(path, content[:5])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(StoreError, match=r"'phantom_002': the disk of .* is full.*prepare again"):
        built(raw, store, workers=1)
    monkeypatch.undo()
    left = sorted(path.name for path in (store / "cases").iterdir())
    assert "phantom_002" not in left
    assert not [name for name in left if name.startswith(".")]
    summary = built(raw, store)
    assert len(summary.cases) == 4
    assert summary.outcomes["done"] == 4 - len(left)


KILLED = """
import sys, time
from pathlib import Path
import ingradient_pl.store.build as build
from ingradient_pl.datasets.sources import images_only, read_source
real = Path.rename
def slow(path, target):
    if "phantom_002" in str(path):
        print("now", flush=True)
        time.sleep(60)
    return real(path, target)
Path.rename = slow
build.build_store(read_source(Path(sys.argv[1])), Path(sys.argv[2]), workers=1, progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_is_resumed_and_leaves_nothing_behind(raw, store):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(raw), str(store)], stdout=subprocess.PIPE)
    with process.stdout:
        assert process.stdout.readline().strip() == b"now"
        assert any(path.name.endswith("@phantom_002") for path in (store / "cases").iterdir())
        assert "phantom_002" not in CaseStore(store).cases
        assert not built(raw, store).faults  # beside a run that is alive: its folder stays
        assert any(path.name.startswith(".") for path in (store / "cases").iterdir())
        process.send_signal(signal.SIGKILL)
        process.wait()
    summary = built(raw, store)
    assert summary.outcomes == {"skipped": 4}
    assert sorted(path.name for path in (store / "cases").iterdir()) == NAMES


def test_a_store_of_another_data_set_or_version_is_not_written_to(raw, store, tmp_path):
    built(raw, store)
    other = write_phantoms(tmp_path / "other", 2, (10, 12, 14), channels=2)
    with pytest.raises(
        StoreError, match=r"channels \['MR'\]; the source has \['MR', 'MR1'\].*another folder"
    ):
        built(other, store)
    file = store / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"store_format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        built(raw, store)


def test_a_store_that_takes_no_cases_is_no_fault_of_theirs(raw, store, monkeypatch):
    def refuse(path, content):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreError, match="Read-only"):
        built(raw, store)


def test_a_store_that_cannot_be_written_is_explained(raw, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"cannot be written.*Choose a folder"):
        built(raw, tmp_path / "file" / "store")


def test_cases_that_the_source_has_no_more_are_told(raw, store):
    built(raw, store)
    image_of(raw, 3).unlink()
    label_of(raw, 3).unlink()
    summary = built(raw, store)
    assert "Not in the source, 1 case in the store: phantom_003" in str(summary)


@pytest.mark.slow
def test_preparing_needs_neither_torch_nor_lightning(raw, store):
    code = (
        "import sys; from pathlib import Path\n"
        "from ingradient_pl.store.build import build_store\n"
        "from ingradient_pl.datasets.sources import read_source\n"
        "build_store(read_source(Path(sys.argv[1])), Path(sys.argv[2]), progress=False)\n"
        "assert not {'torch', 'pytorch_lightning', 'hydra'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(raw), str(store)], check=True)


@pytest.mark.slow
@pytest.mark.real
def test_two_hundred_real_cases_take_little_disk(hippocampus, store):
    summary = built(hippocampus, store)
    assert summary.outcomes == {"done": 200}
    files = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
    sources = [path.stat().st_size for path in hippocampus.rglob("*") if path.is_file()]
    assert sum(files) <= 2.5 * sum(sources)
    assert len(files) <= 1 + 5 * 200


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.filterwarnings("ignore")
def test_single_real_cases_of_many_kinds_are_prepared(real_data, tmp_path):
    rows = ["case,image_0,label"]
    for folder in ("totalseg_ct_mr", "spine_mix", "pyradiomics_nrrd"):
        for label in sorted((real_data / "single_cases" / folder / "labels").iterdir()):
            name, _, ending = label.name.partition(".")
            image = label.parents[1] / "images" / f"{name}_0000.{ending}"
            rows.append(f"{name},{image},{label}")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    summary = built(tmp_path / "cases.csv", tmp_path / "store")
    assert not [str(fault) for fault in summary.faults]
    assert len(summary.cases) == len(rows) - 1


@pytest.mark.parametrize(
    "error",
    [OverflowError("too large"), zlib.error("bad block"), KeyError("x"), TypeError("no"), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_damaged_file_does_it_is_one_faulty_case(raw, store, monkeypatch, error):
    real = build.prepare_case

    def prepare_case(case, *more):
        if case.name == NAMES[1]:
            raise error
        return real(case, *more)

    monkeypatch.setattr(build, "prepare_case", prepare_case)
    summary = built(raw, store)
    assert [fault.case for fault in summary.faults] == [NAMES[1]]
    assert "phantom_001_0000.nii.gz" in str(summary.faults[0])
    assert len(summary.cases) == 3


TWICE = """
import sys
from pathlib import Path
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.store.build import build_store
source = read_source(Path(sys.argv[1]))
input()
for _ in range(3):
    for path in sorted(Path(sys.argv[1]).glob("imagesTr/*")):
        path.touch()
    build_store(source, Path(sys.argv[2]), progress=False)
"""


@pytest.mark.slow
def test_two_runs_that_make_cases_again_at_once_do_not_disturb_each_other(raw, store):
    built(raw, store)
    line = [sys.executable, "-c", TWICE, str(raw), str(store)]
    runs = [
        subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        _, said = run.communicate(timeout=120)
        assert run.returncode == 0, said
    found = built(raw, store).outcomes  # who wrote last may have read before the files changed once more
    assert set(found) <= {"skipped", "rebuilt"}
    assert sum(found.values()) == 4
    assert built(raw, store).outcomes == {"skipped": 4}
    assert sorted(path.name for path in (store / "cases").iterdir()) == NAMES
    opened = CaseStore(store)
    for name, case in opened.cases.items():
        opened.read(name, case.grid.whole)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "no permission"),
        (OSError(errno.EIO, "Input/output error"), "is it mounted and well"),
        (OSError("it has been replaced since it was opened"), "prepared again meanwhile"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "Delete the folder"),
        (OSError("chunk 0 is damaged"), "Delete the folder"),
    ],
)
def test_advice_fits_the_cause_and_throws_nothing_good_away(tmp_path, error, words):
    assert words in metadata.describe_cure(error, tmp_path)


def test_a_case_linked_elsewhere_and_a_folder_of_cases_that_is_a_link(raw, store, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    store.mkdir()
    (store / "cases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of the store"):
        built(raw, store)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("times", [0, 1, 3, 4])
def test_a_case_that_another_process_replaces_is_waited_for(phantom_store, monkeypatch, times):
    opened = []

    def replaced(folder):
        opened.append(folder)
        if len(opened) <= times:
            raise StoreError(f"{folder}/cases/phantom_002/case.json is missing")
        return CaseStore(folder)

    monkeypatch.setattr(odd_cases, "CaseStore", replaced)
    monkeypatch.setattr(odd_cases, "PATIENCE", (0.0, 0.0, 0.0))
    if times > len(odd_cases.PATIENCE):
        with pytest.raises(StoreError, match="is missing"):
            odd_cases.describe_stored(phantom_store)
    else:
        assert odd_cases.describe_stored(phantom_store) == []
    assert len(opened) == min(times, len(odd_cases.PATIENCE)) + 1


def test_a_file_is_opened_for_its_stamp_and_for_its_voxels_alone(raw, store):
    with count_opens(raw) as opened:
        built(raw, store, workers=1)
    assert {name: count for name, count in opened.items() if count != 2} == {"dataset.json": 1}
    assert len(opened) == 2 * len(NAMES) + 1
    with count_opens(raw) as opened:
        built(raw, store, workers=1)
    assert set(opened.values()) == {1}
    with count_opens(raw) as opened:
        assert len(images_only(raw / "imagesTr", CaseStore(store).task).cases) == len(NAMES)
    assert not opened


def test_one_of_anything_is_told_as_one(monkeypatch, capsys, tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    _, out, _ = outcome(monkeypatch, capsys, "phantoms", "--output", raw, "--cases", "1")
    _, prepared, _ = outcome(monkeypatch, capsys, "prepare", "--source", raw, "--store", store)
    _, shown, _ = outcome(monkeypatch, capsys, "show", store, "--output", tmp_path / "shown")
    labels = raw / "labelsTr"
    _, scored, _ = outcome(
        *(monkeypatch, capsys, "evaluate", "--predictions", labels, "--labels", labels),
        *("--output", tmp_path / "scores.json"),
    )
    said = out + prepared + shown + scored
    assert re.search(r"\b1 (phantom|case|picture)\b", said)
    assert not re.search(r"\b1 (phantoms|cases|pictures|patients|labels)\b", said), said

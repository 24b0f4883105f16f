"""The store gives any box of any case, in any process, and notices what is broken."""

import json
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.geometry import Box
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.store import case_store, metadata
from ingradient_pl.store import measure_case as content
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.chunks import Chunks, ChunkSums, pack
from ingradient_pl.store.statistics import Statistics
from ingradient_pl.store.store_union import open_stores
from ingradient_pl.task import Task


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_phantoms(
        tmp_path_factory.mktemp("raw"), 3, (20, 24, 28), (2.0, 1.0, 1.5), seed=4, channels=2
    )


@pytest.fixture(scope="module")
def built(raw) -> Path:
    store = raw.with_name(f"{raw.name}-store")
    build_store(read_source(raw), store, progress=False)
    return store


@pytest.fixture
def spoilable(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "store"))


def source_arrays(raw, name):
    image = read_volume([raw / "imagesTr" / f"{name}_{channel:04d}.nii.gz" for channel in range(2)])
    return image.voxels, read_label(raw / "labelsTr" / f"{name}.nii.gz").voxels[0]


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_boxes_are_those_of_the_source_in_the_wanted_order_of_axes(raw, built, transpose):
    store = CaseStore(built, transpose)
    assert list(store.cases) == ["phantom_000", "phantom_001", "phantom_002"]
    rng = np.random.default_rng(0)
    for name, case in store.cases.items():
        image, label = source_arrays(raw, name)
        plain = CaseStore(built).cases[name]
        cut = Box(plain.start, plain.grid.shape).slices
        image = image[(slice(None), *cut)].transpose(0, *(axis + 1 for axis in transpose))
        label = label[cut].transpose(transpose)
        assert case.grid.shape == label.shape
        assert case.grid.spacing == tuple((2.0, 1.0, 1.5)[axis] for axis in transpose)
        for _ in range(5):
            start = [int(rng.integers(count)) for count in case.grid.shape]
            stop = [
                int(rng.integers(first + 1, last + 1))
                for first, last in zip(start, case.grid.shape, strict=True)
            ]
            box = Box.between(start, stop)
            voxels = store.read(name, box)
            np.testing.assert_array_equal(voxels.image, image[(slice(None), *box.slices)])
            np.testing.assert_array_equal(voxels.label, label[box.slices])
            assert voxels.image.dtype == np.int16
            filled = image.any(axis=0)
            body = filled | content.find_holes(filled, range(3))
            np.testing.assert_array_equal(voxels.body, body[box.slices])
            assert store.read(name, box, body=False).body is None


def test_foreground_voxels_lie_in_their_class_in_any_order_of_axes(raw, built):
    for transpose in ((0, 1, 2), (2, 0, 1)):
        store = CaseStore(built, transpose)
        for name, case in store.cases.items():
            label = store.read(name, case.grid.whole).label
            assert case.classes == (1, 2)
            assert store.foreground(name, 3).shape == (0, 3)
            for value in case.classes:
                voxels = store.foreground(name, value)
                assert len(voxels) == case.voxels[value] == np.count_nonzero(label == value)
                assert (label[tuple(voxels.T)] == value).all()
                assert voxels.dtype == np.int32
            assert store.annotated_voxels(name) is None


def test_statistics_are_those_of_the_voxels(raw, built):
    store = CaseStore(built)
    for name, case in store.cases.items():
        voxels = store.read(name, case.grid.whole)
        for channel, found in zip(voxels.image, store.statistics(name), strict=True):
            regions = [np.ones(channel.shape, bool), voxels.body, voxels.label > 0]
            for region, statistics in zip(regions, found, strict=True):
                values = channel[region].astype(np.float64)
                assert statistics.voxels == values.size
                np.testing.assert_allclose((statistics.mean, statistics.std), (values.mean(), values.std()))
                np.testing.assert_allclose(statistics.quantile(0.005), np.quantile(values, 0.005))
                assert (statistics.minimum, statistics.maximum) == (values.min(), values.max())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float32"])
def test_statistics_of_any_type_equal_numpys(dtype):
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 30, 1001) if dtype != "uint8" else rng.integers(0, 255, 50)).astype(dtype)
    found = Statistics.of(values)
    np.testing.assert_allclose(
        found.quantiles, np.quantile(values.astype(float), np.linspace(0, 1, 1001)), rtol=1e-6
    )
    np.testing.assert_allclose(found.std, values.std(dtype=np.float64), rtol=1e-9)
    assert Statistics.of(values[:0]) is None
    wide = np.array([-(2**31), 0, 2**31 - 1], np.int32)
    assert Statistics.of(wide).quantile(1) == 2**31 - 1


def test_content_is_what_nnunet_keeps():
    from scipy import ndimage

    rng = np.random.default_rng(0)
    image = np.zeros((2, 20, 22, 24), np.int16)
    image[0, 4:15, 5:18, 3:20] = rng.random((11, 13, 17)) > 0.4
    image[1, 8:17, 5:9, 3:22] = 1
    filled = ndimage.binary_fill_holes(image.any(axis=0))
    found = content.find_content(image)
    where = np.argwhere(filled)
    assert found.box == Box.between(where.min(0), where.max(0) + 1)
    np.testing.assert_array_equal(found.body, filled[found.box.slices])
    assert content.find_content(np.zeros_like(image)) is None
    assert content.find_content(image + 1).body is None


def test_many_voxels_of_a_class_are_sampled_the_same_way_each_time():
    label = np.zeros((60, 90, 100), np.uint8)
    label[:50], label[50:52], label[59] = 1, 2, 255
    first, again, other = (content.find_foreground(label, 255, name) for name in ("a", "a", "b"))
    assert first.voxels == {1: 450_000, 2: 18_000}
    assert {value: len(found) for value, found in first.coordinates.items()} == {
        0: 10_000,
        1: 10_000,
        2: 10_000,
    }
    flat = label.reshape(-1)
    for value in (1, 2):
        assert (flat[first.coordinates[value]] == value).all()
        assert len(np.unique(first.coordinates[value])) == 10_000
    assert (flat[first.coordinates[0]] != 255).all()
    np.testing.assert_array_equal(first.coordinates[1], again.coordinates[1])
    assert not np.array_equal(first.coordinates[1], other.coordinates[1])
    assert content._ranks(2_000_000, np.random.default_rng(0)).size == 20_000


@pytest.mark.slow
def test_chunks_hold_any_array_and_read_any_box(tmp_path):
    rng = np.random.default_rng(0)
    for fill, dtype in ((0, np.int16), (-1024, np.int16), (3, np.uint8), (1.5, np.float32), (True, bool)):
        array = np.full((2, 100, 150, 130), fill, dtype)
        array[:, :50] = rng.integers(0, 2, (2, 50, 150, 130))
        array[1, :, 70:] = 0
        made = pack(array)
        path = tmp_path / "a.b2nd"
        path.write_bytes(made.content)
        chunks = Chunks(path, ChunkSums(len(made.content), made.sums))
        assert chunks.shape == array.shape
        for _ in range(10):
            start = [int(rng.integers(count)) for count in array.shape]
            box = tuple(
                slice(first, int(rng.integers(first + 1, last + 1)))
                for first, last in zip(start, array.shape, strict=True)
            )
            np.testing.assert_array_equal(chunks.read(box), array[box])


def test_every_flipped_byte_of_an_array_is_noticed_where_it_is_read(tmp_path):
    array = np.random.default_rng(0).integers(0, 4, (1, 128, 128, 160)).astype(np.int16)
    made = pack(array)
    path = tmp_path / "a.b2nd"
    whole = tuple(slice(0, count) for count in array.shape)
    places = [*range(0, 200, 9), *range(200, len(made.content), len(made.content) // 60)]
    for place in [*places, *range(len(made.content) - 100, len(made.content), 9)]:
        content_ = bytearray(made.content)
        content_[place] ^= 0x10
        path.write_bytes(content_)
        with pytest.raises((OSError, RuntimeError, ValueError)):
            Chunks(path, ChunkSums(len(made.content), made.sums)).read(whole)
    # what is not read is not held against the case
    content_ = bytearray(made.content)
    content_[len(content_) * 3 // 4] ^= 0x10
    path.write_bytes(content_)
    corner = Chunks(path, ChunkSums(len(made.content), made.sums)).read((slice(0, 1),) + (slice(0, 9),) * 3)
    np.testing.assert_array_equal(corner, array[:, :9, :9, :9])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["dataset.json", "cases/phantom_001/case.json"])
def test_a_digit_or_word_of_a_description_that_has_changed_is_noticed(spoilable, file):
    path = spoilable / file
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        if _plain(changed) != json.loads(whole):  # but for blanks
            with pytest.raises(StoreError, match=path.name):
                CaseStore(spoilable)
    for lacking in ("spacing", "native", "task", "bytes"):
        plain = json.loads(whole)
        if plain.pop(lacking, None):
            path.write_text(json.dumps(plain))
            with pytest.raises(StoreError, match=path.name):
                CaseStore(spoilable)


def _plain(content_):
    try:
        return json.loads(content_)
    except ValueError:
        return None


@pytest.mark.parametrize("file", ["image.b2nd", "label.b2nd", "body.b2nd", "numbers.npz"])
@pytest.mark.parametrize("harm", ["gone", "short", "flipped", "empty"])
def test_a_harmed_file_is_named_with_its_case_and_cure(spoilable, file, harm):
    path = spoilable / "cases" / "phantom_001" / file
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"short": whole[:-5], "flipped": bytes(flipped), "empty": b""}[harm])
    store = CaseStore(spoilable)
    good = store.read("phantom_000", Box((0, 0, 0), (4, 4, 4)))
    assert good.image.shape == (2, 4, 4, 4)

    def used():
        store.statistics("phantom_001")
        store.foreground("phantom_001", 1)
        store.read("phantom_001", store.cases["phantom_001"].grid.whole)

    with pytest.raises(StoreError, match=rf"Case 'phantom_001': .*{file} cannot be read.*prepare"):
        used()


def test_wrong_requests_are_refused(built, tmp_path):
    store = CaseStore(built)
    with pytest.raises(StoreError, match=r"No case 'liver'.*holds 3: phantom_000"):
        store.read("liver", Box((0, 0, 0), (1, 1, 1)))
    with pytest.raises(StoreError, match=r"leaves its grid.*Clip"):
        store.read("phantom_000", Box((-1, 0, 0), (4, 4, 4)))
    with pytest.raises(StoreError, match="leaves its grid"):
        store.read("phantom_000", Box((0, 0, 0), (0, 4, 4)))
    with pytest.raises(ValueError, match=r"transpose"):
        CaseStore(built, (0, 0, 1))
    with pytest.raises(StoreError, match=r"not a case store.*ingradient prepare"):
        CaseStore(tmp_path)


def test_a_store_opened_by_names_does_not_stand_for_its_folder(built):
    some = CaseStore(built, names=list(CaseStore(built).cases)[:1])
    with pytest.raises(StoreError, match="all cases"):
        os.fspath(some)
    assert list(open_stores(some).cases) == list(some.cases)
    assert Path(open_stores(CaseStore(built))) == Path(CaseStore(built)) == Path(built)


def test_a_newer_or_older_store_is_refused_and_so_is_a_raw_data_set(spoilable, raw):
    file = spoilable / "dataset.json"
    written = json.loads(file.read_text())
    file.write_text(json.dumps(written | {"store_format": 3}))
    with pytest.raises(StoreError, match=r"format 3.*up to 2.*Update"):
        CaseStore(spoilable)
    file.write_text(json.dumps(written | {"store_format": 1}))
    with pytest.raises(StoreError, match=r"format 1, now 2.*Prepare the data set again: ingradient prepare"):
        CaseStore(spoilable)
    with pytest.raises(StoreError, match=r"raw data set"):
        CaseStore(raw)


def mean_of(store, name):
    return float(store.read(name, store.cases[name].grid.whole).image.mean())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_store_that_is_in_use_goes_to_other_processes(built, way):
    store = CaseStore(built)
    wanted = [mean_of(store, name) for name in store.cases]
    context = multiprocessing.get_context(way)
    with context.Pool(2) as pool:
        jobs = [(store, name) for name in store.cases for _ in range(2)]
        assert sorted(set(pool.starmap(mean_of, jobs))) == sorted(wanted)


def test_a_pickled_store_is_small_and_keeps_no_handles(built):
    store = CaseStore(built, (2, 1, 0))
    mean_of(store, "phantom_000")
    content_ = pickle.dumps(store)
    assert len(content_) < 10_000
    other = pickle.loads(content_)
    assert other.cases == store.cases
    assert mean_of(other, "phantom_000") == mean_of(store, "phantom_000")


def test_a_read_only_store_is_read(spoilable):
    for path in [*spoilable.rglob("*"), spoilable]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        store = CaseStore(spoilable)
        assert mean_of(store, "phantom_000")
        assert len(store.foreground("phantom_000", 1))
    finally:
        for path in [spoilable, *spoilable.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.slow
def test_two_thousand_cases_open_by_one_small_file_each_and_few_stay_open(monkeypatch, spoilable):
    folder = spoilable / "cases"
    for number in range(2000):
        (folder / f"copy_{number:04d}").symlink_to(folder / "phantom_000")
    described, read = [], metadata.read_description
    monkeypatch.setattr(metadata, "read_description", lambda path: described.append(path) or read(path))
    monkeypatch.setattr(case_store, "Chunks", None)  # no voxels are opened
    store = CaseStore(spoilable)
    monkeypatch.undo()
    assert len(described) == len(set(described)) == 2003
    assert len(store.cases) == 2003
    for number in range(300):
        name = f"copy_{number:04d}"
        store.read(name, Box((0, 0, 0), (2, 2, 2)))
        store.statistics(name)
        store.foreground(name, 1)
    assert len(store._opened) <= 64
    assert len(store._statistics) <= 256


MUCH_READ = """
import sys
from pathlib import Path
from ingradient_pl.store.case_store import CaseStore
store = CaseStore(Path(sys.argv[1]))
for name, case in store.cases.items():
    for value in case.classes[:4]:
        store.foreground(name, value)
    store.read(name, case.grid.whole)
    store.statistics(name)
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_cases_of_many_classes_fill_no_memory(tmp_path):
    classes, size = 100, 64
    label = (np.arange(size**3) * (classes + 1) // size**3).reshape([size] * 3)
    for name, voxels in (("image", label * 10 + 1), ("label", label)):
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    task = Task(("CT",), {"background": 0, **{f"c{value}": value for value in range(1, classes + 1)}})
    case = CaseFiles("case", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz", "case")
    build_store(Source(task, [case]), tmp_path / "store", workers=1, progress=False)
    cases = tmp_path / "store" / "cases"
    for number in range(250):
        (cases / f"copy_{number:03d}").symlink_to(cases / "case")
    line = [sys.executable, "-c", MUCH_READ, str(tmp_path / "store")]
    done = subprocess.run(line, capture_output=True, encoding="utf-8", check=True, timeout=300)
    assert int(done.stdout) < 300e6


def test_sampled_voxels_are_kept_up_to_so_many_bytes(spoilable, monkeypatch):
    from ingradient_pl.store import case_store as store

    cases = CaseStore(spoilable)
    one = cases.foreground("phantom_000", 1)
    monkeypatch.setattr(store, "SAMPLED", 1)
    assert cases.foreground("phantom_000", 1) is one
    for name in ("phantom_001", "phantom_002"):
        cases.foreground(name, 1)
        assert len(cases._coordinates) == 1
    assert cases.foreground("phantom_000", 1) is not one


def test_a_file_that_is_replaced_while_it_is_open_is_named(spoilable):
    store = CaseStore(spoilable)
    mean_of(store, "phantom_000")
    file = spoilable / "cases" / "phantom_000" / "image.b2nd"
    shutil.copy2(file, file.with_suffix(".other"))
    file.with_suffix(".other").replace(file)
    with pytest.raises(StoreError, match=r"phantom_000': .*image.b2nd cannot be read \(it has been replaced"):
        mean_of(store, "phantom_000")


def test_a_chunk_is_checked_once_however_often_its_case_is_opened(spoilable, monkeypatch):
    from ingradient_pl.store import case_store as store
    from ingradient_pl.store import chunks

    checked = []
    plain = chunks._sum
    monkeypatch.setattr(chunks, "_sum", lambda payload: checked.append(1) or plain(payload))
    monkeypatch.setattr(store, "OPEN", 1)
    cases = CaseStore(spoilable)
    for _ in range(3):
        for name in cases.cases:
            mean_of(cases, name)
    assert len(checked) == sum(
        len(seal.sums) - 1 for kinds in cases._seals.values() for seal in kinds.values()
    )
    file = spoilable / "cases" / "phantom_000" / "image.b2nd"
    content_ = bytearray(file.read_bytes())
    content_[len(content_) // 2] ^= 0xFF
    file.write_bytes(content_)  # while it is closed
    with pytest.raises(StoreError, match=r"phantom_000': .*image.b2nd cannot be read"):
        mean_of(cases, "phantom_000")


def test_a_chunk_that_is_written_to_while_it_is_open_is_checked_again(spoilable):
    cases = CaseStore(spoilable)
    mean_of(cases, "phantom_000")
    file = spoilable / "cases" / "phantom_000" / "image.b2nd"
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        (byte,) = opened.read(1)
        opened.seek(-1, 1)
        opened.write(bytes([byte ^ 0xFF]))
    with pytest.raises(StoreError, match=r"phantom_000': .*image.b2nd cannot be read \(chunk 0 is damaged"):
        mean_of(cases, "phantom_000")


@pytest.mark.parametrize("file", ["dataset.json", "case.json", "numbers.npz", "image.b2nd"])
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "a bomb"])
def test_files_of_a_strangers_store_are_neither_waited_for_nor_without_end(
    built, tmp_path, monkeypatch, file, kind
):
    store = shutil.copytree(built, tmp_path / "store")
    (name, *_) = CaseStore(store).cases
    path = next(store.rglob(file if file == "dataset.json" else f"{name}/{file}"))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "/dev/zero":
        path.symlink_to(kind)
    else:
        monkeypatch.setattr(metadata, "LARGEST_NUMBERS", 2**20)
        np.savez_compressed(path.with_suffix(".npz"), statistics=np.zeros(2**20))
        path.with_suffix(".npz").rename(path)

    def read():
        opened = CaseStore(store)
        opened.check_sum()
        return opened.statistics(name), opened.read(name, opened.cases[name].grid.whole)

    with pytest.raises(StoreError, match=re.escape(file)):
        read()


def test_no_names_open_no_case(built):
    assert not CaseStore(built, names=[]).cases

"""One more volume for each case: written beside a store, read box by box, refused where it does not fit."""

import json
import pickle
import shutil

import numpy as np
import pytest

from ingradient_pl.geometry import Box
from ingradient_pl.store import CaseStore, CaseVolumes, StoreError, write_volume

BOX = Box((1, 2, 3), (4, 5, 6))


@pytest.fixture(params=[(0, 1, 2), (2, 0, 1)], ids=str)
def store(phantom_store, request):
    return CaseStore(phantom_store, request.param)


def numbered(shape, dtype=np.int64):
    """A volume in which no two voxels near each other are alike."""
    return (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
@pytest.mark.parametrize("whole", [True, False])
def test_a_box_is_what_was_written_there(store, tmp_path, dtype, whole):
    name = next(iter(store.cases))
    case = store.cases[name]
    volume = numbered(case.native.shape if whole else case.grid.shape, dtype)
    write_volume(tmp_path / "extra", store, name, volume)
    volumes = CaseVolumes(tmp_path / "extra", store)
    cut = volume[Box(case.start, case.grid.shape).slices] if whole else volume
    for opened in (volumes, pickle.loads(pickle.dumps(volumes))):  # as workers get it
        found = opened.read(name, BOX)
        assert np.array_equal(found, cut[BOX.slices])
        assert found.dtype == np.float32 if dtype is np.float64 else found.dtype == np.uint8
    other = CaseStore(store.path)  # another order of axes reads the same voxels
    back = np.argsort(store.transpose).tolist()
    again = CaseVolumes(tmp_path / "extra", other).read(name, BOX.transposed(back))
    assert np.array_equal(again, found.transpose(back))


def test_nothing_is_written_into_the_store(store, tmp_path):
    before = {file: file.stat().st_mtime_ns for file in store.path.rglob("*")}
    name = next(iter(store.cases))
    write_volume(tmp_path / "extra", store, name, numbered(store.cases[name].grid.shape))
    assert {file: file.stat().st_mtime_ns for file in store.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (np.zeros((2, 3, 4), np.uint8), r"has \(2, 3, 4\) voxels .*Bring it to one of these grids"),
        (np.full((1, 1, 1), np.nan), "not finite"),
        (np.full((1, 1, 1), 2**40), "takes 32 bit integers"),
        (np.full((1, 1, 1), 1j), "takes integers or floats"),
    ],
)
def test_a_volume_that_cannot_be_kept_is_refused(phantom_store, tmp_path, volume, told):
    store = CaseStore(phantom_store)
    name, case = next(iter(store.cases.items()))
    volume = np.broadcast_to(volume, case.grid.shape) if volume.size == 1 else volume
    with pytest.raises(StoreError, match=told):
        write_volume(tmp_path, store, name, volume)
    with pytest.raises(StoreError, match="No case 'nobody'"):
        write_volume(tmp_path, store, "nobody", volume)


@pytest.fixture
def written(phantom_store, tmp_path):
    """Folders of a store of one's own and of a volume for each of its cases."""
    shutil.copytree(phantom_store, tmp_path / "store")
    store = CaseStore(tmp_path / "store")
    for name, case in store.cases.items():
        write_volume(tmp_path / "extra", store, name, numbered(case.grid.shape) % 3)
    return store, tmp_path / "extra"


def test_what_fits_is_taken_and_both_kinds_do_not_mix(written):
    store, folder = written
    volumes = CaseVolumes(folder, store)
    volumes.check(store.cases, {0, 1, 2})
    name = next(iter(store.cases))
    with pytest.raises(StoreError, match=r"holds volumes of integers; that of .* holds floating numbers"):
        write_volume(folder, store, name, np.zeros(store.cases[name].grid.shape))
    with pytest.raises(StoreError, match=r"holds \[2\], which no label of the task has"):
        volumes.check(store.cases, {0, 1})


def without_one(folder, names):
    shutil.rmtree(folder / "cases" / names[0])


def another_case(folder, names):
    for file in (folder / "cases" / names[1]).iterdir():
        shutil.copy(file, folder / "cases" / names[0] / file.name)


def cut_short(folder, names):
    file = folder / "cases" / names[0] / "volume.json"
    file.write_bytes(file.read_bytes()[:-9])


def edited(folder, names):
    file = folder / "cases" / names[0] / "volume.json"
    plain = json.loads(file.read_text())
    file.write_text(json.dumps({**plain, "shape": [1, 1, 1]}))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (without_one, "no volume for 1 of 6 cases: phantom_000"),
        (another_case, "'phantom_000' .*Write it anew for the store|'phantom_000' has .* voxels, the case"),
        (cut_short, "volume.json cannot be read"),
        (edited, "volume.json cannot be read .its check sum differs"),
        (lambda folder, names: shutil.rmtree(folder), "holds no volumes of cases.*write_volume"),
    ],
)
def test_faults_are_named_before_anything_trains(written, fault, told):
    store, folder = written
    fault(folder, sorted(store.cases))
    with pytest.raises(StoreError, match=told):
        CaseVolumes(folder, store).check(store.cases)


def test_a_damaged_voxel_is_found_when_it_is_read(written):
    store, folder = written
    name = sorted(store.cases)[0]
    file = folder / "cases" / name / "volume.b2nd"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=rf"'{name}': .*volume.b2nd cannot be read"):
        CaseVolumes(folder, store).read(name, store.cases[name].grid.whole)

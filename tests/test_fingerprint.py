"""A fingerprint says what nnU-Net's says, and reads no voxel for it."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.intensity import Intensities, normaliser
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.statistics import Statistics
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, ZScore

STORED = json.loads(gzip.decompress((Path(__file__).parent / "expected/nnunet_plans.json.gz").read_bytes()))
TASK = Task(("CT",), {"background": 0, "organ": 1})
SOME = Intensities(mean=1.0, std=2.0, median=1.0, minimum=-3.0, maximum=4.0, low=-2.0, high=3.0)


def drawn(samples):
    """The definition: as many voxels from each case, all in one pot."""
    rng = np.random.default_rng(0)
    pot = np.concatenate([rng.choice(values, 200_000) for values in samples])
    low, median, high = np.percentile(pot, [0.5, 50, 99.5])
    return Intensities(pot.mean(), pot.std(), median, pot.min(), pot.max(), low, high)


@pytest.mark.parametrize("cases", [1, 2, 7])
def test_intensities_are_pooled_as_if_each_case_gave_as_many_voxels(cases):
    rng = np.random.default_rng(cases)
    samples = [
        rng.normal(rng.uniform(-50, 100), rng.uniform(5, 40), int(rng.integers(500, 60_000)))
        for _ in range(cases)
    ]
    pooled = Intensities.pool([Statistics.of(values) for values in samples])
    definition = drawn(samples)
    spread = definition.high - definition.low
    for name in ("mean", "std", "median", "low", "high"):
        assert getattr(pooled, name) == pytest.approx(getattr(definition, name), abs=0.01 * spread), name
    assert (pooled.minimum, pooled.maximum) == (min(map(np.min, samples)), max(map(np.max, samples)))


def test_a_single_case_keeps_its_own_percentiles():
    values = np.random.default_rng(0).gamma(2.0, 100.0, 5000)
    pooled = Intensities.pool([Statistics.of(values)])
    expected = np.percentile(values, [0.5, 50, 99.5])
    assert (pooled.low, pooled.median, pooled.high) == pytest.approx(tuple(expected))
    assert (pooled.mean, pooled.std) == pytest.approx((values.mean(), values.std()))


def test_without_foreground_there_are_no_intensities():
    assert Intensities.pool([]) is None


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("CT", CT(-2.0, 3.0, 1.0, 2.0)),
        ("ct", CT(-2.0, 3.0, 1.0, 2.0)),
        ("noNorm", NoNormalisation()),
        ("rescale_to_0_1", MinMax01()),
        ("RGB_to_0_1", RGB01()),
        ("zscore", ZScore(masked=True)),
        ("T1 with contrast", ZScore(masked=True)),
    ],
)
def test_a_channels_name_chooses_its_normaliser(channel, expected):
    assert normaliser(channel, SOME, masked=True) == expected


def test_ct_without_foreground_names_the_cure():
    with pytest.raises(ValueError, match=r"'CT'.*labels, or call the channel otherwise"):
        normaliser("CT", None, masked=False)


def test_wrong_lists_are_refused():
    with pytest.raises(ValueError, match="got 2 and 1"):
        Fingerprint.of([(8, 8, 8)] * 2, [(1.0, 1.0, 1.0)], TASK)
    with pytest.raises(ValueError, match="three positive"):
        Fingerprint.of([(8, 8)], [(1.0, 1.0, 1.0)], TASK)
    with pytest.raises(ValueError, match="without cases"):
        Fingerprint.of([], [], TASK)
    with pytest.raises(ValueError, match=r"1 channels \(CT\).*given for 2"):
        Fingerprint.of([(8, 8, 8)], [(1.0, 1.0, 1.0)], TASK, 1.0, [SOME, SOME])


def test_a_store_gives_its_fingerprint(tmp_path):
    write_phantoms(tmp_path / "raw", cases=3, shape=(20, 24, 28), spacing=(2.0, 1.0, 1.0), seed=0)
    build_store(read_source(tmp_path / "raw"), tmp_path / "store", workers=1)
    store = CaseStore(tmp_path / "store")
    found = Fingerprint.of_store(store)
    assert len(found.grids) == 3
    assert [grid.shape for grid in found.grids] == [case.grid.shape for case in store.cases.values()]
    assert found.median_spacing == pytest.approx((2.0, 1.0, 1.0))
    assert 0 < found.relative_size <= 1
    assert found.orientation == "LPS"
    (pooled,) = found.foreground
    assert pooled.minimum <= pooled.low <= pooled.median <= pooled.high <= pooled.maximum
    assert Planner().plans(found)["3d_fullres"].orientation == "LPS"
    with pytest.raises(ValueError, match=r"transpose=\(2, 0, 1\)"):
        Fingerprint.of_store(CaseStore(tmp_path / "store", transpose=(2, 0, 1)))


REAL = [
    "Dataset004_Hippocampus",
    pytest.param("Dataset027_ACDC", marks=pytest.mark.slow),
    pytest.param("Dataset013_BraTS2013", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_the_store_of_a_real_data_set_gives_what_nnunet_measured(name, real_data, tmp_path):
    stored = STORED["real"][name]["fingerprint"]
    build_store(read_source(real_data / name), tmp_path / "store")
    found = Fingerprint.of_store(CaseStore(tmp_path / "store"))
    assert [list(grid.shape) for grid in found.grids] == stored["shapes"]
    assert np.allclose([grid.spacing for grid in found.grids], stored["spacings"], rtol=1e-6)
    assert found.relative_size == pytest.approx(stored["relative_size"])
    for pooled, numbers in zip(found.foreground, stored["intensities"], strict=True):
        mean, std, minimum, low, median, high, maximum = numbers
        near = {"rel": 0.005, "abs": 0.001 * (high - low)}  # nnU-Net draws voxels, we do not
        assert (pooled.mean, pooled.std) == pytest.approx((mean, std), **near)
        assert (pooled.low, pooled.median, pooled.high) == pytest.approx((low, median, high), **near)
        assert (pooled.minimum, pooled.maximum) == pytest.approx((minimum, maximum))
    for preset, expected in STORED["real"][name]["plans"].items():
        for configuration, plan in Planner(preset=PRESETS[preset]).plans(found).items():
            axes = 2 if configuration == "2d" else 3
            assert list(plan.patch)[-axes:] == expected[configuration]["patch"]
            assert plan.batch_size == expected[configuration]["batch_size"]
            assert list(plan.spacing)[-axes:] == pytest.approx(expected[configuration]["spacing"])

import json
import pickle
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from oracles import plan
from patches import sampling_of

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.oversampling import Chance, FixedShare
from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import STILL, PlannedDraws, TrainingDraws
from ingradient_pl.geometry import Box, Grid
from ingradient_pl.images.formats import read_label
from ingradient_pl.loading.candidates import count_regions
from ingradient_pl.loading.patches import CasePatches
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.transforms.patch_sampling import lay_patch


def foreground(index, value):
    """Two voxels of class 1, one of class 2: read on demand, like the store's."""
    voxels = {1: [[3, 4, 5], [10 + index, 50, 40]], 2: [[6, 7, 8]]}
    return np.array(voxels[value], dtype=np.int32)


CASES = [
    Candidate(f"case{i}", Grid((20 + i, 60, 50), (3.0, 1.0, 1.0)), partial(foreground, i), (1, 2))
    for i in range(5)
]
DRAWS = PlannedDraws((24, 40, 32), (2.0, 1.0, 1.0), batch_size=4, seed=7)
KEPT = PlannedDraws((8, 40, 32), (None, 1.0, 1.0), affine=None, seed=3)


def start_of(draw, spacing, patch=(8, 40, 32)):
    """The patch's first voxel on the case's network grid."""
    case = next(case for case in CASES if case.name == draw.case)
    step = np.array(case.grid.shape) / case.grid.respaced(spacing).shape
    return np.round(np.array(draw.centre) / step - np.array(patch) / 2, 6), case


def box_of(draw, draws, cases):
    """The voxels of its case that a draw reads, of the image."""
    native = next(case.grid for case in cases if case.name == draw.case)
    return sampling_of(native, draw, draws).image_box


def test_a_draw_depends_on_its_number_alone():
    forwards = [DRAWS.draw(number, CASES) for number in range(50)]
    backwards = [DRAWS.draw(number, CASES) for number in reversed(range(50))]
    assert forwards == backwards[::-1]
    assert pickle.loads(pickle.dumps(DRAWS)).draw(17, CASES) == forwards[17]


def test_another_seed_draws_otherwise():
    other = replace(DRAWS, seed=8)
    assert sum(DRAWS.draw(n, CASES).centre == other.draw(n, CASES).centre for n in range(20)) < 5


@pytest.mark.parametrize("cases_per_batch", [1, 2, 4])
def test_every_case_comes_equally_often(cases_per_batch):
    draws = replace(DRAWS, cases_per_batch=cases_per_batch)
    patches = 4 // cases_per_batch * len(CASES)  # of one round
    for turn in range(4):
        names = Counter(draws.draw(turn * patches + n, CASES).case for n in range(patches))
        assert set(names.values()) == {4 // cases_per_batch}
        assert len(names) == len(CASES)


def test_a_batch_is_drawn_from_as_many_patients_as_asked():
    for cases in (1, 2, 4):
        draws = replace(DRAWS, cases_per_batch=cases, batch_size=8)
        for batch in range(6):
            names = {draws.draw(8 * batch + position, CASES).case for position in range(8)}
            assert len(names) <= cases
            assert len(names) == cases or cases > 1  # a batch may span the end of one round and the next


def test_rounds_come_in_another_order():
    orders = [
        tuple(DRAWS.draw((turn * len(CASES) + i) * 4, CASES).case for i in range(len(CASES)))
        for turn in range(6)
    ]
    assert len(set(orders)) > 3


@pytest.mark.parametrize(("size", "forced"), [(2, 1), (9, 3), (4, 1), (12, 4)])
def test_as_many_patches_are_forced_as_in_nnunet(size, forced):
    rule = FixedShare(0.33)
    answers = [rule.forced(position, size, None) for position in range(size)]
    assert answers == [False] * (size - forced) + [True] * forced


@pytest.mark.parametrize("share", [0.0, 0.33, 0.8, 1.0])
def test_a_batch_of_one_is_forced_by_chance(share):
    """Else it never would be, below a half, and always above."""
    draws = replace(KEPT, batch_size=1, oversampling=FixedShare(share))
    marked = [
        case._replace(classes=(1,), foreground={1: np.array([[0, 59, 49]], np.int32)}) for case in CASES
    ]
    forced = [tuple(start_of(draws.draw(n, marked), draws.spacing)[0]) for n in range(400)]
    assert np.mean([start[1:] == (39, 33) for start in forced]) == pytest.approx(share, abs=0.08)


def test_chance_forces_each_by_itself():
    rng = np.random.default_rng(0)
    assert np.mean([Chance(0.25).forced(0, 2, rng) for _ in range(4000)]) == pytest.approx(0.25, abs=0.03)


def test_forced_patches_lie_about_a_foreground_voxel():
    draws = replace(KEPT, oversampling=FixedShare(1.0))
    seen = Counter()
    for number in range(200):
        draw = draws.draw(number, CASES)
        start, case = start_of(draw, draws.spacing)
        voxels = {
            (label, tuple(voxel)): np.maximum(0, voxel - np.array(draws.patch) // 2)
            for label in case.classes
            for voxel in case.foreground(label)
        }
        hits = [key for key, expected in voxels.items() if np.array_equal(expected, start)]
        assert hits
        seen.update({label for label, _ in hits})
    assert seen[1] == pytest.approx(100, abs=30)  # classes alike, not voxels


def test_class_weights_choose_the_class():
    draws = replace(KEPT, oversampling=FixedShare(1.0), class_weights={2: 1.0})
    for number in range(20):
        start, _ = start_of(draws.draw(number, CASES), draws.spacing)
        assert start.tolist() == [2, 0, 0]


@pytest.mark.slow
def test_classes_are_drawn_as_their_weights_and_their_voxels_all_alike():
    draws = replace(KEPT, oversampling=FixedShare(1.0), class_weights={1: 1.0, 2: 3.0})
    voxels = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3) + 30
    asked, case = Counter(), Candidate("a", Grid((90, 90, 90), (3.0, 1.0, 1.0)), {}, (1, 2))

    def read(value):
        asked[value] += 1
        return voxels[: 125 if value == 2 else 1].astype(np.int32)

    case, centres = case._replace(foreground=read), Counter()
    for number in range(8000):
        centres[draws.draw(number, [case]).centre] += 1
    assert asked[2] / 8000 == pytest.approx(0.75, abs=0.02)
    often = sorted(centres.values())
    assert len(often) == 125
    # 6000 draws of 125 voxels, the first of which class 1 has too: chi-squared of the others
    spread = sum((count - 48) ** 2 / 48 for count in often[:-1])
    assert 75 < spread < 190


NESTED = ((1, 2, 3), (2, 3), (3,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regions", "counts"),
    [
        (NESTED, {1: 4000, 2: 1000, 3: 250}),
        (NESTED, {1: 10, 2: 40, 3: 3000}),
        (NESTED, {1: 500, 3: 500}),
        (NESTED, {2: 7}),
        (((1, 2), (2, 4), (4,), (5,)), {1: 300, 2: 100, 4: 20, 6: 5000}),
    ],
)
def test_of_regions_one_is_drawn_and_then_any_voxel_of_it_as_in_nnunet(regions, counts):
    """Expected: a region that the case holds, all alike, and of all its voxels one, all alike."""
    pools = [np.concatenate([[], *(np.full(counts.get(v, 0), v) for v in region)]) for region in regions]
    pools = [pool for pool in pools if len(pool)]
    expected = {value: np.mean([(pool == value).mean() for pool in pools]) for value in counts}

    def stored(value):  # two voxels of each are kept, however many there are
        return np.array([[10 * value, 5, 5], [10 * value, 6, 6]], dtype=np.int32)

    held = count_regions(regions, counts)
    case = Candidate("a", Grid((90, 20, 20), (1.0, 1.0, 1.0)), stored, tuple(counts), None, held)
    draws = PlannedDraws((1, 1, 1), (1.0, 1.0, 1.0), affine=None, oversampling=FixedShare(1.0))
    drawn = Counter(round(draws.draw(number, [case]).centre[0] - 0.5) // 10 for number in range(4000))
    assert set(drawn) == {value for value, share in expected.items() if share}
    for value, share in expected.items():
        assert drawn[value] / 4000 == pytest.approx(share, abs=0.03), value


def test_weights_of_classes_go_before_regions_and_without_regions_patches_lie_anywhere():
    case = Candidate("a", CASES[0].grid, partial(foreground, 0), (1, 2), None, ({1: 9, 2: 1},))
    draws = replace(KEPT, oversampling=FixedShare(1.0), class_weights={2: 1.0})
    assert draws.draw(0, [case]).centre == draws.draw(1, [case]).centre  # class 2 has one voxel
    none = replace(KEPT, oversampling=FixedShare(1.0))
    empty = case._replace(regions=())
    assert len({none.draw(number, [empty]).centre for number in range(20)}) > 3


def test_a_store_tells_the_draws_its_regions(tmp_path):
    raw = write_phantoms(tmp_path / "raw", 2, (12, 20, 20))
    described = json.loads((raw / "dataset.json").read_text())
    described["labels"] = {"background": 0, "whole": [1, 2], "lesion": [2]}
    described["regions_class_order"] = [1, 2]
    (raw / "dataset.json").write_text(json.dumps(described))
    build_store(read_source(raw), tmp_path / "store", progress=False)
    store = CaseStore(tmp_path / "store")
    for candidate in CasePatches(store, plan(outputs=2), TrainingDraws(), list(store.cases)).candidates:
        values = read_label(raw / "labelsTr" / f"{candidate.name}.nii.gz").voxels
        one, two = ((values == value).sum() for value in (1, 2))
        assert candidate.regions == ({1: one, 2: two}, {2: two})


def test_free_patches_lie_anywhere_inside():
    draws = replace(KEPT, oversampling=FixedShare(0.0), spacing=(3.0, 1.0, 1.0))
    starts = []
    for number in range(600):
        start, case = start_of(draws.draw(number, CASES), draws.spacing)
        assert (start >= 0).all()
        assert (start + draws.patch <= case.grid.shape).all()
        starts.append(start)
    assert set(np.array(starts)[:, 1]) == set(range(21))
    assert set(np.array(starts)[:, 2]) == set(range(19))


@pytest.mark.parametrize("length", [1, 2, 7, 23, 24])
def test_a_case_shorter_than_the_patch_is_held_in_its_middle(length):
    case = Candidate("small", Grid((length, 60, 60), (1.0, 1.0, 1.0)), {}, ())
    draws = PlannedDraws((24, 24, 24), (1.0, 1.0, 1.0), affine=None)
    for number in range(8):
        draw = draws.draw(number, [case])
        before = 12 - draw.centre[0]
        assert abs(before - (24 - length) / 2) <= 0.5
        box = box_of(draw, draws, [case])
        assert box.start[0] == 0
        assert box.shape[0] == length


@pytest.mark.parametrize(
    ("known", "classes"), [({}, ()), ({}, (1,)), ({1: np.zeros((0, 3), np.int32)}, (1,))], ids=str
)
def test_a_case_without_foreground_is_drawn_anywhere(known, classes):
    case = Candidate("empty", Grid((30, 60, 60), (1.0, 1.0, 1.0)), known, classes)
    draws = PlannedDraws((8, 24, 24), (1.0, 1.0, 1.0), oversampling=FixedShare(1.0))
    assert len({draws.draw(number, [case]).centre for number in range(20)}) > 15


@pytest.mark.slow
def test_boxes_are_inside_and_never_empty():
    wild = RandomAffine(
        rotation=180, rotation_p=0.7, scaling=(0.3, 3.0), scaling_p=0.7, synchronised_p=0.0, flat=False
    )
    odd = [
        Candidate("odd", Grid((1, 200, 3), (5.0, 0.3, 1.0)), {1: np.array([[0, 199, 2]], np.int32)}, (1,)),
        *CASES,
    ]
    for spacing in ((2.0, 1.0, 1.0), (None, 0.5, 4.0)):
        draws = PlannedDraws((17, 12, 20), spacing, affine=wild)
        for number in range(300):
            draw = draws.draw(number, odd)
            shape = next(case.grid.shape for case in odd if case.name == draw.case)
            laid = sampling_of(next(case.grid for case in odd if case.name == draw.case), draw, draws)
            assert laid.label_box.voxels > 0
            assert laid.image_box == laid.image_box.clipped(shape)
            assert laid.label_box == laid.label_box.clipped(shape)
            assert np.array_equal(
                np.maximum(laid.image_box.start, laid.label_box.start), laid.label_box.start
            )
            assert np.array_equal(np.minimum(laid.image_box.stop, laid.label_box.stop), laid.label_box.stop)


def test_the_box_holds_every_voxel_the_patch_reaches_and_the_margin_and_one_more_at_most():
    draws = replace(DRAWS, affine=RandomAffine(rotation_p=0.5, scaling_p=0.5, flat=False))
    for number in range(60):
        draw = draws.draw(number, CASES)
        native = next(case.grid for case in CASES if case.name == draw.case)
        corners = np.stack(np.meshgrid(*[[0.5 - n / 2, n / 2 - 0.5] for n in DRAWS.patch])).reshape(3, -1)
        spacing = np.array(native.extent) / native.respaced(DRAWS.spacing).shape
        mm = np.reshape(draw.affine, (3, 3)) @ (corners * spacing[:, None])
        at = mm / np.array(native.spacing)[:, None] + np.array(draw.centre)[:, None] - 0.5
        low = np.clip(np.floor(at.min(1) + 1e-6), 0, np.array(native.shape) - 1)
        high = np.clip(np.ceil(at.max(1) - 1e-6), 0, np.array(native.shape) - 1)
        box = box_of(draw, draws, CASES)
        assert (np.array(box.start) <= low).all()
        assert (np.array(box.stop) > high).all()
        turned = np.count_nonzero(np.reshape(draw.affine, (3, 3)), axis=1) > 1
        more = np.where(turned, 1, draws.margin + 1)
        assert (np.array(box.start) >= low - more).all()
        assert (np.array(box.stop) - 1 <= high + more).all()


def test_the_margin_is_read_only_where_the_spline_works():
    native, patch = Grid((100, 100, 100), (1.0, 1.0, 1.0)), Grid((20, 20, 20), (1.0, 0.8, 1.0))
    centre, turned = (50.0, 50.0, 50.0), (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8)
    laid = lay_patch(native, patch, centre, STILL, margin=12)
    assert laid.image_box == Box((40, 29, 40), (20, 42, 20))
    assert laid.label_box == Box((40, 41, 40), (20, 18, 20))
    turned_boxes = [lay_patch(native, patch, centre, turned, margin=margin)[:2] for margin in (12, 0)]
    assert turned_boxes[0] == turned_boxes[1]
    assert turned_boxes[0][0].shape[0] == 20


def test_validation_without_motion_takes_the_same_centres():
    still = replace(DRAWS, affine=None)
    for number in range(30):
        assert still.draw(number, CASES).centre == DRAWS.draw(number, CASES).centre
        assert still.draw(number, CASES).affine == STILL


def test_foreground_is_read_for_forced_patches_only():
    reads = []
    cases = [case._replace(foreground=lambda c: reads.append(c) or foreground(0, c)) for case in CASES]
    for number in range(40):
        DRAWS.draw(number, cases)
    assert len(reads) == 10
    assert set(reads) == {1, 2}


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"cases_per_batch": 3, "batch_size": 2}, "between 1 and the plan's batch size"),
        ({"cases_per_batch": 0}, "between 1 and the plan's batch size"),
        ({"seed": -1}, "seed=-1"),
        ({"patch": (4, 0, 4)}, "positive"),
    ],
)
def test_wrong_settings_are_refused_with_the_cure(settings, cure):
    with pytest.raises(ValueError, match=cure):
        replace(DRAWS, **settings)


def test_wrong_shares_and_no_cases_are_refused_with_the_cure():
    with pytest.raises(ValueError, match="Divide it by 100"):
        FixedShare(33)
    with pytest.raises(ValueError, match="Divide it by 100"):
        Chance(-0.1)
    with pytest.raises(ValueError, match="no cases"):
        DRAWS.draw(0, [])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_parts_are_not_annotated_patches_lie_about_voxels_that_are(share):
    """Patches centred on foreground lie about it; without any, about what is annotated, as all others."""
    annotated = np.array([[5, 30, 20], [12, 31, 25]], dtype=np.int32)
    partly = [case._replace(annotated=lambda: annotated) for case in CASES]
    bare = [case._replace(classes=()) for case in partly]
    draws = replace(KEPT, oversampling=FixedShare(share), spacing=(3.0, 1.0, 1.0))
    expected = {tuple(np.maximum(0, voxel - np.array(draws.patch) // 2)) for voxel in annotated}
    for cases in (bare,) if share else (partly, bare):
        found = {tuple(start_of(draws.draw(n, cases), draws.spacing)[0]) for n in range(40)}
        assert found == expected
    if share:
        found = {tuple(start_of(draws.draw(n, partly), draws.spacing)[0]) for n in range(40)}
        assert not found & expected


@pytest.mark.parametrize("weights", [{}, {1: 0.0}, {1: -1.0, 2: 2.0}], ids=str)
def test_weights_that_would_switch_oversampling_off_are_refused(weights):
    with pytest.raises(ValueError, match="class_weights gives a weight"):
        PlannedDraws((8, 8, 8), (1.0, 1.0, 1.0), class_weights=weights)

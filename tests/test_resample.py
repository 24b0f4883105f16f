import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from patches import sampling_of
from scipy import ndimage
from torch.testing import assert_close

from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import STILL, PlannedDraws
from ingradient_pl.geometry import Box, Grid
from ingradient_pl.transforms import labels
from ingradient_pl.transforms import resample as resample_module
from ingradient_pl.transforms.labels import label_along_axes, resample_label, resample_nearest
from ingradient_pl.transforms.matrix_products import multiply_axis
from ingradient_pl.transforms.patch import (
    AxisSampling,
    Crop,
    Interpolation,
    NearestVoxels,
    ObliqueSampling,
    PlaneSampling,
)
from ingradient_pl.transforms.patch_sampling import lay_patch
from ingradient_pl.transforms.resample import along_axes, along_axis, points, resample
from ingradient_pl.transforms.resampling_rule import Rule
from ingradient_pl.transforms.sampling_matrices import (
    crop_axis,
    resized_positions,
    separate_axis,
    to_native_axes,
    to_network_axes,
    to_network_label_axes,
)
from ingradient_pl.transforms.spline import cubic_rows, linear_rows

EXPECTED = json.loads((Path(__file__).parent / "expected/nnunet_resampling.json").read_text(encoding="utf-8"))


def nnunet_case(number):
    """Both grids of a stored case, its image and its label."""
    found = EXPECTED[number]
    native = Grid.of(found["shape"], found["spacing"])
    rng = np.random.default_rng(number)
    image = rng.normal(size=(1, *native.shape))
    label = (rng.random((1, *native.shape)) * 4).astype(np.int16)
    return (
        native,
        Grid.of(found["new"], found["new_spacing"]),
        torch.from_numpy(image),
        torch.from_numpy(label),
    )


def blobs(shape, classes, seed=0, sigma=3.0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    cuts = np.quantile(noise, np.linspace(0.4, 0.9, classes))
    return torch.from_numpy(np.digitize(noise, cuts).astype(np.uint8))


def noise(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def ramp(grid, slopes):
    """An image that grows by ``slopes`` per mm along (z, y, x), zero at the centre of the grid."""
    axes = [
        slope * mm * (torch.arange(n) + 0.5 - n / 2)
        for slope, mm, n in zip(slopes, grid.spacing, grid.shape, strict=True)
    ]
    return (axes[0][:, None, None] + axes[1][:, None] + axes[2])[None].float()


def way_over(native, patch, affine=STILL, centre=None, rule=Rule()):  # noqa: B008
    """The box read of the image and the way from it, for a patch laid about ``centre``."""
    return lay(native, patch, affine, centre, rule)[::2]


def lay(native, patch, affine=STILL, centre=None, rule=Rule(), margin=12):  # noqa: B008
    """The boxes read of image and label, and the way from them, for a patch laid about ``centre``."""
    centre = [count / 2 for count in native.shape] if centre is None else centre
    return lay_patch(native, patch, centre, tuple(np.ravel(affine)), rule, margin=margin)


def about_z(degrees):
    angle = np.radians(degrees)
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


# Rows


@pytest.mark.parametrize("counts", [(23, 37), (31, 25), (1, 3), (2, 5), (7, 1), (200, 130), (9, 9)], ids=str)
def test_cubic_rows_are_scipys_zoom(counts):
    voxels, wanted = counts
    values = np.random.default_rng(0).normal(size=voxels)
    expected = ndimage.zoom(values, wanted / voxels, order=3, mode="nearest", grid_mode=True)
    found = cubic_rows(voxels, resized_positions(voxels, wanted)) @ values
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("counts", [(23, 37), (31, 25), (1, 3), (2, 5), (7, 1)], ids=str)
def test_linear_rows_are_torchs_half_pixel_interpolation(counts):
    voxels, wanted = counts
    values = torch.from_numpy(np.random.default_rng(0).normal(size=voxels))
    expected = F.interpolate(values[None, None], wanted, mode="linear", align_corners=False)[0, 0]
    assert_close(torch.from_numpy(linear_rows(voxels, resized_positions(voxels, wanted))) @ values, expected)


@pytest.mark.parametrize("rows", [cubic_rows, linear_rows])
def test_rows_sum_to_one_wherever_the_positions_lie(rows):
    assert np.allclose(rows(20, np.linspace(-1, 20, 77)).sum(1), 1)


def test_a_low_pass_removes_what_would_alias():
    stripes = (np.arange(120) % 5 == 0).astype(float)
    positions = resized_positions(120, 20)
    assert np.ptp(cubic_rows(120, positions) @ stripes) > 0.7
    assert np.ptp((cubic_rows(120, positions, width=6.0) @ stripes)[2:-2]) < 0.2
    assert np.allclose(cubic_rows(120, positions, width=6.0).sum(1), 1)


# Whole cases against nnU-Net


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_whole_images_are_resampled_as_nnunet_does(number):
    native, network, image, _ = nnunet_case(number)
    found = along_axes(image, to_network_axes(native, network)).clamp(image.min(), image.max())
    expected = torch.tensor(EXPECTED[number]["image"], dtype=torch.float64)
    # a slice that is taken apart is clipped to its own range by nnU-Net, to the case's by us
    off = (found.flatten()[EXPECTED[number]["at"]] - expected).abs() > 1e-5
    assert off.sum() <= (2 if separate_axis(native.spacing, network.spacing) is not None else 0)
    moments = [float(found.mean()), float(found.std(correction=0))]
    assert moments == pytest.approx(EXPECTED[number]["image_moments"], abs=2e-3)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_the_way_home_is_linear_as_nnunets(number):
    native, network, image, _ = nnunet_case(number)
    found = along_axes(image, to_native_axes(native, network)).flatten()
    expected = torch.tensor(EXPECTED[number]["linear"], dtype=torch.float64)
    assert_close(found[EXPECTED[number]["at"]], expected, atol=1e-6, rtol=0)
    moments = [float(found.mean()), float(found.std(correction=0))]
    assert moments == pytest.approx(EXPECTED[number]["linear_moments"], abs=1e-6)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_whole_labels_are_resampled_as_nnunet_does(number):
    native, network, _, label = nnunet_case(number)
    found = label_along_axes(label[0], to_network_axes(native, network)).flatten()
    expected = torch.tensor(EXPECTED[number]["label"])
    assert torch.equal(found[EXPECTED[number]["at"]].long(), expected)
    counts = np.array(EXPECTED[number]["label_counts"])
    assert np.abs(np.bincount(found.numpy(), minlength=4) - counts).max() <= 0.005 * counts.sum()


@pytest.mark.parametrize(
    ("current", "wanted", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 3.5), (1, 1, 1), 2),
        ((3, 1, 1), (1, 1, 1), None),
        ((1, 1, 1), (1, 4, 1), 1),
        ((4, 4, 1), (1, 1, 1), None),
        ((4, 4, 1), (4, 1, 1), None),
    ],
    ids=str,
)
def test_an_axis_is_taken_apart_by_nnunets_rule(current, wanted, axis):
    assert separate_axis(current, wanted) == axis


def test_grids_that_agree_are_cut_and_cost_nothing():
    grid = Grid((5, 6, 7), (3.0, 1.0, 1.0))
    image = noise((2, 5, 6, 7))
    axes = to_network_axes(grid, grid)
    assert all(isinstance(axis, Crop) for axis in axes)
    assert along_axes(image, axes).data_ptr() == image.data_ptr()


@pytest.mark.parametrize("direction", [to_network_axes, to_native_axes])
def test_a_slab_is_the_whole_answers_rows(direction):
    native, network = Grid((60, 20, 18), (1.0, 1.0, 1.0)), Grid((47, 23, 16), (60 / 47, 20 / 23, 18 / 16))
    image = noise((2, *native.shape))
    axes = direction(native, network)
    whole = along_axes(image, axes)
    for start, stop in [(0, 10), (10, 33), (33, 47)]:
        z, first, last = crop_axis(axes[0], start, stop, margin=1 if direction is to_native_axes else 12)
        slab = along_axes(image[:, first:last], (z, axes[1], axes[2]))
        assert_close(slab, whole[:, start:stop], atol=1e-5, rtol=0)


def test_parts_of_cuts_and_picks_are_parts():
    image = noise((1, 12, 3, 3))
    for axis in (Crop(1, 9, mirrored=False), NearestVoxels(torch.tensor([0, 0, 2, 3, 7, 8, 11]))):
        whole = along_axis(image, 1, axis)
        some, first, last = crop_axis(axis, 2, 6)
        assert torch.equal(along_axis(image[:, first:last], 1, some), whole[:, 2:6])


@pytest.mark.parametrize("mirrored", [False, True])
def test_part_of_a_mirrored_cut_is_mirrored(mirrored):
    image = noise((1, 12, 3, 3))
    still = Crop(0, 3, mirrored=False)
    axis = Crop(2, 8, mirrored)
    some, first, last = crop_axis(axis, 1, 4)
    whole = along_axes(image, (axis, still, still))
    assert torch.equal(along_axes(image[:, first:last], (some, still, still)), whole[:, 1:4])


def test_long_axes_multiplied_block_by_block_give_the_same():
    native, network = Grid((130, 4, 150), (1.0, 1.0, 1.0)), Grid((200, 4, 99), (0.65, 1.0, 150 / 99))
    image = noise((2, *native.shape))
    z, _, x = to_network_axes(native, network)
    assert isinstance(z, Interpolation)
    assert isinstance(x, Interpolation)
    assert_close(along_axis(image, 1, z), multiply_axis(image, 1, z.image), atol=1e-5, rtol=0)
    assert_close(along_axis(image, 3, x), multiply_axis(image, 3, x.image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("at_once", [1, 3 * 60 * 70, 1 << 30])
@pytest.mark.parametrize("mm", [0.7, 1.6, 6.0])
@pytest.mark.parametrize("wanted", [(80, 49), (49, 80), (50, 50)], ids=["x first", "y first", "alike"])
def test_some_slices_at_a_time_give_what_axis_after_axis_gives(monkeypatch, wanted, mm, at_once, mirrored):
    native = Grid((9, 70, 70), (mm, 1.0, 1.0))
    network = Grid((13, *wanted), (9 * mm / 13, 70 / wanted[0], 70 / wanted[1]))
    image = noise((2, *native.shape))
    z, y, x = to_network_axes(native, network)
    assert isinstance(z, NearestVoxels) == (mm > 3)
    assert (y is x) == (wanted[0] == wanted[1])
    if mirrored and isinstance(z, NearestVoxels):
        z = NearestVoxels(z.nearest.flip(0))
    monkeypatch.setattr(resample_module, "BLOCK_VOXELS", at_once)
    one_by_one = along_axis(along_axis(along_axis(image, 3, x), 2, y), 1, z)
    assert_close(along_axes(image, (z, y, x)), one_by_one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_the_same_to_their_digits(dtype):
    native, network = Grid((20, 110, 18), (1.0, 1.0, 1.0)), Grid((27, 90, 16), (20 / 27, 110 / 90, 18 / 16))
    image = noise((2, *native.shape))
    found = along_axes(image.to(dtype), to_network_axes(native, network))
    assert found.dtype == dtype
    assert_close(found.float(), along_axes(image, to_network_axes(native, network)), atol=6e-2, rtol=0)


# Patches


CASE = Grid((60, 90, 80), (1.5, 0.8, 0.9))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.8, 0.9), (2.5, 0.7, 1.3)], ids=str)
@pytest.mark.parametrize("oversampling", [0.0, 1.0])
@pytest.mark.parametrize(("told", "off"), [({}, 5e-5), ({"margin": 12}, 1e-5)], ids=["default", "12"])
def test_a_patch_is_a_part_of_the_whole_case_resampled(spacing, oversampling, told, off):
    from ingradient_pl.draws.oversampling import FixedShare

    image, label = noise((1, *CASE.shape)), blobs(CASE.shape, 3)
    whole_grid = CASE.respaced(spacing)
    axes = to_network_axes(CASE, whole_grid)
    whole, whole_label = along_axes(image, axes), label_along_axes(label, axes)
    shape = (24, 65, 40)  # one axis short, one long enough to be multiplied block by block
    share = FixedShare(oversampling)
    draws = PlannedDraws(shape, spacing, affine=None, oversampling=share, **told)
    foreground = {1: np.argwhere(label.numpy() == 1).astype(np.int32)}
    for number in range(4):
        draw = draws.draw(number, [Candidate("a", CASE, foreground, (1,))])
        read = sampling_of(CASE, draw, draws)
        step = np.array(CASE.shape) / whole_grid.shape
        start = np.round(np.array(draw.centre) / step - np.array(shape) / 2).astype(int)
        wanted = Box.between(start, start + shape)
        inside = wanted.clipped(whole_grid.shape)
        z, y, x = (slice(a - b, a - b + n) for a, b, n in zip(inside.start, start, inside.shape, strict=True))
        found = resample(image[(slice(None), *read.image_box.slices)], read.sampling, shape)
        assert_close(found[:, z, y, x], whole[(slice(None), *inside.slices)], atol=off, rtol=0)
        found[:, z, y, x] = 0
        assert not found.any()  # what lies outside is padded
        labels = resample_label(label[read.label_box.slices], read.sampling, shape)
        assert (labels[z, y, x] != whole_label[inside.slices]).float().mean() < 1e-4


@pytest.mark.parametrize("factor", [2.5, 6.0, 20.0])
def test_a_patch_of_much_longer_voxels_is_a_part_of_the_whole_case_averaged(factor):
    rule = Rule(separate_above=100.0, low_pass_above=2.0)
    native = Grid((40, 240, 40), (1.0, 1.0, 1.0))
    spacing = (1.0, factor, 1.0)
    image, whole_grid = noise((1, *native.shape)), native.respaced(spacing)
    whole = along_axes(image, to_network_axes(native, whole_grid, rule))
    draws = PlannedDraws((8, 4, 8), spacing, affine=None)
    for number in range(6):
        draw = draws.draw(number, [Candidate("a", native, {}, ())])
        reading = sampling_of(native, draw, draws, rule)
        found = resample(image[(slice(None), *reading.image_box.slices)], reading.sampling, draws.patch)
        step = np.array(native.shape) / whole_grid.shape
        start = np.round(np.array(draw.centre) / step - np.array(draws.patch) / 2).astype(int)
        cut = tuple(slice(a, a + n) for a, n in zip(start, draws.patch, strict=True))
        assert_close(found, whole[(slice(None), *cut)], atol=5e-5, rtol=0)


@pytest.mark.parametrize("flat", [True, False], ids=["in slices", "in space"])
def test_a_turned_patch_of_much_longer_voxels_has_no_more_grain_than_one_that_is_not(flat):
    native, patch = Grid((60, 120, 120), (1.0, 1.0, 1.0)), Grid((4, 10, 10), (6.0, 6.0, 6.0))
    rule = Rule(3.0, 2.0)
    image, centre = noise((1, *native.shape)), (30.0, 60.0, 60.0)
    c, s = np.cos(0.2), np.sin(0.2)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]] if flat else [[c, -s, 0], [s, c, 0], [0, 0, 1]])
    grain, kinds = [], set()
    for affine in (np.eye(3), turn):
        read = lay(native, patch, affine, centre, rule, margin=8)
        kinds.add(type(read.sampling))
        cut = image[(slice(None), *read.image_box.slices)]
        grain.append(float(resample(cut, read.sampling, patch.shape).std()))
    assert kinds == {AxisSampling, PlaneSampling if flat else ObliqueSampling}
    assert grain[1] < 1.2 * grain[0] < 0.2 * float(image.std())


def test_an_axis_that_becomes_one_voxel_is_averaged():
    native = Grid((10, 4, 4), (1.0, 1.0, 1.0))
    ramp = torch.arange(10.0)[None, :, None, None].expand(1, *native.shape) ** 2
    rule = Rule(separate_above=100.0, low_pass_above=2.0)
    averaged = along_axes(ramp, to_network_axes(native, native.respaced((10.0, 1.0, 1.0)), rule))
    assert_close(averaged, torch.full((1, 1, 4, 4), float(ramp.mean())), atol=0.3, rtol=0)


def test_of_two_voxels_as_near_a_whole_cases_label_takes_the_one_nnunet_takes():
    """Of 232 voxels 268 are made: the 34th lies 4e-15 short of the middle between two, the 168th upon it."""
    native, network = Grid((1, 1, 232), (1.0, 1.0, 1.0)), Grid((1, 2, 268), (1.0, 0.5, 232 / 268))
    label = torch.arange(232, dtype=torch.uint8).view(1, 1, -1)
    found = label_along_axes(label, to_network_label_axes(native, network))[0, 0]
    exact = (np.arange(268) + 0.5) * (232 / 268) - 0.5
    assert exact[33] < 28.5
    assert found.tolist() == np.floor(exact + 0.5).astype(int).tolist()


def test_a_still_patch_on_the_cases_own_grid_is_an_exact_crop():
    image, label = noise((2, *CASE.shape)), blobs(CASE.shape, 2)
    patch = Grid((20, 30, 31), CASE.spacing)
    box, way = way_over(CASE, patch, centre=(30.0, 40.0, 35.5))
    assert isinstance(way, AxisSampling)
    assert all(isinstance(axis, Crop) for axis in way.axes)
    assert box == Box((20, 25, 20), (20, 30, 31))
    assert torch.equal(
        resample(image[(slice(None), *box.slices)], way, patch.shape), image[:, 20:40, 25:55, 20:51]
    )
    assert torch.equal(resample_label(label[box.slices], way, patch.shape), label[20:40, 25:55, 20:51])


@pytest.mark.parametrize("spacing", [(1.5, 0.8, 0.9), (1.0, 1.0, 1.0)], ids=str)
def test_mirroring_is_exact(spacing):
    image, label = noise((1, *CASE.shape)), blobs(CASE.shape, 2)
    patch = Grid((20, 30, 31), spacing)
    signs = np.diag([-1.0, 1.0, -1.0])
    box, part, still = lay(CASE, patch, centre=(30.0, 40.0, 35.5))
    *boxes, mirrored = lay(CASE, patch, signs, centre=(30.0, 40.0, 35.5))
    assert boxes == [box, part]
    cut = image[(slice(None), *box.slices)]
    assert_close(
        resample(cut, mirrored, patch.shape),
        resample(cut, still, patch.shape).flip(1, 3),
        atol=1e-6,
        rtol=0,
    )
    a, b = (resample_label(label[part.slices], way, patch.shape) for way in (mirrored, still))
    assert (a != b.flip(0, 2)).float().mean() < 1e-4


def test_a_coarse_axis_takes_the_nearest_slice():
    native, patch = Grid((10, 40, 40), (6.0, 1.0, 1.0)), Grid((8, 20, 20), (5.0, 1.3, 1.3))
    _, way = way_over(native, patch)
    assert isinstance(way, AxisSampling)
    assert [type(axis) for axis in way.axes] == [NearestVoxels, Interpolation, Interpolation]
    _, way = way_over(native, patch, rule=Rule(separate_above=10.0))
    assert isinstance(way.axes[0], Interpolation)


def test_an_axis_is_taken_apart_by_the_planned_spacing_in_training_as_in_prediction():
    native, patch = Grid((10, 30, 30), (1.0, 1.0, 1.0)), Grid((3, 20, 20), (3.0, 1.0, 1.0))
    whole = native.respaced(patch.spacing)
    assert whole.shape[0] == 3  # voxels of 3.33 mm, in truth
    _, way = way_over(native, patch)
    assert [type(axis) for axis in way.axes] == [type(axis) for axis in to_network_axes(native, whole)]
    assert isinstance(way.axes[0], Interpolation)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 2.0, 1.5), (1.5, 0.5, 2.5)], ids=str)
def test_a_ramp_in_millimetres_stays_that_ramp(spacing):
    native, patch = Grid((45, 80, 50), (2.0, 1.0, 1.2)), Grid((16, 16, 16), spacing)
    image = ramp(native, (1, 2, 3))
    box, way = way_over(native, patch, rule=Rule(separate_above=10.0))
    found = resample(image[(slice(None), *box.slices)], way, patch.shape)
    assert_close(found, ramp(patch, (1, 2, 3)), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("degrees", "slopes"), [(90, (0, 0, -1)), (30, (0, 0.75**0.5, -0.5))])
def test_rotation_is_rigid_in_millimetres(degrees, slopes):
    """A turn about z carries a ramp along y into the ramp it should, though y and x voxels differ."""
    native, patch = Grid((20, 90, 60), (3.0, 0.7, 1.5)), Grid((9, 16, 16), (3.0, 1.0, 2.0))
    box, way = way_over(native, patch, about_z(degrees))
    assert isinstance(way, PlaneSampling)
    found = resample(ramp(native, (0, 1, 0))[(slice(None), *box.slices)], way, patch.shape)
    assert_close(found, ramp(patch, slopes), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("mm", "kind"), [(2.0, Interpolation), (3.0, Crop), (5.0, NearestVoxels)])
def test_a_turn_in_the_plane_goes_with_any_way_along_z(mm, kind):
    native, patch = Grid((30, 90, 60), (mm, 0.7, 1.5)), Grid((8, 16, 16), (3.0, 1.0, 2.0))
    box, way = way_over(native, patch, about_z(30))
    assert isinstance(way, PlaneSampling)
    assert isinstance(way.z, kind)
    found = resample(ramp(native, (1, 0, 1))[(slice(None), *box.slices)], way, patch.shape)
    off = (found - ramp(patch, (1, 0.5, 0.75**0.5))).abs().max()
    assert off < (2.51 if kind is NearestVoxels else 1e-3)  # half a slice
    label = resample_label(blobs(native.shape, 3)[box.slices], way, patch.shape)
    assert label.shape == patch.shape


def test_a_turn_in_space_is_rigid_in_millimetres():
    native, patch = Grid((60, 90, 60), (1.2, 0.7, 1.5)), Grid((12, 14, 16), (2.0, 1.0, 1.5))
    about_x = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = about_x @ about_z(30)
    box, way = way_over(native, patch, affine)
    assert isinstance(way, ObliqueSampling)
    found = resample(ramp(native, (1, 2, 3))[(slice(None), *box.slices)], way, patch.shape)
    slopes = np.array([1, 2, 3]) @ affine
    assert_close(found, ramp(patch, slopes.tolist()), atol=1e-3, rtol=0)


def test_a_quarter_turn_in_space_only_swaps_voxels():
    image, label = noise((1, 30, 30, 30)), blobs((30, 30, 30), 4)
    native, patch = Grid((30, 30, 30), (1.0, 1.0, 1.0)), Grid((12, 12, 12), (1.0, 1.0, 1.0))
    affine = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    box, way = way_over(native, patch, affine)
    found = resample(image[(slice(None), *box.slices)], way, patch.shape)
    inner = slice(9, 21)
    expected = image[:, inner, inner, inner].rot90(-1, (1, 2))
    assert_close(found, expected, atol=1e-4, rtol=0)
    labels = resample_label(label[box.slices], way, patch.shape)
    assert torch.equal(labels, label[inner, inner, inner].rot90(-1, (0, 1)))


def test_a_turn_in_the_plane_is_the_same_map_in_two_ways():
    native, patch = Grid((20, 50, 60), (3.0, 0.7, 1.5)), Grid((9, 16, 18), (3.0, 1.0, 2.0))
    image, label = noise((2, *native.shape)), blobs(native.shape, 3)
    affine = about_z(25)
    plane = lay(native, patch, affine, centre=(10.5, 25.0, 30.0))
    assert isinstance(plane.sampling, PlaneSampling)
    tilted = affine + np.array([[0, 2e-5, 0], [0, 0, 0], [0, 0, 0]])
    oblique = lay(native, patch, tilted, centre=(10.5, 25.0, 30.0))
    assert isinstance(oblique.sampling, ObliqueSampling)
    a, b = (
        resample(image[(slice(None), *one.image_box.slices)], one.sampling, patch.shape)
        for one in (plane, oblique)
    )
    assert_close(a, b, atol=1e-3, rtol=0)
    a, b = (
        resample_label(label[one.label_box.slices], one.sampling, patch.shape) for one in (plane, oblique)
    )
    assert (a != b).float().mean() < 2e-3


def test_points_are_those_of_affine_grid():
    for shape in ((4, 5, 6), (7, 3)):
        axes = len(shape)
        matrix = noise((axes, axes + 1))
        expected = F.affine_grid(matrix[None], [1, 1, *shape], align_corners=False)[0]
        assert_close(points(matrix, shape).movedim(0, -1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("margin", [2.5, 12.0])
def test_a_turned_patch_that_sticks_out_is_zero_there(margin):
    native, patch = Grid((20, 20, 20), (1.0, 1.0, 1.0)), Grid((20 + 2 * int(margin), 20, 20), (1.0, 1.0, 1.0))
    affine = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    box, way = way_over(native, patch, affine)
    found = resample(torch.ones(1, *native.shape)[(slice(None), *box.slices)], way, patch.shape)
    label = resample_label(torch.ones(native.shape, dtype=torch.uint8)[box.slices], way, patch.shape)
    body = resample_nearest(torch.ones(native.shape, dtype=torch.bool)[box.slices], way, patch.shape)
    assert found[0, 0, 0, 0] == 0
    assert found.max() <= 1 + 1e-6
    assert torch.equal(label.bool(), body)
    assert ((found[0] > 0.5) == body).float().mean() > 0.995


@pytest.mark.parametrize("affine", [np.eye(3), 1.3 * np.eye(3), about_z(30), np.eye(3) + 0.2], ids=range(4))
def test_a_patch_that_misses_the_case_is_all_padding(affine):
    native, patch = Grid((4, 20, 20), (1.0, 1.0, 1.0)), Grid((4, 8, 8), (1.0, 1.0, 1.0))
    box, part, way = lay(native, patch, affine, centre=(40.0, 10.0, 10.0))
    assert box.voxels > 0
    assert not resample(torch.ones(1, *box.shape), way, patch.shape).any()
    assert not resample_label(torch.ones(part.shape, dtype=torch.uint8), way, patch.shape).any()
    assert not resample_nearest(torch.ones(part.shape, dtype=torch.bool), way, patch.shape).any()


# Labels


@pytest.mark.parametrize("classes", [1, 2, 6])
def test_labels_are_the_largest_interpolated_indicator(classes):
    label = blobs((20, 24, 30), classes)
    wanted = (27, 19, 37)
    native = Grid((20, 24, 30), (1.0, 1.0, 1.0))
    axes = to_network_axes(
        native, Grid(wanted, tuple(a / b for a, b in zip(native.shape, wanted, strict=True)))
    )
    found = label_along_axes(label, axes)
    shares = torch.stack(
        [
            F.interpolate((label == k).double()[None, None], wanted, mode="trilinear")[0, 0]
            for k in range(classes + 1)
        ]
    )
    first, second = shares.topk(2, dim=0).values
    clear = first - second > 1e-4
    assert clear.float().mean() > 0.95
    assert torch.equal(found[clear].long(), shares.argmax(0)[clear])


def some(kind, shape):
    """Labels that fill a case, a part of it, its corner, or nothing."""
    label = blobs(shape, 5)
    kept = {"all": (0, 1), "part": (0.3, 0.6), "corner": (0.8, 1), "none": (0, 0)}[kind]
    found = torch.zeros_like(label)
    cut = tuple(slice(int(kept[0] * count), int(kept[1] * count)) for count in shape)
    found[cut] = label[cut]
    return found


@pytest.mark.parametrize("kind", ["all", "part", "corner", "none"])
@pytest.mark.parametrize(
    "affine",
    [np.eye(3), np.diag([-1.2, 0.9, -1.1]), np.eye(3) + 0.2, about_z(20)],
    ids=["still", "mirrored", "turned", "in the plane"],
)
def test_voting_everywhere_equals_voting_where_neighbours_disagree(kind, affine, monkeypatch):
    label = some(kind, (20, 24, 30))
    native, patch = Grid((20, 24, 30), (1.0, 1.0, 1.0)), Grid((15, 26, 24), (1.1, 0.9, 1.3))
    _, part, way = lay(native, patch, affine)
    found = resample_label(label[part.slices], way, patch.shape)
    monkeypatch.setattr(labels, "on_host", lambda _: False)
    assert torch.equal(found, resample_label(label[part.slices], way, patch.shape))
    assert bool(found.any()) == (kind != "none")


def test_ties_go_to_the_nearest_voxel():
    label = torch.tensor([[[3, 3], [1, 1]], [[3, 3], [1, 1]]], dtype=torch.uint8)
    at = (torch.zeros(1, 1, 1), torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25))
    assert (
        labels._vote_everywhere(label, labels.SamplePositions(at, (False, True, True))).item() == 1
    )  # halves go up


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_keep_their_dtype(dtype):
    label = blobs((10, 12, 9), 2).to(dtype)
    native, patch = Grid(label.shape, (1.0, 1.0, 1.0)), Grid((8, 8, 8), (1.2, 1.2, 0.8))
    for affine in (np.eye(3), np.eye(3) + 0.1, about_z(20)):
        box, way = way_over(native, patch, affine)
        assert resample_label(label[box.slices], way, patch.shape).dtype == dtype

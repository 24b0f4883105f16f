"""Spacing rules: what the network's voxels measure."""

import pytest

from ingradient_pl.geometry import Grid
from ingradient_pl.planning.spacing import FixedSpacing, IngradientSpacing, NnunetSpacing, check_spacing
from ingradient_pl.planning.spacing_choice import make_rule


def grids(spacings, shape=(100, 100, 100)):
    return [Grid.of(shape, spacing) for spacing in spacings]


THICK = grids([(mm, 1.0, 1.0) for mm in (4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15)], (10, 100, 100))


@pytest.mark.parametrize("rule", [IngradientSpacing(), NnunetSpacing()])
def test_isotropic_axes_take_the_median(rule):
    target = rule.target(grids([(1.0, 2.0, 1.5), (2.0, 1.0, 1.5), (4.0, 1.5, 1.5)]))
    assert target.spacing == (2.0, 1.5, 1.5)
    assert target.anisotropic_axis is None


def test_an_anisotropic_axis_takes_another_quantile():
    target = IngradientSpacing().target(THICK)
    assert target.spacing == (14.0, 1.0, 1.0)
    assert target.anisotropic_axis == 0
    assert NnunetSpacing().target(THICK).spacing == (5.0, 1.0, 1.0)


def test_every_number_of_the_rule_is_an_argument():
    assert IngradientSpacing(anisotropic_quantile=0.1).target(THICK).spacing == (5.0, 1.0, 1.0)
    assert IngradientSpacing(threshold=20).target(THICK) == ((9.0, 1.0, 1.0), None)
    assert IngradientSpacing(quantile=0.0, threshold=20).target(THICK).spacing == (4.0, 1.0, 1.0)


def test_which_axis_is_coarse_does_not_depend_on_the_quantiles_asked_for():
    assert IngradientSpacing(quantile=0.0).target(THICK).anisotropic_axis == 0


def test_nnunet_leaves_a_coarse_axis_with_many_slices_at_its_median():
    many = [grid._replace(shape=(40, 100, 100)) for grid in THICK]
    assert NnunetSpacing().target(many) == ((9.0, 1.0, 1.0), None)


def test_nnunet_keeps_a_coarse_axis_just_above_the_others():
    mixed = grids([(0.5, 1.0, 1.0)] * 3 + [(8.0, 1.0, 1.0)] * 5, (10, 100, 100))
    assert NnunetSpacing().target(mixed).spacing == (1.0 + 1e-5, 1.0, 1.0)


def test_the_anisotropic_axis_may_be_any():
    turned = [grid.transposed((2, 0, 1)) for grid in THICK]
    assert IngradientSpacing().target(turned) == ((1.0, 14.0, 1.0), 1)


def test_a_spacing_can_be_given_by_hand():
    assert FixedSpacing((5, 1, 1)).target(THICK) == ((5.0, 1.0, 1.0), 0)
    with pytest.raises(ValueError, match="three positive"):
        FixedSpacing((0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "sizes", [(), (1, 1), (1, 1, 1, 1), (1, 1, -1), (1, float("nan"), 1), (float("inf"), 1, 1)]
)
def test_a_spacing_by_hand_is_three_sizes(sizes):
    with pytest.raises(ValueError, match=r"three sizes in mm along \(z, y, x\)"):
        make_rule("ingradient", sizes, {})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"quantile": 50}, r"quantile must lie in \[0, 1\], got 50"),
        ({"anisotropic_quantile": -0.1}, r"anisotropic_quantile .* got -0\.1"),
        ({"threshold": 0.3}, r"at least 1, got 0\.3"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        IngradientSpacing(**wrong)


def test_no_cases_no_spacing():
    with pytest.raises(ValueError, match="fill the store"):
        NnunetSpacing().target([])


@pytest.mark.parametrize("spacing", [(1e-9, 1, 1), (5, 1e-3, 1), (1e9, 1, 1), (5, 1, 200)])
def test_a_spacing_of_another_unit_is_refused(spacing):
    with pytest.raises(ValueError, match=r"100 times finer or coarser .*\(5×1×1 mm\).* millimetres"):
        check_spacing(spacing, (5.0, 1.0, 1.0))
    check_spacing((0.05, 100.0, 0.7), (5.0, 1.0, 1.0))

"""Names that are nearly right are told with the right one."""

import pytest

from ingradient_pl.commands.dotted_name import make
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.planning.settings import choose_configuration
from ingradient_pl.planning.spacing_choice import PLANNERS


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda plan: choose_configuration({"2d": plan, "3d_fullres": plan}, "2D"), "2d"),
        (lambda plan: choose_configuration({"2d": plan, "3d_fullres": plan}, "3d_fulres"), "3d_fullres"),
        (lambda _: make("nnunett", "a spacing rule", PLANNERS), "nnunet"),
        (lambda _: make("ingredient", "a spacing rule", PLANNERS), "ingradient"),
    ],
)
def test_the_nearest_name_is_told(phantom_plan, call, meant):
    with pytest.raises(ValueError, match=rf"Did you mean {meant}\?"):
        call(read_plan(phantom_plan))

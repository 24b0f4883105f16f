"""From a data set's fingerprint to the plan: spacing, patch, batch size and network topology."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.planning.constructors import loss as loss
    from ingradient_pl.planning.constructors import unet as unet
    from ingradient_pl.planning.fingerprint import Fingerprint as Fingerprint
    from ingradient_pl.planning.plan import Plan as Plan
    from ingradient_pl.planning.plan_yaml import read_plan as read_plan
    from ingradient_pl.planning.plan_yaml import write_plan as write_plan
    from ingradient_pl.planning.planner import Planner as Planner
    from ingradient_pl.planning.presets import Preset as Preset
    from ingradient_pl.planning.spacing import FixedSpacing as FixedSpacing
    from ingradient_pl.planning.spacing import IngradientSpacing as IngradientSpacing
    from ingradient_pl.planning.spacing import NnunetSpacing as NnunetSpacing
    from ingradient_pl.planning.spacing import SpacingRule as SpacingRule
    from ingradient_pl.planning.traced_memory import TracedMemory as TracedMemory

__all__, __getattr__, __dir__ = attach(__name__)

"""What a planner is told, as one record: a store -> the plan of one configuration."""

from dataclasses import dataclass
from typing import Literal

from ingradient_pl.messages import nearest
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.planning.spacing_choice import make_rule
from ingradient_pl.store.store_union import AnyCases

FULL = "3d_fullres"
"""The configuration that is planned where nobody names one and cases have several slices."""


class NoConfigurationError(ValueError):
    """A configuration that is not planned for a data set; the message says which are, and why."""


@dataclass(frozen=True)
class PlannerSettings:
    """What decides a plan, beside the data.

    Args:
        planner: Rule for the spacing: the quantiles of ``ingradient``, or ``nnunet``'s.
        configuration: Which of nnU-Net's: ``3d_fullres``, ``2d``, ``3d_lowres``; None takes the first, or
            ``2d`` where all cases are slices.
        preset: Kind and size of the network.
        memory_gb: Memory of the GPU to plan for, in GB; None takes the preset's own.
        spacing: Size of the network's voxels in mm (z, y, x), instead of a rule's.
        quantile: Of the spacings along an isotropic axis; None takes 0.5.
        anisotropic_quantile: Of those along an anisotropic axis; None takes 0.9.
        threshold: An axis is anisotropic above so many times each other's spacing; None takes 3.
    """

    planner: Literal["ingradient", "nnunet"] = "ingradient"
    configuration: str | None = None
    preset: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = "default"
    memory_gb: float | None = None
    spacing: tuple[float, float, float] | None = None
    quantile: float | None = None
    anisotropic_quantile: float | None = None
    threshold: float | None = None

    def plan(self, store: AnyCases) -> Plan:
        """Plan for a store.

        Args:
            store: The cases.

        Raises:
            UsageError: If numbers contradict the rule.
            NoConfigurationError: If the data set has no such configuration.
        """
        given = {name: getattr(self, name) for name in ("quantile", "anisotropic_quantile", "threshold")}
        numbers = {name: value for name, value in given.items() if value is not None}
        rule = make_rule(self.planner, self.spacing, numbers)
        plans = Planner(rule, PRESETS[self.preset], self.memory_gb).plans(Fingerprint.of_store(store))
        return choose_configuration(plans, self.configuration)


def choose_configuration(plans: dict[str, Plan], configuration: str | None) -> Plan:
    """Give the plan of a configuration.

    Args:
        plans: Of all that a data set has, by name.
        configuration: Its name; None takes 3d_fullres, or 2d where that is all there is.

    Raises:
        NoConfigurationError: If the data set has no such configuration.
    """
    if configuration is None:
        return plans[FULL if FULL in plans else "2d"]
    if configuration not in plans:
        raise NoConfigurationError(
            f"This data set has no configuration '{configuration}'; it has {', '.join(plans)}."
            f"{nearest(configuration, plans)} A coarser one is only planned where a patch would see too "
            "little of a case."
        )
    return plans[configuration]


def describe_plan(plan: Plan) -> list[str]:
    """Say what was decided, in two lines.

    Args:
        plan: What was decided.
    """
    spacing = ", ".join("as it comes" if edge is None else f"{edge:g}" for edge in plan.spacing)
    return [
        f"  spacing {spacing} mm (z, y, x); patches of {'x'.join(map(str, plan.patch))} voxels",
        f"  batches of {plan.batch_size}; {len(plan.widths)} stages. The plan lies in the run's folder.",
    ]

"""The rule for the spacing that is asked for: by its name and numbers, or a spacing chosen by hand."""

import dataclasses
import math

from ingradient_pl.geometry import AXES
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.spacing import FixedSpacing, IngradientSpacing, NnunetSpacing, SpacingRule

PLANNERS = {"ingradient": IngradientSpacing, "nnunet": NnunetSpacing}


def make_rule(planner: str, spacing: tuple[float, ...] | None, numbers: dict[str, float]) -> SpacingRule:
    """Make the rule for the spacing, or refuse numbers that it does not know.

    Args:
        planner: One of ``PLANNERS``.
        spacing: In mm (z, y, x), instead of what the rule would choose.
        numbers: Of the rule, by name.

    Raises:
        UsageError: If the rule knows no such number, or a value is out of range.
    """
    kind = PLANNERS[planner] if spacing is None else FixedSpacing
    unknown = [name for name in numbers if name not in {field.name for field in dataclasses.fields(kind)}]
    if unknown:
        wanted = "a spacing chosen by hand" if spacing is not None else f"the planner {planner}"
        raise UsageError(f"--{', --'.join(unknown)}: {wanted} has no such number.")
    if spacing is not None and (len(spacing) != AXES or not all(0 < size < math.inf for size in spacing)):
        raise UsageError(
            "A spacing is three sizes in mm along (z, y, x), such as [3,1,1]; got "
            f"[{','.join(f'{size:g}' for size in spacing)}]."
        )
    try:
        if spacing is None:
            built: SpacingRule = PLANNERS[planner](**numbers)
            return built
        z, y, x = spacing
        return FixedSpacing((z, y, x), **numbers)
    except ValueError as error:
        raise UsageError(str(error)) from error

"""Which patch of which case comes next: boxes, affines and elastic deformations, before anything is read.

``ingradient_pl.draws`` is this package and, called with a plan, the function that builds its draws.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.draws.affine import RandomAffine as RandomAffine
    from ingradient_pl.draws.elastic import RandomElasticDeformation as RandomElasticDeformation
    from ingradient_pl.draws.oversampling import Chance as Chance
    from ingradient_pl.draws.oversampling import FixedShare as FixedShare
    from ingradient_pl.draws.oversampling import Oversampling as Oversampling
    from ingradient_pl.draws.planned import draws as draws
    from ingradient_pl.draws.records import Candidate as Candidate
    from ingradient_pl.draws.records import Draw as Draw
    from ingradient_pl.draws.records import PlannedPatches as PlannedPatches
    from ingradient_pl.draws.training import PlannedDraws as PlannedDraws
    from ingradient_pl.draws.training import TrainingDraws as TrainingDraws

__all__, __getattr__, __dir__ = attach(__name__)


class _CallablePackage(ModuleType):
    """A package that can be called: the top level offers a function of the same name."""

    def __call__(self, plan: "PlannedPatches", **settings: Any) -> "PlannedDraws":
        """Build the draws of a plan; see :func:`ingradient_pl.draws.planned.draws`."""
        built: PlannedDraws = importlib.import_module(f"{__name__}.planned").draws(plan, **settings)
        return built

    def __repr__(self) -> str:
        return f"<package and function {self.__name__}>"


sys.modules[__name__].__class__ = _CallablePackage

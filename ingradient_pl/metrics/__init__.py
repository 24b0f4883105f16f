"""Scores of segmentations: pooled Dice in training; overlap, surface distances, lesions of whole cases."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.metrics.comparison import Comparison as Comparison
    from ingradient_pl.metrics.comparison import compare as compare
    from ingradient_pl.metrics.dice import PooledDice as PooledDice
    from ingradient_pl.metrics.evaluation import CaseScores as CaseScores
    from ingradient_pl.metrics.evaluation import Evaluation as Evaluation
    from ingradient_pl.metrics.evaluation import evaluate as evaluate
    from ingradient_pl.metrics.lesions import LesionDetection as LesionDetection
    from ingradient_pl.metrics.surface import SurfaceDistances as SurfaceDistances

__all__, __getattr__, __dir__ = attach(__name__)

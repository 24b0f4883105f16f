"""From a whole case to a label on the case's own grid: sliding window, checkpoints, post-processing."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.inference.case_pipeline import Failure as Failure
    from ingradient_pl.inference.checkpoint import CheckpointError as CheckpointError
    from ingradient_pl.inference.checkpoint import Model as Model
    from ingradient_pl.inference.export import Exported as Exported
    from ingradient_pl.inference.export import export_model as export_model
    from ingradient_pl.inference.postprocess import FillHoles as FillHoles
    from ingradient_pl.inference.postprocess import LargestComponent as LargestComponent
    from ingradient_pl.inference.postprocess import SmallestSize as SmallestSize
    from ingradient_pl.inference.postprocess import Steps as Steps
    from ingradient_pl.inference.predict_cases import save_cases as save_cases
    from ingradient_pl.inference.predict_cases import score_cases as score_cases
    from ingradient_pl.inference.predictor import Predictor as Predictor
    from ingradient_pl.inference.sliding_window import SlidingWindow as SlidingWindow

__all__, __getattr__, __dir__ = attach(__name__)

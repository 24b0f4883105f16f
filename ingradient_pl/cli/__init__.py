"""The commands' lines: options, exit codes, Hydra's overrides and runs."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.cli.python_run import Run as Run

__all__, __getattr__, __dir__ = attach(__name__)

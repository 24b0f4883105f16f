"""Stores, runs, sweeps and evaluations as one page that stands alone: charts, tables, slices to scroll."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.reports.page import render_page as render_page
    from ingradient_pl.reports.parts import Section as Section

__all__, __getattr__, __dir__ = attach(__name__)

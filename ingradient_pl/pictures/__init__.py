"""Slices of cases and of a network's levels as pictures, with all that one needs to read them."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.pictures.cases import case_picture as case_picture
    from ingradient_pl.pictures.layout import Panel as Panel
    from ingradient_pl.pictures.layout import colour_of as colour_of
    from ingradient_pl.pictures.levels import draw_levels as draw_levels
    from ingradient_pl.pictures.levels import look_at_patch as look_at_patch
    from ingradient_pl.pictures.slices import write_png as write_png

__all__, __getattr__, __dir__ = attach(__name__)

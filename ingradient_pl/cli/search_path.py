"""Hydra's search path among overrides: the folders in which configs are looked for."""

from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.overrides import find, parse_texts, quote, without

SEARCHED = "hydra.searchpath"


def with_searched(overrides: Sequence[str], folder: Path) -> list[str]:
    """Let Hydra look for configs in ``folder`` first, and then where it was told to.

    Args:
        overrides: As typed.
        folder: To look into first.
    """
    own = f"file://{folder.absolute()}"
    places = [own, *(place for place in searched_places(overrides) if place != own)]
    written = ",".join(quote(place) for place in places)
    return [*without(overrides, SEARCHED), f"{SEARCHED}=[{written}]"]


def searched_places(overrides: Sequence[str]) -> list[str]:
    """Give the places where Hydra was told to look for configs.

    Args:
        overrides: As typed.
    """
    told = find(overrides, SEARCHED)
    return [] if told is None else (parse_texts(told) or told.strip("[]").split(","))

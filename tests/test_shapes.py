"""The checker of shapes finds what is wrong, in functions with shapes and in those without."""

import dataclasses

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from shapes import check, jaxtyped, unchecked
from torch import Tensor

from ingradient_pl.losses.soft_counts import softmax_counts

Pair = tuple[Float[Tensor, "row column"], Float[Tensor, "column row"]]
checked = jaxtyped(typechecker=check)


@checked
def product(pair: Pair, *, wrong: bool = False) -> Float[Tensor, "row row"]:
    return pair[0] if wrong else pair[0] @ pair[1]


@checked
def name(number: float, other: "Unknown" = None) -> str:
    return number if number == 7 else f"{number} {other}"


@checked
def rows(volume: Float[Tensor, "row column"]):
    yield from volume


@checked
@dataclasses.dataclass(frozen=True)
class Setting:
    edge: float
    edges: tuple[int, int, int] = (1, 1, 1)


ONE, OTHER = torch.zeros(2, 3), torch.zeros(3, 2)


def test_what_fits_goes_through():
    assert product((ONE, OTHER)).shape == (2, 2)
    assert name(3, object()).startswith("3 ")
    assert len(list(rows(ONE))) == 2
    assert Setting(1, [1, 2, 3]).edges == [1, 2, 3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: product((ONE, ONE)),
        lambda: product((ONE, OTHER), wrong=True),
        lambda: name("three"),
        lambda: name(7),
        lambda: rows(ONE[0]),
        lambda: Setting("wide"),
        lambda: Setting(1.0, (1, 2)),
        lambda: softmax_counts(ONE, ONE, None),
    ],
)
def test_what_does_not_is_named(call):
    with pytest.raises(TypeCheckError):
        call()


def test_nothing_is_looked_at_where_it_is_left_out():
    with unchecked():
        assert (name(7), Setting("wide").edge) == (7, "wide")
        assert product((ONE, OTHER), wrong=True) is ONE

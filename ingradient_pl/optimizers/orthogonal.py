"""Newton and Schulz: bring the singular values of matrices near one, many matrices at a time."""

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.kernels import matrices

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST = 1e-7


def orthogonal(
    matrices: Float[Tensor, "batch rows columns"], steps: int = 5
) -> Float[Tensor, "batch rows columns"]:
    """Bring all singular values near one (0.7 to 1.2) and leave the singular vectors.

    Each iteration is X <- (a + b A + c A A) X with A = X X'. The small A is iterated instead of X, which is
    the same but for rounding (A <- P A P, and the product of all P meets X once): a quarter of the work for
    kernels. A holds squares, so it wants true 32 bits: where matrix products were allowed to be coarser, it
    takes 64.

    Args:
        matrices: Of one size; neither needs to be square.
        steps: Iterations; five bring all but the smallest singular values near one.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = _exact(matrices.mT if tall else matrices)
    wide = wide / wide.flatten(1).norm(dim=1).clamp_min(SMALLEST)[:, None, None]
    near = _product(wide @ wide.mT, steps) @ wide
    answer: Tensor = near.mT.contiguous() if tall else near
    return answer


def orthogonal_flat(
    flat: Float[Tensor, " values"], layout: matrices.Layout, lengths: Float[Tensor, " matrix"], steps: int = 5
) -> Float[Tensor, " values"]:
    """Do so to matrices of all shapes together, where they lie, and multiply each by its length.

    The squares of all are padded with zeros to the largest, to which iteration is blind: their number does
    not change the number of launches.

    Args:
        flat: The matrices, one after the other.
        layout: Where each lies.
        lengths: Factor of each.
        steps: Iterations.
    """
    a, b, c = COEFFICIENTS
    gram = matrices.gram(flat, layout)
    square = gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min_(SMALLEST**2)[:, None, None]
    gram = gram / square
    product = None
    for step in range(steps):
        turn = matrices.combine(gram, gram, gram, layout, (c, b, a))
        product = turn if product is None else matrices.combine(turn, product, turn, layout, (1.0, 0.0, 0.0))
        if step < steps - 1:
            once = matrices.combine(turn, gram, gram, layout, (1.0, 0.0, 0.0))
            gram = matrices.combine(once, turn, gram, layout, (1.0, 0.0, 0.0))
    assert product is not None  # steps >= 1
    return matrices.multiply(flat, layout, product * (lengths[:, None, None] * square.rsqrt()))


def _product(gram: Tensor, steps: int) -> Tensor:
    """Give the polynomial of ``gram`` that all iterations together multiply by."""
    a, b, c = COEFFICIENTS
    product = None
    for step in range(steps):
        turn = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        if product is None:
            product = turn + a * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        else:
            product = torch.baddbmm(product, turn, product, beta=a)
        if step < steps - 1:
            once = torch.baddbmm(gram, turn, gram, beta=a)
            gram = torch.baddbmm(once, once, turn, beta=a)
    assert product is not None  # steps >= 1
    return product


def _exact(matrices: Tensor) -> Tensor:
    fine = torch.get_float32_matmul_precision() == "highest"
    return matrices.float() if fine else matrices.double()

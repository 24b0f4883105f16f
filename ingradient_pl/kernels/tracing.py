"""Functions whose answer torch.compile keeps as a constant, marked without importing the compiler."""

from collections.abc import Callable
from typing import TypeVar

Marked = TypeVar("Marked", bound=Callable[..., object])
MARK = "_dynamo_marked_constant"
"""What :func:`torch.compiler.assume_constant_result` sets. A test holds both to the same name."""


def assume_constant_result(function: Marked) -> Marked:
    """Let torch.compile call a function once and keep its answer: nothing in it is to be compiled.

    torch's decorator of this name imports the whole compiler (and sympy, and FSDP), which is a third of what
    a command needs to start.

    Args:
        function: Called with values that do not change while a program is compiled.
    """
    setattr(function, MARK, True)
    return function

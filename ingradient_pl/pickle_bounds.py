"""What reading a pickle would cost, told from its operations before anybody does one of them.

A hundred bytes can name the same tuple twice at each of forty levels: whoever makes a dictionary's key of it
works for years. Others copy one text a million times, or ask for a memo of four billion places.
"""

import pickletools
from typing import Any, NamedTuple

LARGEST = 64 * 2**20
"""Bytes of a pickle: descriptions and the names of weights; their numbers lie elsewhere."""

MOST_OPERATIONS = 2_000_000
"""A checkpoint of a thousand weights has some thirty thousand."""

MOST_ENTRIES = 100_000
"""Of a tuple, those of shared parts counted as often as the parts are named."""

MOST_WORK = 4 * LARGEST
"""Bytes that are copied or hashed in all."""

PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
WORKING = {
    *("REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST"),
    *("SETITEM", "SETITEMS", "DICT", "ADDITEMS", "FROZENSET"),
}
"""Operations that copy or hash what they take."""

WORD = 8
"""Bytes that an entry counts for."""


class PickleError(ValueError):
    """A pickle that holds more than plain values, costs too much, or is damaged; it was not run."""


class _Value(NamedTuple):
    """What a value on the stack weighs: a list or a dictionary only itself, for nobody hashes it."""

    entries: int = 1
    size: int = 0


_MARK = _Value(0, -1)


def check_work(content: bytes, largest: int = LARGEST) -> None:
    """Refuse a pickle whose reading would take more time or memory than any honest one.

    Args:
        content: The pickle; nothing in it is run.
        largest: Bytes it may have.

    Raises:
        PickleError: If it does, or its operations do not fit together.
    """
    if len(content) > largest:
        raise PickleError(f"the pickle has {len(content)} bytes, where at most {largest} are read")
    stack: list[_Value] = []
    memo: dict[int, _Value] = {}
    work = 0
    try:
        for number, (code, argument, _) in enumerate(pickletools.genops(content)):
            work += _weigh(code, argument, stack, memo)
            if number > MOST_OPERATIONS or work > MOST_WORK:
                raise PickleError(
                    f"the pickle asks for far more work than plain values need ({number} operations so far, "
                    f"{work} bytes copied); it was not run"
                )
    except PickleError:
        raise
    except Exception as error:  # a stack that is empty, a number that is text, bytes that are missing
        raise PickleError(f"the pickle is damaged ({type(error).__name__}: {str(error)[:200]})") from error


def _weigh(code: Any, argument: Any, stack: list[_Value], memo: dict[int, _Value]) -> int:
    """Do to weights what an operation does to values; give the bytes that it copies or hashes."""
    if code.name in PUTS:
        place = len(memo) if argument is None else int(argument)
        if not 0 <= place <= MOST_OPERATIONS:
            raise PickleError(f"the pickle keeps a value at place {place} of its memo; it was not run")
        memo[place] = stack[-1]
        return 0
    if code.name in GETS:
        stack.append(memo[int(argument)])
        return 0
    taken = _take(code, stack)
    if code.name in TUPLES:
        stack.append(_join(taken))
    elif code.name == "MARK":
        stack.append(_MARK)
    elif code.name == "DUP":
        stack += taken * 2
    else:
        size = len(argument) if isinstance(argument, (str, bytes, bytearray)) else 0
        stack += [_Value(1, size)] * len(code.stack_after)
    return sum(WORD * one.entries + one.size for one in taken) if code.name in WORKING else 0


def _take(code: Any, stack: list[_Value]) -> list[_Value]:
    """Take what an operation takes: so many values, and all above the topmost mark where it says so."""
    taken: list[_Value] = []
    count = len(code.stack_before)
    if pickletools.markobject in code.stack_before:
        while (top := stack.pop()) is not _MARK:
            taken.append(top)
        count = code.stack_before.index(pickletools.markobject)
    for _ in range(count):
        top = stack.pop()
        if top is _MARK:
            raise PickleError(f"the pickle is damaged (a mark was taken for a value by {code.name})")
        taken.append(top)
    return taken


def _join(taken: list[_Value]) -> _Value:
    entries = 1 + sum(one.entries for one in taken)
    if entries > MOST_ENTRIES:
        raise PickleError(
            f"the pickle holds a tuple of {entries:.3g} entries, shared ones counted; it was not run"
        )
    return _Value(entries, sum(one.size for one in taken))

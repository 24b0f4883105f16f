"""Reads pickles of plain values and NumPy arrays without running them: nothing in them is imported."""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
from typing_extensions import override

from ingradient_pl.pickle_bounds import LARGEST as LARGEST
from ingradient_pl.pickle_bounds import PickleError as PickleError
from ingradient_pl.pickle_bounds import check_work

CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
KINDS = "biuf"
DEEPEST = 50
OPERATIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET"),
    *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
"""What plain values and arrays are written with; no other operation is done."""


class _Name:
    """Stands for what a pickle would import, and makes by our own means what NumPy would make."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise PickleError("the pickle sets the state of a name; only NumPy's arrays are read")


class NumpyType:
    """A NumPy type in the making; only numbers become one.

    Args:
        code: As a pickle has it, such as ``f8``.
    """

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code.lstrip("<>=|"), "<" if code[:1] not in "<>" else code[:1]

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type."""
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in KINDS:
            raise PickleError(f"an array of type '{self.code}', and only numbers are read")
        return dtype


class _Array:
    """A NumPy array in the making: it is known once its state has been read."""

    __slots__ = ("value",)

    def __init__(self, value: object = None) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.value = _array_from_bytes(data, kind, shape, "F" if fortran else "C")


def read(content: bytes) -> Any:
    """Read what a pickle of plain values holds.

    Of its operations, those alone are done that containers, plain values and the way NumPy writes arrays of
    numbers need, and the names in it stand for functions of ours. Whatever else it wants ends the reading.

    Args:
        content: The whole pickle, of any protocol; at most ``LARGEST`` bytes.

    Returns:
        Dictionaries, lists, tuples, strings, bytes, numbers, None and NumPy arrays of numbers.

    Raises:
        PickleError: If the pickle asks for anything else or for too much, or is damaged.
    """
    check_work(content)
    for code, _, _ in pickletools.genops(content):
        if code.name not in OPERATIONS:
            raise PickleError(
                f"the pickle holds '{code.name}', which plain values do not need; it was not run"
            )
    try:
        return _resolve(_Unpickler(io.BytesIO(content), encoding="latin1").load(), {}, 0)
    except PickleError:
        raise
    except Exception as error:
        raise PickleError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    """Knows no name but those in ``CALLS``."""

    @override
    def find_class(self, module: str, name: str, /) -> _Name:
        """Give what stands for a name."""
        if (module, name) not in CALLS:
            raise PickleError(
                f"the pickle wants '{module}.{name}', but only plain values and NumPy arrays are read; "
                "nothing was run"
            )
        return _Name(CALLS[module, name])


def _array_from_bytes(data: Any, kind: Any, shape: Any, order: Any) -> object:
    if not isinstance(kind, NumpyType) or not isinstance(data, (bytes, bytearray, str)):
        raise PickleError(
            f"the pickle holds an array of objects (its bytes are a {type(data).__name__}, its type a "
            f"{type(kind).__name__}); only numbers are read"
        )
    content = data.encode("latin1") if isinstance(data, str) else bytes(data)
    flat = np.frombuffer(content, kind.dtype)
    counts = [int(count) for count in (shape if isinstance(shape, tuple) else (shape,))]
    array = flat.reshape(counts, order="F" if order == "F" else "C")
    return array.astype(kind.dtype.newbyteorder("="))


def make_scalar(kind: Any, data: Any) -> Any:
    """Make a number of NumPy's a plain one.

    Args:
        kind: Its type.
        data: Its bytes.

    Raises:
        PickleError: If it is no number.
    """
    array: Any = _array_from_bytes(data, kind, (1,), "C")
    return array[0].item()


def make_type(code: Any, *_: Any) -> NumpyType:
    """Begin to make a NumPy type.

    Args:
        code: Its name.

    Raises:
        PickleError: If it is a structured one.
    """
    if not isinstance(code, str):
        raise PickleError(
            f"the pickle holds an array of a structured type (a {type(code).__name__}); only numbers are read"
        )
    return NumpyType(code)


def encode_text(text: Any, encoding: Any = "latin1") -> bytes:
    """Give the bytes that a pickle of an older protocol wrote as a text.

    Args:
        text: As it was written.
        encoding: By which it becomes bytes.

    Raises:
        PickleError: If it is another than latin1.
    """
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise PickleError(f"the pickle encodes bytes as '{encoding}'; only latin1 is read")
    return text.encode("latin1")


def _word(*_: Any) -> Any:
    raise PickleError("the pickle makes an array in a way NumPy does not; it was not run")


CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _word,
    ("numpy", "dtype"): make_type,
    ("_codecs", "encode"): encode_text,
    ("__builtin__", "bytes"): lambda: b"",  # protocols before 3 write no bytes so
    ("collections", "OrderedDict"): lambda pairs=(): dict(pairs),
    **{(core, "_reconstruct"): lambda *_: _Array() for core in CORES},
    **{(core, "scalar"): make_scalar for core in CORES},
    **{(numeric, "_frombuffer"): lambda *state: _Array(_array_from_bytes(*state)) for numeric in NUMERIC},
}


def _resolve(value: Any, known: dict[int, Any], depth: int) -> Any:
    """Put arrays where their makers stand; shared parts are made once, so nothing can be blown up."""
    if depth > DEEPEST:
        raise PickleError(f"the pickle nests its values more than {DEEPEST} deep")
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, (_Name, NumpyType)):
        kind = type(value).__name__.lstrip("_").lower()
        raise PickleError(f"the pickle holds a {kind} of NumPy's where a value is expected")
    made = value
    if isinstance(value, _Array):
        made = value.value
    elif isinstance(value, dict):
        made = {key: _resolve(entry, known, depth + 1) for key, entry in value.items()}
    elif isinstance(value, (list, tuple, set)):
        made = (tuple if isinstance(value, tuple) else list)(
            _resolve(entry, known, depth + 1) for entry in value
        )
    known[id(value)] = made
    return made

"""Reads pickles of plain values and NumPy arrays without running them: nothing is imported or called."""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from ingradient_pl.pickle_bounds import LARGEST as LARGEST
from ingradient_pl.pickle_bounds import PickleError as PickleError
from ingradient_pl.pickle_bounds import check_work

CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
KINDS = "biuf"


class _Mark:
    """Where a list, tuple or dictionary begins on the stack."""


class _Name(str):
    """What a pickle would import: it stays a word here."""


class _Type:
    """A NumPy type in the making."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code.lstrip("<>=|"), "<" if code[:1] not in "<>" else code[:1]

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in KINDS:
            raise PickleError(f"an array of type '{self.code}', and only numbers are read")
        return dtype


class _Array:
    """A NumPy array in the making: it is known once its state has been read."""

    value: object = None


def read(content: bytes) -> Any:
    """Read what a pickle of plain values holds.

    A small machine of our own walks the stream of operations; it knows containers, plain values
    and the way NumPy writes arrays of numbers. Whatever else the pickle wants ends the reading.

    Args:
        content: The whole pickle, of any protocol; at most ``LARGEST`` bytes.

    Returns:
        Dictionaries, lists, tuples, strings, bytes, numbers, None and NumPy arrays of numbers.

    Raises:
        PickleError: If the pickle asks for anything else or for too much, or is damaged.
    """
    check_work(content)
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(content):
            machine.step(code.name, argument)
        return _resolve(machine.result, {}, 0)
    except PickleError:
        raise
    except Exception as error:
        raise PickleError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


class _Machine:
    """The stack and the memo of a pickle being read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.result: object = None

    def step(self, name: str, argument: Any) -> None:
        """Do one operation."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in OPERATIONS:
            OPERATIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"the pickle holds '{name}', which plain values do not need; it was not run")

    def pop_to_mark(self) -> list[Any]:
        """Take everything above the topmost mark."""
        entries: list[Any] = []
        while not isinstance(top := self.stack.pop(), _Mark):
            entries.append(top)
        return entries[::-1]

    def tuple_of(self, count: int) -> None:
        """Make a tuple of the topmost entries."""
        entries = tuple(self.stack[len(self.stack) - count :])
        if len(entries) != count:
            raise PickleError(f"the pickle is damaged (a tuple of {count} from {len(entries)} values)")
        del self.stack[len(self.stack) - count :]
        self.stack.append(entries)

    def items(self, entries: list[Any]) -> None:
        """Put pairs into the dictionary on top."""
        self._top(dict).update(_dictionary(entries))

    def append(self, entries: list[Any]) -> None:
        """Put entries at the end of the list on top."""
        self._top(list).extend(entries)

    def push_name(self, module: str, name: str) -> None:
        """Take a name as a word, where it is one of NumPy's."""
        if (module, name) not in CALLS:
            raise PickleError(
                f"the pickle wants '{module}.{name}', but only plain values and NumPy arrays are read; "
                "nothing was run"
            )
        self.stack.append(_Name(f"{module} {name}"))

    def reduce(self) -> None:
        """Make what NumPy's own names stand for, by our own means."""
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise PickleError(
                f"the pickle wants to call a {type(called).__name__}, which is not a name of NumPy's, with "
                f"a {type(arguments).__name__}; it was not run"
            )
        module, name = called.split(" ")
        self.stack.append(CALLS[module, name](*arguments))

    def build(self) -> None:
        """Give the array or type on top its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Type):
            target.order = ">" if state[1] == ">" else "<"
        elif isinstance(target, _Array):
            _, shape, kind, fortran, data = state
            target.value = _array_from_bytes(data, kind, shape, "F" if fortran else "C")
        else:
            raise PickleError(
                f"the pickle sets the state of a {type(target).__name__}; only NumPy's arrays are read"
            )

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise PickleError(f"the pickle is damaged (a {kind.__name__} was expected)")
        return self.stack[-1]


def _array_from_bytes(data: Any, kind: Any, shape: Any, order: Any) -> object:
    if not isinstance(kind, _Type) or not isinstance(data, (bytes, bytearray, str)):
        raise PickleError(
            f"the pickle holds an array of objects (its bytes are a {type(data).__name__}, its type a "
            f"{type(kind).__name__}); only numbers are read"
        )
    content = data.encode("latin1") if isinstance(data, str) else bytes(data)
    flat = np.frombuffer(content, kind.dtype)
    counts = [int(count) for count in (shape if isinstance(shape, tuple) else (shape,))]
    array = flat.reshape(counts, order="F" if order == "F" else "C")
    return array.astype(kind.dtype.newbyteorder("="))


def _empty(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, data: Any) -> _Array:
    made = _Array()
    array: Any = _array_from_bytes(data, kind, (1,), "C")
    made.value = array[0].item()
    return made


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.value = _array_from_bytes(data, kind, shape, order)
    return made


def _type(code: Any, *_: Any) -> _Type:
    if not isinstance(code, str):
        raise PickleError(
            f"the pickle holds an array of a structured type (a {type(code).__name__}); only numbers are read"
        )
    return _Type(code)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise PickleError(f"the pickle encodes bytes as '{encoding}'; only latin1 is read")
    return text.encode("latin1")


def _word(*_: Any) -> Any:
    raise PickleError("the pickle makes an array in a way NumPy does not; it was not run")


CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _word,
    ("numpy", "dtype"): _type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # protocols before 3 write no bytes so
    ("collections", "OrderedDict"): lambda pairs=(): dict(pairs),
    **{(core, "_reconstruct"): _empty for core in CORES},
    **{(core, "scalar"): _scalar for core in CORES},
    **{(numeric, "_frombuffer"): _from_buffer for numeric in NUMERIC},
}
PUSHED = {
    *(
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
    ),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8"),
}
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
    "MARK": _Mark,
}


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.push_name(str(module), str(name))


def _dictionary(entries: list[Any]) -> dict[Any, Any]:
    return dict(zip(entries[::2], entries[1::2], strict=True))


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else int(argument)] = machine.stack[-1]


OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": lambda machine, _: machine.stack.append(_dictionary(machine.pop_to_mark())),
    "SETITEM": lambda machine, _: machine.items([machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.items(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "MEMOIZE": _put,
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "GET": lambda machine, argument: machine.stack.append(machine.memo[int(argument)]),
    "BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "LONG_BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "GLOBAL": lambda machine, argument: machine.push_name(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "POP": lambda machine, _: machine.stack.__delitem__(-1),
    "STOP": lambda machine, _: setattr(machine, "result", machine.stack.pop()),
}

DEEPEST = 50


def _resolve(value: Any, known: dict[int, Any], depth: int) -> Any:
    """Put arrays where their makers stand; shared parts are made once, so nothing can be blown up."""
    if depth > DEEPEST:
        raise PickleError(f"the pickle nests its values more than {DEEPEST} deep")
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, (_Name, _Type, _Mark)):
        raise PickleError(f"the pickle holds '{value}' of NumPy's where a value is expected")
    made = value
    if isinstance(value, _Array):
        made = value.value
    elif isinstance(value, dict):
        made = {key: _resolve(entry, known, depth + 1) for key, entry in value.items()}
    elif isinstance(value, (list, tuple)):
        made = type(value)(_resolve(entry, known, depth + 1) for entry in value)
    known[id(value)] = made
    return made

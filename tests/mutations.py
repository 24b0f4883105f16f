"""Seeded damage: to the bytes of a file, and to the values that stand in one."""

import copy
import re

HUGE = [0, -1, 1, 2, 7, 255, 2**31, -(2**31), 2**63, 2**64, 10**30, -(10**30), 10**400, 1e-320, 1e308]
ODD = [
    *(None, True, False, *HUGE, 0.5, -0.0, float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "0", "-1", "1e999", "true", "../x", "/", ".", "a\0b", "a\nb", "\x1b[2J"),
    *("é" * 300, "y" * 10**5),
    *("${oc.env:HOME}", "${plan}", "???", "nan", "\ud7ff", "2001-99-99"),
    *([], {}, [[]], [None], [None] * 3, [0] * 3, [1, 1, 1], [-1, 1, 1], {"": 0}),
    *({"_target_": "x"}, {"0": {}}),
]  # fmt: skip
"""What may stand where something else is wanted."""

WORDS = [
    *(b"\0", b"\xff", b"\n", b"\r\n", b"\xef\xbb\xbf", b"-", b"NaN", b"Infinity", b"null", b"true", b'"'),
    *(b"{", b"}", b"[", b"]", b",", b":", b"'", b"#", b"&a ", b"*a", b"!!python/object:os.system ", b"<<: "),
    *(b"1e400", b"99999999999999999999", b"-1", b"0", b"PK\x05\x06", b"\x80\x04", b"${oc.env:HOME}", b"../"),
    *(b"[" * 3000, b"{" * 300, b"(" * 3000, b"a: &a [*a]\n", b"\n- ", b"0x10", b".inf", b"~", b"%s", b"\t"),
]
"""Pieces of the formats' own grammars."""


def harm_bytes(content, draws):
    """Give the name of a mutation, and the content so harmed; ``draws`` is a ``random.Random``."""
    name = draws.choice(sorted(BYTES))
    harmed = BYTES[name](bytes(content), draws)
    return name, harmed


def harm_value(plain, draws, odd=ODD):
    """Give the name of a mutation, and plain values (lists and dictionaries in each other) so harmed."""
    plain = copy.deepcopy(plain)
    places = list(_places(plain))
    if not places:
        return "whole", copy.deepcopy(draws.choice(odd))
    holder, key = draws.choice(places)
    name = draws.choice(["odd", "odd", "odd", "removed", "wrapped", "swapped", "renamed", "doubled", "deep"])
    if name == "removed":
        del holder[key]
    elif name == "wrapped":
        holder[key] = draws.choice([[holder[key]], {"a": holder[key]}, str(holder[key])[: 10**5]])
    elif name == "swapped":
        other, its_key = draws.choice(places)
        holder[key] = copy.deepcopy(other[its_key])
    elif name == "renamed" and isinstance(holder, dict):
        holder[draws.choice(["", "x", f"{key} ", 0])] = holder.pop(key)
    elif name == "doubled" and isinstance(holder[key], (list, str)):
        holder[key] = holder[key] * draws.choice([0, 2, 50])
    elif name == "deep":
        holder[key] = _nested(draws.choice([3, 70, 900]))
    else:
        name, holder[key] = "odd", copy.deepcopy(draws.choice(odd))
    return name, plain


def _places(plain):
    """Every container below, with a key of it."""
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        yield plain, key
        if isinstance(value, (dict, list)) and value:
            yield from _places(value)


def _nested(depth):
    made = 1
    for _ in range(depth):
        made = [made]
    return made


def _flip(content, draws):
    harmed = bytearray(content)
    for _ in range(draws.choice([1, 1, 1, 2, 8])):
        harmed[draws.randrange(len(harmed))] ^= 1 << draws.randrange(8)
    return bytes(harmed)


def _early_flip(content, draws):
    """Headers, where most of what is believed stands."""
    harmed = bytearray(content)
    harmed[draws.randrange(min(len(harmed), 400))] = draws.randrange(256)
    return bytes(harmed)


def _cut(content, draws):
    return content[: draws.randrange(len(content))]


def _lose(content, draws):
    begin, end = _block(content, draws)
    return content[:begin] + content[end:]


def _insert(content, draws):
    at = draws.randrange(len(content) + 1)
    more = draws.choice([draws.randbytes(draws.choice([1, 4, 100])), draws.choice(WORDS)])
    return content[:at] + more + content[at:]


def _append(content, draws):
    return content + draws.choice([draws.randbytes(draws.choice([1, 1000])), *WORDS])


def _zeros(content, draws):
    begin, end = _block(content, draws)
    return content[:begin] + bytes(end - begin) + content[end:]


def _ones(content, draws):
    begin, end = _block(content, draws, 8)
    return content[:begin] + b"\xff" * (end - begin) + content[end:]


def _swap(content, draws):
    """Two blocks of one length change places."""
    length = draws.randrange(1, max(2, len(content) // 3))
    one = draws.randrange(max(1, len(content) - 2 * length + 1))
    two = draws.randrange(one + length, max(one + length + 1, len(content) - length + 1))
    a, b = content[one : one + length], content[two : two + length]
    return content[:one] + b + content[one + length : two] + a + content[two + length :]


def _repeat(content, draws):
    begin, end = _block(content, draws)
    return content[:end] + content[begin:]


def _number(content, draws):
    """A number in the text becomes another one."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return _early_flip(content, draws)
    match = draws.choice(found)
    return content[: match.start()] + str(draws.choice(HUGE)).encode() + content[match.end() :]


def _word(content, draws):
    """A word of the text becomes another piece of grammar."""
    found = list(re.finditer(rb"\w+", content))
    if not found:
        return _insert(content, draws)
    match = draws.choice(found)
    return content[: match.start()] + draws.choice(WORDS) + content[match.end() :]


def _line(content, draws):
    """Two lines change places, or one is left out or doubled."""
    lines = content.split(b"\n")
    one, two = draws.randrange(len(lines)), draws.randrange(len(lines))
    how = draws.randrange(3)
    if how == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif how == 1:
        del lines[one]
    else:
        lines.insert(two, lines[one])
    return b"\n".join(lines)


def _nothing(content, draws):
    return draws.choice([b"", b"\0", b"\n", b"null", b"[]", b"{}"])


def _block(content, draws, longest=64):
    begin = draws.randrange(len(content))
    return begin, min(len(content), begin + draws.randrange(1, longest))


BYTES = {
    "a flipped bit": _flip,
    "another byte in the header": _early_flip,
    "cut short": _cut,
    "a block lost": _lose,
    "something inserted": _insert,
    "something behind": _append,
    "a block of zeros": _zeros,
    "a block of ones": _ones,
    "blocks swapped": _swap,
    "a block doubled": _repeat,
    "another number": _number,
    "another word": _word,
    "lines moved": _line,
    "nothing left": _nothing,
}

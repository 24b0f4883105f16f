"""The runtime checker of shape annotations: like mypy, it lets an int stand for a float.

Settings may also come as lists, for YAML has no tuples; their constructors make tuples of them at the door.
"""

from beartype import BeartypeConf, FrozenDict, beartype

SETTINGS = [
    tuple[str, ...],
    tuple[int, ...],
    tuple[float, ...],
    tuple[bool, ...],
    tuple[float, float],
    tuple[int, int, int],
    tuple[bool, bool, bool],
    tuple[float, float, float],
    tuple[tuple[int, int, int], ...],
    tuple[float | None, float | None, float | None],
]

check = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True, hint_overrides=FrozenDict({hint: hint | list for hint in SETTINGS})
    )
)

"""Labels that may overlap, as descriptions declare them: names, and how label files hold each one."""

from collections.abc import Mapping
from typing import Any

from ingradient_pl.datasets.case_names import describe_name_fault
from ingradient_pl.datasets.records import label_values
from ingradient_pl.task import UNMASKED

CASE, LABEL, FOLDER = "{case}", "{label}", "labelsTr/"
LABEL_FILES = "label_files"
"""The key of a description: a pattern of the names of label files."""

FILE, CHANNEL, CHANNELS, VALUE = "file", "channel", "channels", "value"
Labels = dict[str, int | tuple[int, ...]]
Places = dict[str, dict[str, object]]
"""By the name of a label: ``file`` (a pattern), ``channel`` (of ``channels``) and ``value``, if told."""


def read_labels(described: Mapping[str, Any]) -> tuple[Labels, Places | None]:
    """Read the labels of a description, and where they may overlap how label files hold each one.

    Labels overlap where they are a list of names (a channel or a file each), where ``label_files`` gives a
    pattern, or where a label's value is a pattern or an object with ``file``, ``channel`` or ``value``.

    Args:
        described: The content of a ``dataset.json``.

    Returns:
        Integers by name (of overlapping labels: each by itself); and the places, None where none overlap.

    Raises:
        ValueError: If labels contradict each other, or something in them has another form.
    """
    labels = described.get("labels") or {}
    if not _overlap(labels, described.get(LABEL_FILES)):
        return label_values(labels), None
    names = _names(labels)
    places = {name: _place(name, given) for name, given in names.items()}
    places = _with_patterns(places, described.get(LABEL_FILES))
    _check(places)
    return number_names(list(places)), places


def number_names(names: list[str]) -> Labels:
    """Number labels that may overlap from 1, ``ignore`` last.

    Args:
        names: Of the labels, in their order.

    Raises:
        ValueError: If one cannot be the name of a file.
    """
    faults = [fault for name in names if (fault := describe_name_fault(name))]
    if faults:
        raise ValueError(f"the label {faults[0].replace('name a case', 'name a file of masks')}")
    outputs = [name for name in names if name not in UNMASKED]
    labels: Labels = {"background": 0, **{name: (value,) for value, name in enumerate(outputs, 1)}}
    return {**labels, "ignore": len(outputs) + 1} if "ignore" in names else labels


def order_names(places: Mapping[str, object]) -> list[str]:
    """Give the names of labels by their numbers as masks: outputs first, ``ignore`` last.

    Args:
        places: By name.
    """
    return sorted(places, key=lambda name: name == "ignore")


def place_files(names: list[str]) -> Places:
    """Give places of a folder for each case that holds a file for each label, named after it.

    Args:
        names: Of the labels.
    """
    return {name: {FILE: f"{CASE}/{name}"} for name in names}


def _overlap(labels: Any, pattern: Any) -> bool:
    if isinstance(labels, list) or pattern is not None:
        return True
    return isinstance(labels, Mapping) and any(
        isinstance(value, Mapping) or (isinstance(value, str) and CASE in value) for value in labels.values()
    )


def _names(labels: Any) -> dict[str, Any]:
    """Give what is told of each label by its name; background is what lies in none."""
    if isinstance(labels, Mapping):
        background = labels.get("background", 0)
        if not _is_number(background, 0) or background != 0:
            raise ValueError(f"'background' is 0: what lies in none of the labels; got {background!r}")
        return {str(name): value for name, value in labels.items() if name != "background"}
    wrong = [name for name in labels if not isinstance(name, str)]
    if wrong:
        raise ValueError(f"'labels' as a list holds names of labels that may overlap; got {wrong[0]!r}")
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        raise ValueError(f"'labels' names {', '.join(map(repr, twice))} twice. Keep one")
    places = {name: {CHANNEL: channel, CHANNELS: len(labels)} for channel, name in enumerate(labels)}
    return {name: place for name, place in places.items() if name != "background"}


def _place(name: str, given: Any) -> dict[str, object]:
    if isinstance(given, str) and CASE in given:
        return {FILE: given}
    if isinstance(given, Mapping):
        return _parse(name, given)
    if isinstance(given, int) and not isinstance(given, bool):
        return {}
    raise ValueError(
        f"label '{name}' overlaps others, so it is a pattern of file names with {CASE}, or an object with "
        f"'{FILE}', '{CHANNEL}' or '{VALUE}'; got {given!r}"
    )


def _parse(name: str, given: Mapping[str, Any]) -> dict[str, object]:
    place = {str(key): value for key, value in given.items()}
    unknown = sorted(set(place) - {FILE, CHANNEL, CHANNELS, VALUE})
    if unknown:
        raise ValueError(
            f"label '{name}' has {unknown[0]!r}; an overlapping label is told by '{FILE}', '{CHANNEL}' (of "
            f"'{CHANNELS}') and '{VALUE}'"
        )
    value = place.get(VALUE)
    for key in (key for key in (CHANNEL, CHANNELS) if key in place):
        if not _is_number(place[key], 0):
            raise ValueError(f"'{key}' of label '{name}' must be a number from 0; got {place[key]!r}")
    if value is not None:
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(_is_number(one, 1) for one in listed):
            raise ValueError(f"'{VALUE}' of label '{name}' must be integers above 0; got {value!r}")
        place[VALUE] = listed
    return place


def _with_patterns(places: Places, pattern: Any) -> Places:
    """Add the patterns of ``label_files``; give all patterns relative to the folder of the labels."""
    told = pattern if isinstance(pattern, Mapping) else dict.fromkeys(places, pattern)
    unknown = sorted(set(map(str, told)) - set(places))
    if unknown:
        raise ValueError(f"'{LABEL_FILES}' names {unknown[0]!r}, which is none of {', '.join(places)}")
    made: Places = {}
    for name, place in places.items():
        file = told.get(name)
        kept = {key: value for key, value in place.items() if key == VALUE or file is None}
        file = kept.get(FILE) if file is None else file
        if file is None:
            made[name] = kept
            continue
        if not isinstance(file, str) or CASE not in file:
            raise ValueError(
                f"the files of label '{name}' are a pattern of names with {CASE}, such as "
                f"'{FOLDER}{CASE}_{name}.nii.gz'; got {file!r}"
            )
        made[name] = {**kept, FILE: file.replace("\\", "/").replace(LABEL, name).removeprefix(FOLDER)}
    return made


def _check(places: Places) -> None:
    """Refuse labels of one place, and channels that a file cannot have."""
    if not [name for name in places if name not in UNMASKED]:
        raise ValueError("'labels' names no label beside background and ignore")
    seen: dict[str, str] = {}
    for name, place in places.items():
        text = repr(sorted(place.items()))
        if place and text in seen:
            raise ValueError(
                f"labels '{seen[text]}' and '{name}' are the same file, channel and value ({text}). A "
                f"pattern of files of one label each holds {LABEL}"
            )
        seen[text] = name
    _check_channels(places)


def _check_channels(places: Places) -> None:
    """Say of each channel how many its file has, and refuse those that it cannot have."""
    files: dict[object, list[dict[str, object]]] = {}
    for place in places.values():
        if CHANNEL in place:
            files.setdefault(place.get(FILE), []).append(place)
    for held in files.values():
        named = {int(str(place[CHANNEL])) for place in held}
        told = {place[CHANNELS] for place in held if CHANNELS in place}
        count = next(iter(told), len(named))
        if len(told) > 1 or not named <= set(range(int(str(count)))):
            raise ValueError(
                f"channels of a label file are numbered from 0, each of them named; got {sorted(named)!r}. "
                f"Say with '{CHANNELS}' how many a file has of which not all are labels"
            )
        for place in held:
            place[CHANNELS] = count


def _is_number(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least

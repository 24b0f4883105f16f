"""YAML and JSON are read within bounds, and hold plain values only."""

import json
import os
import threading

import pytest

from ingradient_pl.plain_values import (
    DEEPEST,
    LARGEST_YAML,
    MOST_ENTRIES,
    PlainValueError,
    check_plain,
    parse_json,
    parse_yaml,
    read_json,
    read_yaml,
)

BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(40))]
)


def test_plain_values_come_back_with_what_they_share():
    assert parse_yaml("a: &x [1, 2.5, null, yes, text]\nb: *x") == {"a": [1, 2.5, None, True, "text"]} | {
        "b": [1, 2.5, None, True, "text"]
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "unfolds to"),
        ("a: &x [*x]", "contains itself"),
        ("a: &x {b: *x}", "contains itself"),
        ("[" * 1000 + "]" * 1000, f"more than {DEEPEST} deep"),
        ("{a: " * 1000 + "1" + "}" * 1000, f"more than {DEEPEST} deep"),
        ("a: 1\na: 2", "line 2 names 'a' a second time"),
        ("x: {b: 1, b: 2}", "names 'b' a second time"),
        ("{<<: {a: 1}, b: 2}", "merges mappings"),
        ("d: 2001-01-01", "date"),
        ("d: 2001-99-99", "month"),
        ("b: !!binary aGVsbG8=", "bytes"),
        ("s: !!set {a, b}", "set"),
        ("x: !!python/object/apply:os.system [true]", "constructor"),
        ("x: !!python/name:os.system", "constructor"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("- 1\n---\n- 2", "single document"),
        ("a: [1", "expected"),
        ("k: " + "9" * 5000, "digits"),
        ("a: \x00", "characters|allowed"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_that_is_more_or_unfolds_is_refused(text, reason):
    with pytest.raises(PlainValueError, match=reason):
        parse_yaml(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "{", "", "[1, 2", "9" * 5000, "\ufeff{}"],
    ids=lambda text: text[:6],
)
def test_json_that_is_damaged_or_nested_is_refused(text):
    with pytest.raises(PlainValueError):
        parse_json(text)


def test_shared_lists_of_a_checkpoint_are_counted_and_not_unfolded():
    shared = [1, 2]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(PlainValueError, match="unfolds"):
        check_plain({"notes": shared})
    check_plain([[0] * 400] * (MOST_ENTRIES // 402))
    with pytest.raises(PlainValueError, match="not a plain value"):
        check_plain({"a": object()})


def test_pipes_folders_and_large_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * LARGEST_YAML)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    for read in (read_yaml, read_json):
        for name in ("pipe", "."):
            found = []
            thread = threading.Thread(
                target=lambda r=read, n=name, f=found: f.append(refused(r, tmp_path / n))
            )
            thread.daemon = True
            thread.start()
            thread.join(20)
            assert found == [True]
    with pytest.raises(PlainValueError, match="more than"):
        read_yaml(tmp_path / "large.yaml")
    with pytest.raises(PlainValueError, match="not text in utf-8"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "away.yaml")


def refused(read, path):
    try:
        read(path)
    except PlainValueError:
        return True
    return False


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '[{"b": {"c": 1, "d": 2, "c": 3}}]',
        "[" * 70 + "]" * 70,
        '{"a":' * 80 + "1" + "}" * 80,
    ],
)
def test_json_names_a_key_once_and_nests_within_bounds(text):
    with pytest.raises(PlainValueError, match=r"a second time|deep"):
        parse_json(text)


@pytest.mark.parametrize("number", [10**301, -(10**301), 10**4000])
def test_whole_numbers_of_which_no_other_can_be_made_are_refused(number):
    for read in (parse_json, parse_yaml, lambda text: check_plain(json.loads(text))):
        with pytest.raises(PlainValueError, match="digits"):
            read(f'{{"a": [1, {number}]}}')
    assert parse_json(f"[{10**299}]") == parse_yaml(f"[{10**299}]") == [10**299]


@pytest.mark.parametrize("text", ['{"a": {"a": {"a": 1}}}', "[" * 60 + "]" * 60, "3", '"x"', "null"])
def test_json_within_bounds_is_read(text):
    assert parse_json(text) == json.loads(text)

"""A few hundred of the damaged files of scripts/fuzz: a right result, or one line that names the file."""

import random

import pytest
from file_kinds import KINDS
from fuzzing import FAULTS, READ, Fuzzer
from mutations import BYTES, harm_bytes, harm_value

EACH = 10
SEED = 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_right_or_refused_by_name(tmp_path, kind, capfd):
    fuzzer = Fuzzer(kind, tmp_path / "files", SEED)
    verdicts = [fuzzer.judge(number) for number in range(EACH)]
    assert not [verdict for verdict in verdicts if verdict.outcome in FAULTS]
    assert {verdict.outcome for verdict in verdicts} != {READ}, "nothing was harmed"


@pytest.mark.slow
def test_mutations_follow_from_their_seed_and_are_of_every_kind():
    content = b"a: 1\nb: [2, 3]\nc: text\n" * 20
    plain = {"a": [1, {"b": "c"}], "d": 2.5}
    for harm, whole in ((harm_bytes, content), (harm_value, plain)):
        first, again = ([harm(whole, random.Random(number)) for number in range(300)] for _ in range(2))
        assert repr(first) == repr(again)
        assert len({repr(harmed) for _, harmed in first}) > 100
    assert {harm_bytes(content, random.Random(number))[0] for number in range(300)} == set(BYTES)
    assert plain == {"a": [1, {"b": "c"}], "d": 2.5}

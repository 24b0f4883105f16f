"""Payloads through every kind of file that is read: none runs, writes, deletes or tells a secret.

Each kind gets a third of them here, and all by ``scripts/fuzz --payloads``.
"""

from pathlib import Path

import pytest
from file_kinds import KINDS
from harmful_files import names_of_payloads, try_payloads
from hostile_names import HOSTILE

THIRD = 3


def test_there_are_sixty_payloads_and_forty_names():
    assert sum(map(len, names_of_payloads(Path("x")))) >= 60
    assert len(HOSTILE) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_payload_in_a_file_runs_writes_or_deletes(tmp_path, name):
    assert not try_payloads(name, tmp_path / "place", THIRD, list(KINDS).index(name))

"""How many readers a run starts by itself."""

import pytest

from ingradient_pl import machine


@pytest.mark.parametrize(
    ("cores", "ranks", "readers"),
    [(1, 1, 2), (2, 1, 2), (4, 1, 3), (16, 1, 8), (16, 4, 3), (64, 8, 7), (8, 8, 2)],
)
def test_readers_are_the_cores_but_one_shared_and_bounded(monkeypatch, cores, ranks, readers):
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    assert machine.default_readers(ranks) == readers


def test_only_cores_that_this_process_may_use_count():
    assert machine.available_cores() >= 1


@pytest.mark.parametrize(("cores", "gib", "workers"), [(2, 24, 2), (64, 64, 16), (64, 512, 64), (8, 3, 1)])
def test_no_more_cases_are_prepared_at_a_time_than_memory_holds(monkeypatch, cores, gib, workers):
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    monkeypatch.setattr(machine, "available_memory", lambda: gib * 2**30)
    assert machine.default_case_workers() == workers

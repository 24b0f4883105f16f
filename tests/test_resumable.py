"""A checkpoint that training cannot go on from is called by its name, with what it lacks."""

import re
from types import SimpleNamespace

import pytest
from tiny_models import content

from ingradient_pl.inference.checkpoint_file import CheckpointError, write_content
from ingradient_pl.lightning.resumable import NEEDED, RESTORING, check_resumable, name_file


def written(tmp_path, entries):
    write_content(tmp_path / "last.ckpt", entries)
    return tmp_path / "last.ckpt"


def test_a_whole_state_is_taken_and_one_that_is_done_is_not(tmp_path):
    file = written(tmp_path, content())
    check_resumable(file, 4)
    with pytest.raises(ValueError, match=r"has trained 3 epochs, and epochs=3"):
        check_resumable(file, 3)


@pytest.mark.parametrize("name", NEEDED)
def test_an_entry_that_is_missing_is_named(tmp_path, name):
    entries = content()
    del entries[name]
    said = "no state of its training" if name == "optimizer_states" else f"lacks '{name}'"
    with pytest.raises(ValueError, match=rf"last\.ckpt .*{said}"):
        check_resumable(written(tmp_path, entries), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("loops", value) for value in (None, 3, [], {"fit_loop": 1}, {"fit_loop": {"epoch_progress": []}})),
        *(("loops", {"fit_loop": {"epoch_progress": {"current": {"processed": odd}}}}) for odd in ("3", -1)),
        *(("optimizer_states", value) for value in (None, 5, [1], {})),
        *(("lr_schedulers", value) for value in (None, "x", [[]])),
        *(("state_dict", value) for value in (None, [])),
        *(("callbacks", []), ("epoch", "3"), ("global_step", None)),
    ],
)  # fmt: skip
def test_an_entry_of_another_type_is_named(tmp_path, name, value):
    with pytest.raises(CheckpointError, match=rf"last\.ckpt cannot be trained on: .*{name}"):
        check_resumable(written(tmp_path, {**content(), name: value}), None)


@pytest.mark.parametrize("method", RESTORING)
@pytest.mark.parametrize(
    "error", [KeyError("epoch"), TypeError("x"), RuntimeError("size mismatch"), IndexError()]
)
def test_what_fails_while_it_is_put_in_place_names_the_file(method, error):
    def fail():
        raise error

    connector = SimpleNamespace(**dict.fromkeys(RESTORING, fail))
    trainer = SimpleNamespace(_checkpoint_connector=connector, ckpt_path="run/last.ckpt")
    name_file(trainer)
    with pytest.raises(
        CheckpointError,
        match=re.escape("run/last.ckpt cannot be gone on with") + f".*{type(error).__name__}",
    ):
        getattr(connector, method)()
    trainer.ckpt_path = None
    with pytest.raises(type(error)):
        getattr(connector, method)()


def test_lightning_has_what_is_wrapped_in_it():
    from pytorch_lightning.trainer.connectors.checkpoint_connector import _CheckpointConnector

    assert all(callable(getattr(_CheckpointConnector, name)) for name in RESTORING)

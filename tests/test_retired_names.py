"""A retired config key, option or class is answered with the word of today, by the command and in Python."""

import pytest
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli.retired_keys import TARGETS, renamed_target
from ingradient_pl.messages import UsageError

RETIRED = [
    ("data.draws.motion.rotation=15", "Use data.draws.affine.rotation=15"),
    ("data.draws.bend=null", "Use data.draws.elastic=null"),
    ("module.optimiser.lr=0.1", "it is now module.optimizer.lr"),
    ("network@module.network=outside", "it is now network=external"),
    (
        "data.draws.affine._target_=ingradient_pl.sampling.motion.RandomMotion",
        "it is now ingradient_pl.draws.affine.RandomAffine",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("override", "word"), RETIRED)
def test_the_command_gives_the_new_word(monkeypatch, capsys, tmp_path, quick, override, word):
    code, _, err = outcome(
        monkeypatch, capsys, "train", *quick, override, f"hydra.run.dir={tmp_path / 'run'}"
    )
    assert code
    assert word in err


def test_python_gives_the_new_word(tmp_path, phantom_store, phantom_plan):
    with pytest.raises(UsageError, match=r"Use data\.draws\.affine\.rotation=15"):
        ip.train(phantom_store, phantom_plan, tmp_path / "run", data__draws__motion__rotation=15)


@pytest.mark.parametrize("before", TARGETS)
def test_what_stands_in_a_classs_place_is_there(before):
    from hydra.utils import get_object

    assert get_object(renamed_target(before)) is not None

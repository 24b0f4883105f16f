"""What LightningCLI's parser refuses is a line or two, with what is near; nothing untrained is scored."""

import pytest
from runs import outcome

from ingradient_pl.cli.lightning_faults import LONGEST, explain_refused

REFUSED = {
    "misspelt": (["fit", "--data.wokers", "3"], r"no option --data.wokers. Did you mean --data.workers?"),
    "unknown": (["validate", "--bogus=3"], "no option --bogus."),
    "no number": (["fit", "--data.workers", "three"], "--data.workers takes a whole number; got three."),
    "a key of ours": (["fit", "epochs=3"], "LightningCLI takes it as --KEY VALUE"),
    "no file": (["fit", "--config", "nofile.yaml"], "nofile.yaml"),
    "nothing": (["test"], "--data.store must be given."),
    "inside an object": (["fit", "--data.store=s", "--model.optimizer.lr=abc"], "abc"),
    "no checkpoint": (["test", "--data.store=s"], "none was named: the network would be an untrained one"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", REFUSED)
def test_what_the_parser_refuses_is_a_line(monkeypatch, capsys, tmp_path, fault):
    monkeypatch.chdir(tmp_path)
    line, said = REFUSED[fault]
    code, out, err = outcome(monkeypatch, capsys, *line)
    assert code == 2, err
    assert said in err
    assert len(err.splitlines()) <= 2
    assert "usage:" not in out + err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["x " * 2000, "<class 'int'> " * 200])
def test_the_parsers_own_words_are_cut_short(words):
    told = explain_refused(f'Parser key "model":\n  {words}', [])
    assert told.startswith("--model: ")
    assert "\n" not in told
    assert "<class" not in told
    assert len(told) < LONGEST + 20

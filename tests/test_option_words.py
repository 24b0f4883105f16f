"""What an option of any command refuses is told in words of our own: option, what it takes, what it got."""

import json
from inspect import Parameter, signature
from typing import Literal, get_args, get_origin

import pytest
from command_lines import OPTIONS
from runs import outcome

from ingradient_pl.cli.options import plain_function
from ingradient_pl.cli.pair_options import join_pairs, takes_pairs
from ingradient_pl.cli.signatures import read_signature
from ingradient_pl.workers.cluster import ClusterError, open_workers

FUNCTIONS = {
    command: plain_function(
        read_signature(f"ingradient_pl.commands.{command.replace('-', '_')}", command.replace("-", "_")), {}
    )
    for command in OPTIONS
}
WRONG = "wr;ong"


def kinds(hint):
    """All types that a hint names, wherever in it."""
    return {hint, get_origin(hint)} | {kind for part in get_args(hint) for kind in kinds(part)}


CHECKED = [
    (command, option)
    for command, function in FUNCTIONS.items()
    for option, hint in function.__annotations__.items()
    if (option != "return" and str not in kinds(hint) - {Literal}) or takes_pairs(hint)
]


def required(command):
    """Words for the options that have to be given."""
    parameters = signature(FUNCTIONS[command]).parameters.values()
    return [word for one in parameters if one.default is Parameter.empty for word in (f"--{one.name}", "x")]


@pytest.mark.parametrize(("command", "option"), CHECKED)
def test_a_wrong_value_of_an_option_is_told_in_our_own_words(monkeypatch, capsys, tmp_path, command, option):
    monkeypatch.chdir(tmp_path)
    beside = ["--cluster", "local"] if option == "cluster_options" else []
    code, out, err = outcome(monkeypatch, capsys, command, *required(command), *beside, f"--{option}", WRONG)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert f"--{option} takes " in err or "does nothing without" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["jobs="], ["=3"], ["{a"], ["[1,2]"], ["5"], ["{a: [1]}"], ["{a: true}"], [], ["jobs=1", "x"]],
    ids=str,
)
@pytest.mark.parametrize("command", ["prepare", "predict", "evaluate"])
def test_what_is_no_pairs_is_refused_with_what_is_taken(monkeypatch, capsys, tmp_path, command, words):
    monkeypatch.chdir(tmp_path)
    line = [*required(command), "--cluster", "local", "--cluster_options", *words]
    code, out, err = outcome(monkeypatch, capsys, command, *line)
    assert (code, out) == (2, "")
    got = " ".join(words) or "nothing"
    assert err.endswith(
        f"--cluster_options takes pairs KEY=VALUE, or a mapping {{KEY: VALUE}} of words and "
        f"whole numbers; got {got}.\n"
    )
    code, _, err = outcome(monkeypatch, capsys, command, *required(command), "--cluster_options.jobs", "[1]")
    assert code == 2
    assert "got --cluster_options.jobs." in err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["jobs=2", "slurm_partition=gpu"], {"jobs": 2, "slurm_partition": "gpu"}),
        (["jobs=2,slurm_partition=gpu"], {"jobs": 2, "slurm_partition": "gpu"}),
        (["{jobs: 2, slurm_partition: gpu}"], {"jobs": 2, "slurm_partition": "gpu"}),
        (["null"], None),
    ],
    ids=str,
)
def test_pairs_and_mappings_say_the_same(words, wanted):
    assert json.loads(join_pairs("--cluster_options", words)) == wanted


@pytest.mark.parametrize("jobs", ["two", 0, -1])
def test_a_count_of_jobs_is_a_whole_number(tmp_path, jobs):
    pytest.importorskip("submitit")
    with (
        pytest.raises(ClusterError, match="jobs must be a whole number, at least 1; got"),
        open_workers("local", {"jobs": jobs}, folder=tmp_path),
    ):
        pass


def test_several_words_where_one_is_taken_are_told(monkeypatch, capsys):
    code, _, err = outcome(monkeypatch, capsys, "prepare", "--source", "x", "--store", "s", "--workers", 1, 2)
    assert code == 2
    assert "--workers takes one value; got 1 2." in err

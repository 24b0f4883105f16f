"""What a machine has, and what is known to be wrong with machines like it."""

import json
import os
import subprocess
import sys

import pytest
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.commands.doctor import GIB, find_facts, find_problems
from ingradient_pl.machine import available_cores

GPU = {"name": "H100", "memory_bytes": 80 * GIB, "capability": "9.0", "bf16": True}


@pytest.fixture
def good(tmp_path):
    """Facts of a machine that nothing is wrong with."""
    versions = {"torch": "2.10.0+cu128", "cudnn": "91200", "triton": "3.6.0", "pytorch-lightning": "2.6.1"}
    return {
        "versions": versions,
        "gpus": [GPU, GPU],
        "nvidia_driver": True,
        "c_compiler": "/usr/bin/gcc",
        "memory_bytes": 64 * GIB,
        "shared_memory_bytes": 32 * GIB,
        "disk": {"path": str(tmp_path), "free_bytes": 500 * GIB, "total_bytes": 900 * GIB},
    }


def test_nothing_is_wrong_with_a_good_one(good):
    assert not list(find_problems(good))


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"versions.torch": "2.9.0"}, "wrong", "conv3d outside cuDNN"),
        ({"versions.torch": "2.9.1+cu130"}, "wrong", "conv3d outside cuDNN"),
        ({"versions.torch": "2.8.0"}, "wrong", "CVE-2026-24747"),
        ({"versions.cudnn": "90800"}, "wrong", "bf16 conv3d"),
        ({"versions.cudnn": "91002"}, "wrong", "bf16 conv3d"),
        ({"versions.pytorch-lightning": "2.6.3"}, "wrong", "malicious"),
        ({"versions.triton": None}, "slow", "Triton is not installed"),
        ({"c_compiler": None}, "slow", "no C compiler"),
        ({"gpus": []}, "slow", "sees no GPU"),
        ({"gpus": [], "nvidia_driver": False}, "slow", "no GPU"),
        ({"gpus": [GPU, GPU | {"name": "A100"}]}, "slow", "A100, H100"),
        ({"gpus": [GPU | {"bf16": False}]}, "note", "no bf16"),
        ({"shared_memory_bytes": 2**26}, "wrong", "0.1 GiB free"),
        ({"memory_bytes": 4 * GIB}, "note", "4.0 GiB of memory"),
        ({"disk.free_bytes": GIB}, "note", "1.0 GiB free"),
    ],
    ids=str,
)
def test_each_known_problem_is_told_with_a_cure(good, changes, kind, said):
    for key, value in changes.items():
        *place, last = key.split(".")
        (good[place[0]] if place else good)[last] = value
    (problem,) = find_problems(good)
    assert problem.kind == kind
    assert said in problem.found
    assert len(problem.cure) > 10


@pytest.mark.parametrize("version", ["90701", "91100", None])
def test_other_versions_of_cudnn_are_not_blamed(good, version):
    good["versions"]["cudnn"] = version
    assert not list(find_problems(good))


def test_where_there_is_no_shared_memory_nothing_is_said_of_it(good):
    good["shared_memory_bytes"] = None
    assert not list(find_problems(good))


def test_facts_are_this_machines(tmp_path):
    facts = find_facts(tmp_path)
    assert facts["cores"] == available_cores()
    assert facts["disk"]["free_bytes"] > 0
    assert facts["versions"]["ingradient_pl"] == ip.__version__
    assert "onnx" in facts["extras"]["export"]
    with pytest.raises(OSError, match="nowhere"):
        find_facts(tmp_path / "nowhere")


def test_in_python_it_prints_nothing_and_as_a_command_text_or_json(monkeypatch, capsys, tmp_path):
    found = ip.doctor(tmp_path)
    assert capsys.readouterr().out == ""
    code, out, _ = outcome(monkeypatch, capsys, "doctor", tmp_path)
    assert code == 0
    assert "Versions: ingradient_pl" in out
    for line in (["--json"], ["--json", "true"], [tmp_path, "--json=true"]):
        code, out, _ = outcome(monkeypatch, capsys, "doctor", *line)
        assert code == 0
        told = json.loads(out)
        assert told["kind"] == "machine"
        assert [problem["found"] for problem in told["problems"]] == [
            problem.found for problem in found.problems
        ]
    code, _, err = outcome(monkeypatch, capsys, "doctor", tmp_path / "nowhere")
    assert code == 1
    assert "nowhere" in err


WITHOUT = """
import os, sys
import torch
for package in sys.argv[1:]:
    if os.fork() == 0:
        sys.modules[package] = None
        import ingradient_pl as ip
        ip.doctor(json=True)
        sys.exit()
    assert os.wait()[1] == 0, package
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_it_works_without_what_is_often_missing_or_broken():
    packages = ["SimpleITK", "pytorch_lightning", "blosc2", "triton", "hydra", "pydicom"]
    line = [sys.executable, "-c", WITHOUT, *packages]
    done = subprocess.run(line, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    found, text, decoder = [], done.stdout.lstrip(), json.JSONDecoder()
    while text:
        told, end = decoder.raw_decode(text)
        found.append(told["kind"])
        text = text[end:].lstrip()
    assert found == ["machine"] * len(packages)

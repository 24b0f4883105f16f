"""Objects as plain values and back, and what a file may not do."""

import os

import pytest

from ingradient_pl.spec import build, read_annotations, to_spec
from ingradient_pl.task import Task

TASK = Task(("CT", "PET"), {"background": 0, "liver": 1, "tumour": (2, 3)}, notes={"licence": "none"})


def test_a_dataclass_comes_back_as_its_equal():
    assert build(to_spec(TASK)) == TASK


def test_parts_are_built_before_the_whole():
    assert build({"tasks": [to_spec(TASK), 3], "name": None}) == {"tasks": (TASK, 3), "name": None}


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "subprocess.Popen", "torch.load"])
def test_a_file_names_nothing_outside_the_trusted_packages(target):
    with pytest.raises(ValueError, match="not in a trusted package"):
        build({"_target_": target, "command": "true"})


@pytest.mark.parametrize(
    "target",
    [
        "ingradient_pl.spec.build",  # no class
        "ingradient_pl.pictures.Path",  # a class of somebody else
        "ingradient_pl.spec.importlib.import_module",
        "ingradient_pl.nothing.Here",
    ],
)
def test_only_classes_of_the_trusted_package_are_built(target):
    with pytest.raises(ValueError, match=target.rsplit(".", 1)[0]):
        build({"_target_": target})


def test_what_has_no_plain_form_is_refused_with_the_cure():
    with pytest.raises(TypeError, match="attribute 'spec'"):
        to_spec({"network": object()})


@pytest.mark.parametrize("made", [os.environ, [1], {}, "text", 3, None], ids=lambda made: type(made).__name__)
def test_what_is_no_class_has_no_annotations(made):
    assert dict(read_annotations(made)) == {}

"""The package's style in numbers, each held at its bar: sizes, names, docstrings, messages."""

import ast
import statistics

import pytest
from style_figures import PACKAGE, functions, quantile, raises, trees

LONGEST_MODULE, LONGEST_FUNCTION = 300, 58
ONE_PROGRAM = {
    "kernels/dice_ce_finish_triton.py: _finish": "what it sums lives in registers: a part is another launch",
    "kernels/dice_ce_triton.py: _backward": "one pass over the logits, in registers",
    "kernels/dice_ce_triton.py: _sums": "one pass over the logits, in registers",
    "kernels/norm_backward_triton.py: _backward_apply": "one pass over the features, in registers",
    "kernels/norm_backward_triton.py: _backward_sums": "one pass over the features, in registers",
}
PREDICATES_AND_VIEWS = {
    "datasets/records.py: CaseFiles.labelled",
    "datasets/split_records.py: Divisible.labelled",
    "datasets/split_records.py: Split.kept",
    "draws/oversampling.py: Oversampling.forced",
    "geometry/__init__.py: Box.clipped",
    "geometry/__init__.py: Box.moved",
    "geometry/__init__.py: Box.transposed",
    "geometry/__init__.py: Grid.respaced",
    "geometry/__init__.py: Grid.transposed",
    "images/frame.py: Frame.moved",
    "lightning/whole_cases.py: WholeCaseData.mirrored",
    "store/annotation.py: Annotated.annotated",
    "store/annotation.py: Annotated.labelled",
    "task.py: Task.described",
    "task.py: Task.written",
}


@pytest.fixture(scope="module")
def modules():
    """All modules of the package, by their path."""
    return trees()


@pytest.fixture(scope="module")
def every(modules):
    """All functions."""
    return list(functions(modules))


@pytest.fixture(scope="module")
def public(every):
    """All functions that others call."""
    return [one for one in every if one.is_public]


def test_a_module_is_one_thing_of_at_most_so_many_lines(modules):
    lines = {module: len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) for module in modules}
    long = {module: count for module, count in lines.items() if count > LONGEST_MODULE}
    assert not long, f"split it by what it owns: {long}"


def test_modules_are_short(modules):
    """All lines, and those of code and comments alone."""
    whole = [len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) for module in modules]
    assert statistics.median(whole) <= 105, "a module of two subjects is two"
    assert statistics.median(_code_lines(*one) for one in modules.items()) <= 80


def test_functions_are_short(every):
    """Lines from ``def`` on, but for the docstring; programs for a GPU have a list of their own."""
    lines = {str(one): one.lines for one in every}
    long = {name for name, count in lines.items() if count > LONGEST_FUNCTION}
    assert statistics.median(lines.values()) <= 7
    assert quantile(list(lines.values()), 0.9) <= 18
    assert long == set(ONE_PROGRAM), "divide it, or take what is short now off the list"


def test_functions_that_do_something_are_verbs(every):
    found = {str(one) for one in every if one.is_bare_participle}
    assert found <= PREDICATES_AND_VIEWS, "a bare participle: say what the function does"
    assert len(PREDICATES_AND_VIEWS) <= 15


def test_parameters_have_a_line_under_args(public):
    wanted = sum(len(one.parameters) for one in public)
    without = {str(one): names for one in public if (names := one.without_line)}
    share = 1 - sum(map(len, without.values())) / wanted
    assert share >= 0.98, f"{share:.3f}; without: {without}"


def test_public_functions_are_documented(public):
    bare = [str(one) for one in public if not one.doc and one.node.name != "__init__"]
    assert not bare, "say what it does, or mark it @override"


def test_docstrings_give_shapes_where_arrays_pass(public):
    passing = [one for one in public if one.passes_arrays]
    silent = [str(one) for one in passing if not one.gives_shapes]
    assert len(silent) <= 0.03 * len(passing), silent


def test_messages_show_the_value(modules):
    found = list(raises(modules))
    silent = [one for one in found if not one.shows_value]
    assert len(silent) <= 0.04 * len(found), silent


def _code_lines(module, tree):
    count = len((PACKAGE / module).read_text(encoding="utf-8").splitlines())
    for node in ast.walk(tree):
        documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        if documented and ast.get_docstring(node):
            count -= node.body[0].end_lineno - node.body[0].lineno + 1
    return count

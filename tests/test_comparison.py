"""Two runs are compared in pairs, and only where they are pairs."""

import json
import math

import numpy as np
import pytest

from ingradient_pl.cli.main import main
from ingradient_pl.metrics.comparison import ComparisonError, compare, comparison_table, describe_comparison


def write(path, dice, score="Dice"):
    """A summary as nnU-Net writes it: ``dice`` by case, by label."""
    cases = [
        {
            "metrics": {label: {score: value} for label, value in labels.items()},
            "prediction_file": f"/somewhere/{path.stem}/{name}.nii.gz",
            "reference_file": f"/labels/{name}.nii.gz",
        }
        for name, labels in dice.items()
    ]
    path.write_text(json.dumps({"metric_per_case": cases}))
    return path


def runs(tmp_path, gain, cases=40):
    rng = np.random.default_rng(0)
    base = {
        f"case_{number}": {"1": rng.uniform(0.6, 0.9), "2": rng.uniform(0.6, 0.9)} for number in range(cases)
    }
    better = {
        name: {"1": labels["1"] + gain + rng.normal(0, 0.01), "2": labels["2"] + rng.normal(0, 0.01)}
        for name, labels in base.items()
    }
    return write(tmp_path / "a.json", base), write(tmp_path / "b.json", better)


def test_a_gain_is_found_where_it_is_and_only_there(tmp_path):
    comparison = compare(*runs(tmp_path, 0.02), np.random.default_rng(0))
    first, second, mean = comparison.rows
    assert first.difference == pytest.approx(0.02, abs=0.005)
    assert first.low > 0
    assert first.p < 1e-4
    assert second.low < 0 < second.high
    assert second.p > 0.05
    assert mean.difference == pytest.approx((first.difference + second.difference) / 2)


def test_turning_the_runs_round_turns_the_sign_and_keeps_the_p(tmp_path):
    files = runs(tmp_path, 0.02)
    there, back = (compare(*pair, np.random.default_rng(0)).rows[0] for pair in (files, files[::-1]))
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p == pytest.approx(back.p)


def test_a_run_does_not_differ_from_itself(tmp_path):
    file, _ = runs(tmp_path, 0.0)
    for row in compare(file, file, np.random.default_rng(0)).rows:
        assert (row.difference, row.low, row.high, row.p) == (0, 0, 0, 1)


def test_the_p_is_that_of_the_exact_distribution(tmp_path):
    """Five differences of one sign: chance does it in 2 of 32 ways."""
    first = write(tmp_path / "a.json", {str(i): {"1": 0.5} for i in range(5)})
    second = write(tmp_path / "b.json", {str(i): {"1": 0.6 + i / 100} for i in range(5)})
    assert compare(first, second, np.random.default_rng(0)).rows[0].p == pytest.approx(2 / 32)


def test_cases_without_a_finite_score_in_both_are_left_out_and_said(tmp_path):
    first = write(tmp_path / "a.json", {"x": {"1": 1.0}, "y": {"1": math.nan}, "z": {"1": math.inf}}, "HD95")
    second = write(tmp_path / "b.json", {"x": {"1": 2.0}, "y": {"1": 1.0}, "z": {"1": 3.0}}, "HD95")
    comparison = compare(first, second, np.random.default_rng(0), "HD95")
    assert comparison.rows[0][1:5] == (1, 1.0, 2.0, 1.0)
    assert "left out" in comparison_table(comparison)
    nothing = compare(*[write(tmp_path / "c.json", {"x": {"1": math.nan}})] * 2, np.random.default_rng(0))
    assert nothing.rows[0].cases == 0
    assert describe_comparison(nothing)["labels"]["1"]["cases"] == 0


def test_runs_on_other_cases_labels_or_scores_are_refused_by_name(tmp_path):
    first = write(tmp_path / "a.json", {"x": {"1": 1.0}, "y": {"1": 1.0}})
    for other, said in (
        (
            {"x": {"1": 1.0}, "z": {"1": 1.0}},
            r"same cases.*only in .*a.json: y \(1\); only in .*b.json: z \(1\)",
        ),
        ({"x": {"1": 1.0}, "y": {"1": 1.0, "2": 0.5}}, r"same labels.*only in .*b.json: 2"),
    ):
        with pytest.raises(ComparisonError, match=said):
            compare(first, write(tmp_path / "b.json", other), np.random.default_rng(0))
    with pytest.raises(ComparisonError, match="no score 'NSD'; it has Dice"):
        compare(first, first, np.random.default_rng(0), "NSD")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", r"line 1, column 1"),
        ("[]", "holds a list"),
        ("{}", "'metric_per_case' is missing"),
        ('{"metric_per_case": []}', "no case"),
        ('{"metric_per_case": [{"case": "a"}]}', "'metrics' is missing"),
        ('{"metric_per_case": [{"case": "a", "metrics": 1}]}', "no summary of an evaluation"),
    ],
)
def test_a_file_that_is_no_summary_is_named(tmp_path, content, told):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ComparisonError, match=rf"a\.json.*{told}") as caught:
        compare(tmp_path / "a.json", tmp_path / "a.json", np.random.default_rng(0))
    assert "Error" not in str(caught.value)  # names of Python's are nothing to a reader
    with pytest.raises(ComparisonError, match="check the path"):
        compare(tmp_path / "gone.json", tmp_path / "a.json", np.random.default_rng(0))


def test_the_command_prints_a_table_and_writes_what_it_says(monkeypatch, capsys, tmp_path):
    first, second = runs(tmp_path, 0.02)
    line = ["ingradient", "compare", "--first", first, "--second", second, "--output", tmp_path / "out.json"]
    monkeypatch.setattr("sys.argv", list(map(str, line)))
    main()
    assert "Wilcoxon p" in capsys.readouterr().out
    written = json.loads((tmp_path / "out.json").read_text())["labels"]["1"]
    assert written["low"] < written["difference"] < written["high"]


def named(path, names):
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": names}))


def test_labels_have_the_names_that_the_summaries_tell(tmp_path):
    first, second = runs(tmp_path, 0.02)
    named(first, {"1": "liver", "2": "tumour"})  # the other is nnU-Net's, which tells none
    comparison = compare(first, second, np.random.default_rng(0))
    assert comparison.remarks == ()
    assert "liver (1)" in comparison_table(comparison)
    assert describe_comparison(comparison)["labels"]["2"]["name"] == "tumour"


def test_one_integer_with_two_names_is_told(tmp_path):
    first, second = runs(tmp_path, 0.02)
    named(first, {"1": "liver", "2": "tumour"})
    named(second, {"1": "liver", "2": "spleen"})
    (remark,) = compare(first, second, np.random.default_rng(0)).remarks
    assert "2 is 'tumour' and 'spleen'" in remark


def visits(path, dice, groups=None):
    """A summary of patients' visits, ``dice`` by patient; ours tells who is whose, nnU-Net's does not."""
    scores = {f"p{who}_visit{at}": {"1": x} for who, row in enumerate(dice) for at, x in enumerate(row)}
    plain = json.loads(write(path, scores).read_text())
    path.write_text(json.dumps(plain if groups is None else {**plain, "spread": {"groups": groups}}))
    return path


def test_scans_of_one_patient_count_once(tmp_path):
    """Twelve visits of three patients: a test over cases would be sure, over patients it cannot be."""
    dice = np.linspace(0.5, 0.7, 12).reshape(3, 4)
    first, second = visits(tmp_path / "a.json", dice), visits(tmp_path / "b.json", dice + dice / 10)
    patients, cases = (
        compare(first, second, np.random.default_rng(0), group_pattern=pattern)
        for pattern in (None, "^(.+)$")
    )
    ours, theirs = patients.rows[0], cases.rows[0]
    assert (ours.cases, ours.patients, theirs.patients) == (12, 3, 12)
    assert ours[1:5] == theirs[1:5]
    assert ours.p == pytest.approx(2 / 2**3)
    assert theirs.p == pytest.approx(2 / 2**12)
    assert ours.high - ours.low > 1.3 * (theirs.high - theirs.low)
    assert "95 % intervals over 3 patients (12 cases of 3 patients" in comparison_table(patients)
    assert "over 12 patients (12 cases, each" in comparison_table(cases)
    assert (
        describe_comparison(patients)["patients"],
        describe_comparison(patients)["labels"]["1"]["patients"],
    ) == (3, 3)


def test_the_patients_that_either_file_tells_are_those_of_both(tmp_path):
    dice = np.linspace(0.5, 0.7, 8).reshape(4, 2)
    names = [f"p{who}_visit{at}" for who in range(4) for at in range(2)]
    told = {name: "left" if name < "p2" else "right" for name in names}
    plain, ours = visits(tmp_path / "a.json", dice), visits(tmp_path / "b.json", dice, told)
    own = visits(tmp_path / "c.json", dice, {name: name for name in names})
    for files, count in (((plain, plain), 4), ((plain, ours), 2), ((ours, own), 2), ((own, own), 8)):
        for pair in (files, files[::-1]):
            assert compare(*pair, np.random.default_rng(0)).rows[0].patients == count
    wrong = visits(tmp_path / "d.json", dice, 3)
    with pytest.raises(ComparisonError, match=r"d\.json is no summary"):
        compare(wrong, plain, np.random.default_rng(0))


def test_one_patient_has_no_interval_and_no_significance(tmp_path):
    scores = {f"x{at}": {"1": 0.5 + at / 50} for at in range(6)}
    better = {name: {"1": labels["1"] * 1.1} for name, labels in scores.items()}
    files = []
    for name, values in (("a", scores), ("b", better)):
        plain = json.loads(write(tmp_path / f"{name}.json", values).read_text())
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps({**plain, "spread": {"groups": dict.fromkeys(scores, "x")}}))
    comparison = compare(*files, np.random.default_rng(0))
    row = comparison.rows[0]
    assert math.isnan(row.low)
    assert math.isnan(row.high)
    assert row.p == 1
    assert "No interval: there is one patient (6 cases)." in comparison_table(comparison)


@pytest.mark.slow
def test_a_difference_that_is_none_is_found_as_seldom_as_promised_over_patients_only(tmp_path):
    """8 patients with 5 alike visits: at 5 % a test over cases finds in many runs what is not there."""
    found = {None: 0, "^(.+)$": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = rng.uniform(0.6, 0.8, (8, 5))
        apart = rng.normal(0, 0.05, (8, 1)) + rng.normal(0, 0.01, (8, 5))
        files = visits(tmp_path / "a.json", first), visits(tmp_path / "b.json", first + apart)
        for pattern in found:
            found[pattern] += compare(*files, rng, group_pattern=pattern).rows[0].p < 0.05
    assert found[None] <= 8
    assert found["^(.+)$"] >= 15


@pytest.mark.parametrize("dice", [73.2, -0.1, math.inf])
def test_percentages_are_no_shares(tmp_path, dice):
    good, wrong = (
        write(tmp_path / f"{name}.json", {"a": {"1": one}}) for name, one in (("g", 0.7), ("w", dice))
    )
    with pytest.raises(ComparisonError, match=rf"w\.json.*Dice of label 1 in a is {dice}, not in \[0, 1\]"):
        compare(good, wrong, np.random.default_rng(0))


def test_one_file_twice_is_told(tmp_path):
    file = write(tmp_path / "a.json", {"a": {"1": 0.7}})
    (tmp_path / "x").mkdir()
    assert (
        "the same file"
        in compare(file, tmp_path / "x" / ".." / "a.json", np.random.default_rng(0)).remarks[0]
    )

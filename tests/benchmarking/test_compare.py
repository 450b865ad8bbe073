"""`compare`: what changed between two results, and whether the data can tell."""

import json

import pytest

from rnnbench import __main__ as cli
from rnnbench.benchmarking.report.comparison import compare_results, threshold
from rnnbench.core.errors import RnnbenchError
from tests.helpers.made_results import make_results, wrap, write_made


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs `compare` in an empty folder: the exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main(["compare", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return call


def write(path, *, factor=1.0, only="onnxruntime", seed=0, **facts):
    """Results in which one runtime takes `factor` of the time."""
    data = make_results(cells=("lstm",), hidden=(32,), time=(8,), seed=seed)
    for entry in data["benchmarks"]:
        info = entry["extra_info"]
        if info["kind"] == "latency" and info["runtime"] == only:
            entry["stats"]["data"] = [factor * value for value in entry["stats"]["data"]]
            for name in ("p50", "p95", "p99"):
                info[name] *= factor
    return write_made(path, wrap(data["benchmarks"], **facts))


@pytest.fixture
def old(tmp_path):
    return write(tmp_path / "old.json")


def test_the_same_plan_twice_has_no_regression(run, old, tmp_path):
    code, out, err = run(old, write(tmp_path / "new.json", seed=1))
    assert (code, err) == (0, "")
    assert out.startswith("none of 13 rows regressed by more than 5.0 %")
    assert "REGRESSION" not in out


def test_a_slower_row_is_a_regression_with_its_interval(run, old, tmp_path):
    code, out, _ = run(old, write(tmp_path / "new.json", factor=1.2, seed=1))
    assert code == 1
    assert out.startswith("3 of 13 rows regressed")
    lines = [line for line in out.splitlines() if "REGRESSION" in line]
    assert len(lines) == 3
    assert all(line.startswith("onnxruntime") and "1.2" in line for line in lines)


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("15%", 1), ("30%", 0), ("0%", 1)])
def test_the_interval_must_support_the_regression(run, old, tmp_path, limit, code):
    new = write(tmp_path / "new.json", factor=1.2, seed=1)
    assert run(old, new, "--fail-on", limit)[0] == code


def test_a_faster_row_is_none(run, old, tmp_path):
    code, out, _ = run(old, write(tmp_path / "new.json", factor=0.8, seed=1), "--fail-on", "0%")
    assert code == 0
    assert "3 faster" in out


def test_a_ratio_that_grows_since_the_other_became_faster_is_no_regression(tmp_path, old):
    data = json.loads(old.read_text())
    for entry in data["benchmarks"]:
        if entry["extra_info"]["kind"] == "ratio":
            for name in ("ratio", "low", "high"):
                entry["extra_info"][name] *= 1.5
    found = compare_results(old, write_made(tmp_path / "new.json", data))
    assert [c.verdict for c in found.changes].count("higher") == 5
    assert found.regressions(0.05) == ()
    for entry in data["benchmarks"]:
        if entry["extra_info"]["kind"] == "ratio":
            entry["extra_info"]["what"] = "ours/stock"
    found = compare_results(old, write_made(tmp_path / "new.json", data))
    assert len(found.regressions(0.05)) == 5


def test_too_few_samples_tell_nothing(tmp_path):
    paths = []
    for n, factor in enumerate((1.0, 2.0)):
        data = make_results(cells=("lstm",), hidden=(32,), time=(8,), scale=factor, samples=3)
        rows = [e for e in data["benchmarks"] if e["extra_info"]["kind"] == "latency"]
        paths.append(write_made(tmp_path / f"{n}.json", wrap(rows)))
    found = compare_results(*paths)
    assert {change.verdict for change in found.changes} == {"cannot tell"}
    assert found.regressions(0.0) == ()
    assert "too few samples (3)" in found.changes[0].note


@pytest.mark.parametrize(("factor", "code"), [(1.04, 0), (2.0, 1)])
def test_an_unstable_row_tells_only_where_nearly_all_samples_are_apart(run, tmp_path, factor, code):
    for name, scale in (("old", 1.0), ("new", factor)):
        data = make_results(cells=("lstm",), hidden=(32,), time=(8,), scale=scale, noise=0.04)
        for entry in data["benchmarks"]:
            entry["extra_info"]["stable"] = False
        write_made(tmp_path / f"{name}.json", data)
    assert run("old.json", "new.json", "--fail-on", "1%")[0] == code


def test_an_unstable_row_that_looks_slower_is_a_doubt_with_the_next_step(run, tmp_path):
    for name, scale in (("old", 1.0), ("new", 1.2)):
        data = make_results(cells=("lstm",), hidden=(32,), time=(8,), scale=scale, noise=0.2)
        for entry in data["benchmarks"]:
            entry["extra_info"] |= {"stable": False, "why_unstable": "it drifts"}
        write_made(tmp_path / f"{name}.json", data)
    code, out, _ = run("old.json", "new.json")
    assert code == 0
    doubts = [line for line in out.splitlines() if line.startswith("doubt: ")]
    assert "8 rows look slower by more than 5.0 %, and cannot be told, since" in doubts[0]
    assert doubts[0].endswith("measure again on a quiet machine")
    assert "look slower" not in run("old.json", "old.json")[1]
    said = json.loads(run("old.json", "new.json", "--json")[1])
    assert "8 rows look slower" in said["doubts"][0]


def test_an_unstable_ratio_is_neither_higher_nor_lower(tmp_path, old):
    data = json.loads(old.read_text())
    for entry in data["benchmarks"]:
        if entry["extra_info"]["kind"] == "ratio":
            for name in ("ratio", "low", "high"):
                entry["extra_info"][name] *= 1.5
            entry["extra_info"] |= {"stable": False, "why_unstable": "it drifts"}
    found = compare_results(old, write_made(tmp_path / "new.json", data))
    changes = [c for c in found.changes if c.row.name.startswith("ratio")]
    assert {(c.verdict, c.note) for c in changes} == {("cannot tell", "new unstable: it drifts")}


def renamed(path, old, target):
    """The results of the same model under another target: only the benchmarks' names differ."""
    data = json.loads(old.read_text())
    for entry in data["benchmarks"]:
        entry["name"] = entry["name"].replace("lstm", target)
    return write_made(path, data)


def test_a_file_and_its_bundle_have_the_same_rows(run, old, tmp_path):
    new = renamed(tmp_path / "new.json", write(tmp_path / "x.json", factor=1.2, seed=1), "my_file")
    code, out, err = run(old, new)
    assert (code, err) == (1, "")
    assert out.startswith("3 of 13 rows regressed by more than 5.0 %")
    assert "appeared" not in out


def test_two_of_the_same_under_other_names_are_not_matched(run, old, tmp_path):
    """Of which is which nothing is known."""
    one, two = (renamed(tmp_path / f"{n}.json", old, n) for n in ("one", "two"))
    both = [e for path in (one, two) for e in json.loads(path.read_text())["benchmarks"]]
    write_made(tmp_path / "both.json", wrap(both))
    code, _, err = run(old, "both.json")
    assert code == 2
    assert "no row in common" in err


def test_rows_that_appeared_and_vanished_are_named(run, old, tmp_path):
    data = json.loads(old.read_text())
    gone = data["benchmarks"].pop(0)["name"]
    new = write_made(tmp_path / "new.json", data)
    assert f"Vanished: {gone}" in run(old, new)[1]
    assert f"Appeared: `{gone}`" in run(new, old, "--markdown")[1]


def test_markdown_for_a_pull_request(run, old, tmp_path):
    new = write(tmp_path / "new.json", factor=1.2, seed=1, load=[3.1, 1, 1])
    code, out, _ = run(old, new, "--markdown")
    assert code == 1
    assert out.startswith("### 3 of 13 rows regressed")
    assert "* **doubt:** new: the load was 3.1" in out
    assert out.count("<details>") == out.count("</details>") == 1


def test_json(run, old, tmp_path):
    data = json.loads(run(old, write(tmp_path / "new.json", factor=1.2, seed=1), "--json")[1])
    assert len(data["regressions"]) == 3
    change = next(c for c in data["changes"] if c["name"] == data["regressions"][0])
    assert change["change"]["low"] < 1.2 < change["change"]["high"] * 1.02
    assert change["verdict"] == "slower"


def test_a_change_of_everything_is_said_to_be_the_machine(tmp_path):
    paths = [write_made(tmp_path / f"{f}.json", scale=f, seed=int(f)) for f in (1.0, 2.0)]
    assert any("the machine may have changed" in doubt for doubt in compare_results(*paths).doubts)


def test_other_software_is_a_doubt(tmp_path, old):
    new = write(tmp_path / "new.json", versions={"torch": "2.14.0", "openvino": "2026.1"})
    doubts = compare_results(old, new).doubts
    assert "torch was 2.13.0 and is 2.14.0" in doubts
    assert "openvino was absent and is 2026.1" in doubts


def test_other_machines_are_refused_unless_asked_for_and_then_never_fail(run, old, tmp_path):
    new = write(tmp_path / "new.json", factor=2.0, cpu="Another One")
    code, out, err = run(old, new)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Another One" in err
    assert "--across-machines" in err
    code, out, _ = run(old, new, "--across-machines")
    assert code == 0
    assert "doubt: these are different machines" in out


@pytest.mark.parametrize(("given", "value"), [("5%", 0.05), ("0%", 0.0), ("12.5%", 0.125)])
def test_a_threshold(given, value):
    assert threshold(given) == pytest.approx(value)


@pytest.mark.parametrize("given", ["5", "", "%", "-5%", "nan%", "inf%", "five%"])
def test_a_wrong_threshold_is_one_line(given):
    with pytest.raises(RnnbenchError, match="give a percentage"):
        threshold(given)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"machine_info": {', "cannot be read"),
        ("[]", "was not written by"),
        ('{"machine_info": {"rnnbench": {"schema": 99}}}', "schema 99"),
        (json.dumps(wrap([])), "no row in common"),
    ],
)
def test_bad_input_is_one_line(run, old, tmp_path, content, said):
    (tmp_path / "x.json").write_text(content)
    for words in ((old, "x.json"), ("x.json", old)):
        code, out, err = run(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err


def test_a_file_that_is_not_there_and_a_folder_of_several(run, old, tmp_path):
    write(tmp_path / "many" / "a.json")
    write(tmp_path / "many" / "b.json")
    assert "nowhere.json" in run(old, "nowhere.json")[2]
    assert "holds 2 results: give one file" in run(old, "many")[2]
    assert "give one of them" in run(old, old, "--json", "--markdown")[2]

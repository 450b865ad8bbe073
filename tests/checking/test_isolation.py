"""check in processes: what dies, hangs or is missing is a row, and the rest goes on."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from rnnbench import __main__ as cli
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions, check
from rnnbench.checking.junit import format_junit, write_junit
from rnnbench.checking.report import CheckReport, OutputRow
from rnnbench.checking.verdicts import CaseResult
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.pool import Isolation
from tests.helpers import handmade


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("sound"))


def scaled(proto):
    handmade.replace_initializer(proto, "R", handmade.initializer(proto, "R") * 1.01)


def test_an_abort_at_nothing_is_a_limit_and_no_failure(sound):
    report = check(sound, ["onnxruntime"])
    assert report.ok
    (limit,) = [row for row in report.rows if row.verdict == "limit"]
    assert limit.worst_case == "empty-batch"
    assert "ends its process at batch=0" in limit.reason
    rows = [row for row in report.rows if not row.is_about_weights]
    assert {row.cases for row in rows if row is not limit} == {30}


def test_a_hang_is_a_row_and_the_others_go_on(sound):
    options = CheckOptions(
        CaseSelection(only=("traced",)), isolation=Isolation(seconds=0.05, workers=1)
    )
    report = check(sound, ["eager", "onnxruntime"], options=options)
    assert not report.ok
    assert {row.runtime for row in report.rows} == {"eager", "onnxruntime"}
    assert any("no answer in 0.05 s" in row.reason for row in report.rows)


def test_a_failure_can_be_run_again_and_is_saved(tmp_path, capsys):
    bundle = handmade.make_bundle(tmp_path, edit=scaled)
    words = ["check", str(bundle.path), "--runtime", "onnxruntime", "--only", "longer"]
    words += ["--case", "batch=3,time=17", "--save-failures", str(tmp_path / "bad")]
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--junit", str(tmp_path / "junit.xml"), "--json"])
    out, err = capsys.readouterr()
    assert caught.value.code == 1
    results = {result["case"]: result for result in json.loads(out)["results"]}
    assert set(results) == {"longer", "time=17,batch=3"}
    for name, result in results.items():
        assert result["repeat"].endswith(f"--runtime onnxruntime --only {name}")
        assert result["outputs"]["y"]["first_step"] is not None
    assert f"again: {results['longer']['repeat']}" in err
    with np.load(tmp_path / "bad" / "made-gru-onnx-onnxruntime-longer.npz") as saved:
        assert {"in/x", "in/h0", "out/y", "ref/y", "eager/hn"} <= set(saved.files)
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("2", "2")
    assert {case.get("name") for case in suites.iter("testcase")} == set(results)


def test_junit_has_a_row_per_case(sound):
    report = check(sound, ["eager"], isolate=False)
    root = ElementTree.fromstring(format_junit(report))
    cases = [case.get("name") for case in root.iter("testcase")]
    assert len(cases) == len(report.results) == 2 * 30
    assert root.get("failures") == root.get("errors") == "0"


HOSTILE = "a\x1b[2J\x00\ud800\n\u202e\ufffe<b> & \"'"


@pytest.mark.parametrize("verdict", [Verdict.SAME, Verdict.DIFFERS, Verdict.FAILED, Verdict.LIMIT])
def test_hostile_names_in_junit_are_text(tmp_path, verdict):
    result = CaseResult(*[HOSTILE] * 4, 0, verdict, HOSTILE, repeat=HOSTILE)
    row = OutputRow(HOSTILE, "-", "*", model=HOSTILE, verdict=Verdict.FAILED, reason=HOSTILE)
    report = CheckReport((row,), False, {}, (result,), ())
    write_junit(report, tmp_path / "junit.xml")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert len(root) == 2
    said = [value for part in root.iter() for value in (*part.attrib.values(), part.text or "")]
    assert not [text for text in said if set(text) & set("\x1b\x00\ud800\ufffe")]
    names = [suite.get("name") for suite in root] + [
        c.get("classname") for c in root.iter("testcase")
    ]
    names += [case.get("name") for case in root.iter("testcase")]
    assert all("\n" not in name and "\u202e" not in name for name in names)
    assert names[0] == ".".join(["a\\x1b[2J\\x00?\\n\\u202e?<b> & \"'"] * 3)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"kind": "some"}, "unknown kind of cases 'some': choose from quick, full"),
        ({"extra": ("bach=3",)}, "'bach=3' is none of time=N, batch=N"),
        ({"extra": ("batch=x",)}, "must be a whole number"),
        ({"extra": ("inputs=huge",)}, "unknown inputs of a case 'huge'"),
        ({"only": ("no-such",)}, "'no-such' is none of"),
    ],
)
def test_a_wrong_case_is_one_line(sound, sweep, message):
    with pytest.raises(RnnbenchError) as caught:
        check(sound, options=CheckOptions(CaseSelection(**sweep), isolation=None))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

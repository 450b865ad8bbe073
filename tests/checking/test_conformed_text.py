"""What `conform` prints: each reason once, and what this machine cannot run behind --all."""

import json

import pytest

from rnnbench import __main__ as cli
from rnnbench.checking.conformance.rows import ConformanceRow, format_conformed, that_ran
from rnnbench.core.verdicts import Verdict

SAME = ConformanceRow("node", verdict=Verdict.SAME, model="a", cases=3)
ABSENT = [
    ConformanceRow(name, verdict=Verdict.NOT_RUN, model="a", reason="no compiler: install one")
    for name in ("c-onnxruntime", "cpp-onnxruntime")
]


def test_each_reason_is_said_once():
    text = format_conformed([SAME, *ABSENT])
    assert text.count("no compiler: install one") == 1
    assert "c-onnxruntime; cpp-onnxruntime: no compiler: install one" in text


def test_what_cannot_be_run_is_named_in_a_line():
    rows, left = that_ran([SAME, *ABSENT])
    assert rows == [SAME]
    assert left == "not run here: c-onnxruntime, cpp-onnxruntime (--all says why)"
    assert that_ran([SAME]) == ([SAME], "")
    assert that_ran(ABSENT) == (ABSENT, ""), "all, where nothing ran"


def test_on_the_command_line(monkeypatch, capsys, task_bundles):
    from rnnbench.embedding import conform

    two = {name: conform.find_target(name) for name in ("python-onnxruntime", "swift")}
    monkeypatch.setattr(conform, "targets", lambda: two)
    monkeypatch.setattr(conform, "find_engine_jobs", lambda *_: [])
    path = str(next(iter(task_bundles.values())).path)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(["conform", path, *words])
        assert ended.value.code == 0
        return capsys.readouterr()

    out, err = run()
    assert "swift" not in out
    assert "not run here: swift (--all says why)" in err
    assert "python-onnxruntime: python" in err, "what it does is said"
    out, err = run("--all")
    assert "swift: not run here: ONNX Runtime's Swift package" in out
    assert "--all says why" not in err
    rows = json.loads(run("--json").out)["rows"]
    assert [row["verdict"] for row in rows] == ["same", "not run"]

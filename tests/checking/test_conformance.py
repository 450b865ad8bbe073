"""Engines over golden cases: right at once and streamed, silent errors by name, and the matrix."""

import json
import math
import os
import shutil
from dataclasses import replace
from importlib import metadata

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.cases.cases import Case, layout_of
from rnnbench.cases.golden import golden_cases
from rnnbench.cases.standard import Standard
from rnnbench.cases.stored import read_cases
from rnnbench.checking.conformance.engines import _cases, _compared, find_engine_jobs, forms
from rnnbench.checking.conformance.matrix import WIDTH, format_matrix
from rnnbench.checking.conformance.rows import (
    Compared,
    ConformanceRow,
    format_conformed,
    is_fine,
    judged,
)
from rnnbench.commands.conform import command
from rnnbench.core.bundle import Bundle
from rnnbench.core.verdicts import Verdict
from rnnbench.embedding.conform import conform
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options
from rnnbench.runtimes.job import Job
from tests.helpers import task_models
from tests.helpers.altered import alter, take_away
from tests.helpers.task_models import MODELS, with_other_weights

IN_TEST_EXTRA = ("openvino", "tract")


def need(engine):
    """A missing engine is told; where those of the extra have to be there (in CI), it fails."""
    why = runtimes.get(engine).missing()
    if why:
        assert engine not in IN_TEST_EXTRA or not os.environ.get("RNNBENCH_EVERY_TARGET"), why
        pytest.skip(why)


def run(*words):
    """The exit code and what was printed; an error of ours is raised."""
    done = CliRunner().invoke(command, list(map(str, words)), standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.return_value, done.stdout


@pytest.fixture(scope="module")
def both_ways(shared):
    """A bidirectional LSTM: emx is silently wrong with it, tract panics, both as it is only."""
    model = variants.model("lstm", Options(4, 8, 1, bidirectional=True), bundle_name="both-ways")
    return shared.export("both-ways", lambda: model, ("onnx",))


class Packed(torch.nn.Module):
    """A layer over rows that end early, and their last states."""

    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(5, 6)

    def forward(self, x, lengths, h0):
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, hn = self.gru(packed, h0)
        return torch.nn.utils.rnn.pad_packed_sequence(y, total_length=x.size(0))[0], hn


def ragged_model():
    torch.manual_seed(0)
    inputs = (
        TensorSpec("x", ("time", "batch", 5)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 6), role="state"),
    )
    return Model(Packed(), inputs, ("y", "hn"), {"h0": "hn"}, name="ragged")


@pytest.fixture(scope="module")
def ragged(shared):
    """OpenVINO gives a wrong last state of it, without a word."""
    return shared.export("ragged-of-conformance", ragged_model, ("onnx",))


# -- the engines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("engine", runtimes.engines())
def test_an_engine_is_right_at_once_and_streamed(task_bundles, engine, name, shared):
    need(engine)
    bundle, known = task_bundles[name], list(forms(engine))
    formats = tuple(dict.fromkeys(forms(engine).values()))
    if not set(formats) & set(bundle.artifacts):
        key = "-".join(("task", name, *formats))
        bundle = shared.export(key, lambda: task_models.model(name), formats)
    profiles = known if engine in IN_TEST_EXTRA else [engine if engine in known else known[-1]]
    pinned = "pinned" in runtimes.get(engine).modes and engine not in IN_TEST_EXTRA
    rows = conform(bundle, engines=[f"{engine}:pinned" if pinned else engine], profiles=profiles)
    assert [row.profile for row in rows] == profiles
    assert {row.verdict for row in rows} == {"same"}, format_conformed(rows)
    assert is_fine(rows)
    for row in rows:
        assert row.worst_error <= row.allowed
        assert list(row.versions) == list(runtimes.get(engine).packages)
        assert row.model == name
        if engine == "tract":
            assert row.cases == len(golden_cases(bundle))


def test_what_is_run_is_streamed_as_well(task_bundles):
    """All golden cases; few shapes where each is compiled for seconds."""
    bundle = task_bundles["weather-lstm"]
    golden, layout = golden_cases(bundle), layout_of(bundle, read_cases(bundle))
    assert [case.name for case in golden if case.feed_mode.chunks] == ["long"]
    for job in find_engine_jobs(["all"]):
        chosen = _cases(job, golden, layout)
        assert [case.feed_mode.chunks for case in chosen if case.feed_mode.chunks] == [(1,)]
        runtime = runtimes.get(job.runtime)
        slow, pins = runtime.cost == "slow", runtime.pins(job.mode)
        if not slow:
            assert chosen == golden
        if slow and pins:
            shapes = {tuple(case.dims.values()) for case in chosen if not case.feed_mode.chunks}
            assert len(shapes) == 3


def test_an_integer_may_be_the_modules_own(ragged):
    """Where two scores are as good as equal, rounding decides which is the larger."""
    exact, eager = np.array([3, 4, 5]), np.array([3, 4, 6])
    case = Case("traced", {}, {}, {"y": exact, "hn": exact}, {"y": eager, "hn": eager})
    for given, wrong in ((exact, False), (eager, False), (np.array([3, 5, 6]), True)):
        found = _compared(Job("tract", "onnx"), ragged, case, {"y": given}, Standard())
        assert [c.wrong for c in found] == [wrong, True]
        assert str(found[1]) == "traced (whole), hn: there is no such output"


@pytest.mark.parametrize("engine", IN_TEST_EXTRA)
def test_a_damaged_artifact_fails(task_bundles, engine, tmp_path):
    need(engine)
    damaged = with_other_weights(task_bundles["weather-lstm"], tmp_path)
    rows = conform(damaged, engines=[engine])
    assert {row.verdict for row in rows} == {"DIFFERS"}, format_conformed(rows)
    assert all("are off, first traced (whole), y: off by" in row.reason for row in rows)
    code, out = run(damaged.path, "--engine", engine, "--profile", "plain")
    assert code == 1
    assert "DIFFERS" in out


def test_a_target_runs_the_form_that_is_for_its_engine(ragged, tmp_path):
    """OpenVINO's project has the file of `--for openvino`; without one, what to do is said."""
    need("openvino")
    (plain,) = conform(ragged, ["openvino"])
    assert plain.verdict == "DIFFERS"
    assert plain.reason.endswith("export with --for openvino")
    made = ragged_model()
    for options, verdict, file in (
        ({"profile": "openvino"}, "same", "model.portable.onnx"),
        ({"profile": "tract"}, "DIFFERS", "model.onnx"),
        ({"profile": "openvino", "pin": {"batch": 1, "time": 4}}, "DIFFERS", "model.onnx"),
    ):
        bundle = rnnbench.export(made, ("onnx",), tmp_path / "-".join(options), **options)
        (row,) = conform(bundle, ["openvino"])
        assert row.verdict == verdict, (options, row.reason)
        project = embed(bundle, find_target("openvino"), tmp_path / "project", force=True)
        assert json.loads((project / "model.json").read_text())["artifact"] == file


class Tagged(torch.nn.Module):
    """Both directions over rows that end early: tract has no value for their number."""

    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(5, 6, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        y, _ = self.gru(packed)
        return torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[
            0
        ]


def test_who_refuses_open_sizes_is_given_fixed_ones(tmp_path):
    need("tract")
    inputs = (
        TensorSpec("x", ("batch", "time", 5)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
    )
    bundle = rnnbench.export(Model(Tagged(), inputs, ("y",)), ("onnx",), tmp_path)
    refused, fixed = conform(bundle, engines=["tract", "tract:pinned"], profiles=["tract"])
    assert (refused.verdict, fixed.verdict) == ("refused", "same")
    assert "--for tract --pin batch=1,time=32" in refused.reason


def test_a_silent_error_of_openvino_is_named(ragged, task_bundles):
    need("openvino")
    paths = (ragged.path, task_bundles["text-gru"].path)
    code, out = run(*paths, "--engine", "openvino", "--profile", "plain")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].split() == ["openvino"]
    assert lines[1].split() == ["model", "plain"]
    assert lines[3].split() == ["ragged", "WRONG"]  # once this is right, OpenVINO is mended
    assert lines[4].split() == ["text-gru", "right"]
    named = lines[lines.index("Silent errors: results that are WRONG, and no error:") + 1]
    assert named.startswith("  openvino (plain): WRONG for ragged: ")
    assert "first traced (whole), hn: off by" in named
    assert "Right under no profile: ragged in openvino." in lines


def test_a_silent_error_of_emx_is_named(both_ways):
    need("emx")
    code, out = run(both_ways.path, "--engine", "emx", "--matrix")
    assert code == 1, "although it is right under the other profiles"
    assert "  emx (plain): WRONG for both-ways: " in out
    assert "Right under no profile: nothing." in out


def test_an_engine_may_die_where_another_form_or_mode_is_right(both_ways):
    need("tract")
    words = (both_ways.path, "--engine", "tract,tract:pinned", "--profile", "plain")
    code, out = run(*words)
    assert code == 0, out
    died, right = [line.split() for line in out.splitlines()[2:4]]
    assert (died[0], died[-1]) == ("tract", "died")
    assert (right[0], right[-1]) == ("tract:pinned", "same")
    assert "tract, plain: SIGABRT" in out
    code, out = run(both_ways.path, "--engine", "tract", "--profile", "plain")
    assert code == 1
    assert "right under no profile: tract" in out


def test_a_form_that_the_bundle_holds_is_that_file(tmp_path):
    need("tract")
    bundle = task_models.export("weather-lstm", tmp_path, ("onnx",), profile="portable")
    file = bundle.artifacts["portable"].path
    proto = onnx.load(file)
    node = next(node for node in proto.graph.node if node.op_type == "LSTM")
    weights = next(w for w in proto.graph.initializer if w.name == node.input[1])
    weights.CopyFrom(
        onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name)
    )
    onnx.save(proto, file)
    rows = conform(Bundle.open(bundle.path), engines=["tract"])
    verdicts = {row.profile: row.verdict for row in rows}
    assert verdicts == {"plain": "same", "tract": "same", "portable": "DIFFERS"}


def test_a_file_with_fixed_sizes_gets_the_cases_of_these_sizes(tmp_path):
    need("tract")
    pin = {"batch": 2, "time": 1}
    bundle = task_models.export("text-gru", tmp_path, ("onnx",), profile="tract", pin=pin)
    (row,) = conform(bundle, engines=["tract"], profiles=["tract"])
    assert row.verdict == "same", row
    assert row.cases == 2  # at once, and `long` step by step


def test_another_format_is_a_form_of_its_own(tmp_path, monkeypatch):
    alter(monkeypatch, "pt2", engine=True, packages=("torch",))
    bundle = task_models.export("hello-elman", tmp_path, ("onnx", "pt2"))
    (row,) = conform(bundle, engines=["pt2"])
    assert (row.profile, row.verdict) == ("pt2", "same"), row
    assert row.versions == {"torch": metadata.version("torch")}
    assert row.cases == len(golden_cases(bundle))
    without = task_models.export("hello-elman", tmp_path / "other", ("onnx",))
    (row,) = conform(without, engines=["pt2"])
    assert row.verdict == "not run"
    assert row.reason == "the bundle has no pt2 file: export it with --format pt2"


def test_what_is_not_installed_is_one_row(task_bundles, monkeypatch):
    need("tract")
    take_away(monkeypatch, "emx", "pip install it")
    bundle = task_bundles["hello-elman"]
    rows = conform(bundle, engines=["tract", "emx"], profiles=["plain"])
    assert [(r.target, r.profile, r.verdict) for r in rows] == [
        ("tract", "plain", "same"),
        ("emx", "", "not run"),
    ]
    assert is_fine(rows)
    assert "Not run:\n  emx: pip install it" in format_matrix(rows)
    assert not is_fine(conform(bundle, engines=["emx"]))


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "abacus"), "unknown engine 'abacus': choose from all, emx, "),
        (("--engine", "onnxruntime"), "unknown engine 'onnxruntime': choose from all, "),
        (("--engine", "tract:fast"), "unknown mode of tract 'fast': choose from pinned"),
        (("--engine", "emx:fast"), "unknown mode of emx 'fast': choose from none"),
        (
            ("--engine", "tract", "--profile", "emx"),
            "unknown profile 'emx': choose from plain, tract, portable",
        ),
        (("--profile", "best"), "unknown profile 'best': choose from plain, "),
        (("--json", "--markdown"), "--json and --markdown: give one of them"),
        (("--target", "abacus", "--engine", "tract"), "unknown target 'abacus': choose from "),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(task_bundles, words, said):
    with pytest.raises(RnnbenchError, match=said) as caught:
        run(task_bundles["text-gru"].path, *words)
    assert "\n" not in str(caught.value)


def test_several_bundles_that_cannot_be_told_apart(task_bundles, tmp_path):
    path = task_bundles["text-gru"].path
    shutil.copytree(path, tmp_path / "copy")
    with pytest.raises(RnnbenchError, match="two bundles have the name 'text-gru': give one"):
        run(path, tmp_path / "copy")
    with pytest.raises(RnnbenchError, match="--result is of one bundle: 2 given"):
        run(path, task_bundles["hello-elman"].path, "--result", "mine.json")


def test_targets_and_engines_in_one_matrix_and_as_json(task_bundles):
    need("tract")
    names = ("hello-elman", "text-gru")
    words = [task_bundles[name].path for name in names]
    words += ["--target", "python-onnxruntime", "--engine", "tract", "--profile", "plain"]
    code, text = run(*words, "--json")
    assert code == 0
    document = json.loads(text)
    assert (document["schema"], document["ok"]) == ("rnnbench-conform-1", not code)
    rows = document["rows"]
    assert [(row["model"], row["target"], row["profile"]) for row in rows] == [
        (name, *what) for name in names for what in (("python-onnxruntime", ""), ("tract", "plain"))
    ]
    assert {row["verdict"] for row in rows} == {"same"}
    code, out = run(*words, "--markdown")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "| model | python-onnxruntime | tract, plain |"
    assert lines[2:4] == ["| hello-elman | right | right |", "| text-gru | right | right |"]


# -- what is printed ------------------------------------------------------------------------------


def row_of(target, verdict, **more):
    return ConformanceRow(target, verdict=Verdict(verdict), **more)


def rows_of(engines, verdict="same"):
    known = {"cases": 3, "worst_error": 1e-7, "allowed": 1e-6}
    return [
        row_of(engine, verdict, versions={engine: "1.0"}, model=model, profile=profile, **known)
        for model in ("first", "second")
        for engine in engines
        for profile in ("plain", engine, "portable")
    ]


def test_a_wide_matrix_is_continued_below():
    engines = [f"engine-number-{i}" for i in range(6)]
    text = format_matrix(rows_of(engines))
    above = text[: text.index("Silent errors")]
    assert max(map(len, above.splitlines())) <= WIDTH
    assert above.count("model") > 1
    assert above.count("right") == 2 * 18
    assert above.count("engine-number-3") == 4  # three titles, and its own profile's


def test_what_is_not_right_is_grouped_and_silent_errors_come_first():
    rows = rows_of(["a"])
    rows += [
        row_of("b", "refused", reason=f"no {n} nodes", model=m, profile=p)
        for m, n in (("first", 3), ("second", 4))
        for p in ("plain", "portable")
    ]
    rows += [row_of("c", "died", reason="SIGABRT", model="first", profile="plain")]
    wrong = Compared("traced", "whole", "y", math.inf, 1e-6, "NaN where the reference is finite")
    rows.append(judged("c", [wrong], model="second", profile="plain"))
    text = format_matrix(rows)
    silent = text.index(
        "  c (plain): WRONG for second: 1 of 1 are off, first traced (whole), y: NaN"
    )
    said = text.index("  b (plain")
    assert silent < said
    assert "  b (plain, portable): refused for first; second: no 3 nodes" in text
    assert "  c (plain): died for first: SIGABRT" in text
    never = "first in b; second in b; first in c; second in c"
    assert f"Right under no profile: {never}." in text
    marked = format_matrix(rows, markdown=True)
    assert "| second | right | right | right | refused | refused | **WRONG** |" in marked
    assert "- c (plain): **WRONG** for second: " in marked


def test_a_models_name_stays_in_its_cell():
    marked = format_matrix([replace(rows_of(["a"])[0], model="x|y\n## z")], markdown=True)
    assert "\n| x\\|y ## z | right |\n" in marked
    assert "\n## z" not in marked
    assert marked.endswith("\n\nWith a 1.0.")


def test_which_exit_code():
    assert is_fine(rows_of(["a", "b"]))
    for verdict, fine in (("refused", True), ("died", True), ("DIFFERS", False), ("failed", False)):
        more = [row_of("a:mode", verdict, model="first", profile="plain")]
        assert is_fine(rows_of(["a"]) + more) == fine
    assert not is_fine([*rows_of(["a"]), row_of("b", "died", model="first", profile="plain")])
    assert not is_fine([*rows_of(["a"]), row_of("swift", "not run", model="third")])
    assert not is_fine([])


def test_the_worst_is_where_nothing_is_allowed():
    outputs = [("y", 5e-7, 1e-6), ("ids", 1e-9, 0.0), ("mask", 0.0, 0.0), ("h", 0.0, 1e-6)]
    row = judged("a", [Compared("traced", "whole", *output) for output in outputs])
    assert (row.verdict, row.worst_error, row.allowed) == ("DIFFERS", 1e-9, 0.0)
    row = judged("a", [Compared("traced", "whole", *outputs[i]) for i in (2, 0, 3)])
    assert (row.verdict, row.worst_error, row.allowed) == ("same", 5e-7, 1e-6)


def test_a_row_is_what_its_json_says():
    row = judged("a", [Compared("traced", "whole", "y", math.inf, 1e-6)], versions={"a": "1"})
    text = json.dumps(row.to_json(), allow_nan=False)
    assert ConformanceRow.from_json(json.loads(text)) == row

"""What engines make of valid layers that are not usual is what their adapters record of it.

The files are those of tests/helpers/gap_files.py; `make full` tries further opsets and weights.
"""

import importlib.metadata

import onnx
import pytest
import torch

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions
from rnnbench.checking.conformance.engines import find_engine_jobs, run_engines
from rnnbench.core.gaps import WORDS
from rnnbench.core.layer_facts import PRESENT
from rnnbench.formats.onnx import profiles as portable
from rnnbench.runtimes.known_gaps import known_gaps
from tests.helpers.gap_files import OPSETS, probes
from tests.helpers.gap_probe import behaviour, found

RECORDED = tuple(name for name, runtime in runtimes.every().items() if runtime.gaps)
ENGINES = tuple(name for name in RECORDED if runtimes.get(name).profile)
OPSET = 18  # what is written unless another is asked for
SLOW = ("emx", "iree", "ncnn")  # seconds a file: they compile it
SIZES = ("fixed", "dynamic")


def need(engine):
    missing = runtimes.get(engine).missing()
    if missing:
        pytest.skip(missing)


def recorded(engine):
    """(op, attribute) -> what is recorded for files of fixed sizes, and of dynamic ones."""
    said = {}
    for gap in runtimes.get(engine).gaps:
        fixed = "right" if gap.sizes == "dynamic" else gap.behaviour
        said[gap.op, gap.attribute] = (fixed, gap.behaviour)
    return said


def worst(engine, key):
    """What is recorded; an operator that is refused is refused with everything."""
    known = recorded(engine)
    fixed, dynamic = known.get(key, ("right", "right"))
    if (key[0], "") in known:
        return "refused", "refused"
    return fixed, dynamic


def compared(engine, opset, seed=0):
    """The gaps that a probe found and the records, where they are not the same."""
    off = []
    for key, answers in found(engine, opset, seed).items():
        expected = worst(engine, key)[: len(answers)]
        # OpenVINO refuses a layout of fixed sizes, and computes a dynamic one wrong.
        if behaviour(answers) != max(expected, key=("right", "refused", "wrong").index) or any(
            (verdict == "right") != (said == "right")
            for (verdict, _), said in zip(answers, expected, strict=True)
        ):
            off.append((key, expected, answers))
    return off


@pytest.mark.parametrize("engine", [name for name in RECORDED if name not in SLOW])
def test_what_an_engine_does_is_what_its_adapter_records(engine):
    need(engine)
    assert compared(engine, OPSET) == []


@pytest.mark.full
@pytest.mark.parametrize("engine", RECORDED)
@pytest.mark.parametrize("opset", [*OPSETS, OPSET])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_every_opset_and_with_other_weights(engine, opset, seed):
    need(engine)
    assert compared(engine, opset, seed) == []


def check_own_form(engine):
    for key, answers in found(engine, OPSET, form=engine).items():
        verdicts = [verdict for verdict, _ in answers]
        assert "wrong" not in verdicts, (key, answers)
        assert "right" in verdicts or verdicts == ["stopped"] * len(verdicts), (key, answers)
        if "stopped" in verdicts:
            why = answers[verdicts.index("stopped")][1]
            assert " 'layer" in why
            assert ": run it in " in why


@pytest.mark.parametrize("engine", [name for name in ENGINES if name not in SLOW])
def test_its_own_form_is_right_or_refused_by_name(engine):
    need(engine)
    check_own_form(engine)


@pytest.mark.full
@pytest.mark.parametrize("engine", SLOW)
def test_the_own_form_of_engines_that_compile(engine):
    need(engine)
    check_own_form(engine)


def test_a_record_is_whole():
    assert list(WORDS) == list(PRESENT)
    asked = {(probe.op, probe.attribute) for probe in probes()}
    rewrites = portable.every()
    for name in RECORDED:
        gaps = runtimes.get(name).gaps
        keys = [(gap.op, gap.attribute) for gap in gaps]
        assert len(keys) == len(set(keys)), name
        for gap in gaps:
            assert (gap.op, gap.attribute) in asked, gap
            assert gap.attribute in PRESENT
            assert gap.version
            assert gap.source
            assert not gap.rewrite or gap.rewrite in rewrites
            profile = runtimes.get(name).profile
            if gap.rewrite:
                assert gap.rewrite in (*profile.always, *profile.once_pinned, *profile.last), gap


def test_the_records_are_of_the_versions_that_are_tested():
    for name in RECORDED:
        if runtimes.get(name).missing():
            continue
        said = {gap.version for gap in runtimes.get(name).gaps}
        for package in runtimes.get(name).packages:
            version = importlib.metadata.version(package)
            short = ".".join(version.split(".")[:3])
            assert all(short in text for text in said), (name, said)


# -- a model of our own ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def relu(shared):
    """A bundle of an nn.RNN of relu, both directions in its second layer, for tract."""

    def build():
        module = torch.nn.RNN(5, 4, nonlinearity="relu")
        specs = (
            TensorSpec("x", ("time", "batch", 5)),
            TensorSpec("h0", (1, "batch", 4), role="state"),
        )
        return Model(module, specs, ("y", "hn"), states={"h0": "hn"}, name="relu")

    return shared.export("relu for tract", build, ("onnx",), profile="tract")


def test_a_relu_layer_is_right_in_tract_and_wrong_without(relu):
    need("tract")
    report = rnnbench.check(relu, ["tract"])
    plain, own = (
        [row for row in report.rows if row.format == format] for format in ("onnx", "portable")
    )
    assert {row.verdict for row in own} == {"same"}
    assert "DIFFERS" in {row.verdict for row in plain}
    why = next(row.reason for row in plain if row.verdict == "DIFFERS")
    assert "has activations of its own, which tract 0.23.9 computes wrong, without a word" in why
    assert why.endswith("export with --for tract")


def test_conform_says_what_is_known(relu):
    need("tract")
    rows = {row.profile: row for row in run_engines(relu, find_engine_jobs(["tract"]))}
    assert {name: row.verdict for name, row in rows.items()} == {
        "plain": "DIFFERS",
        "tract": "same",
        "portable": "same",
    }
    assert "has activations of its own, which tract 0.23.9" in rows["plain"].reason


def test_a_file_without_gaps_says_nothing(relu):
    assert known_gaps("tract", relu.artifacts["portable"].path) == []
    assert known_gaps("onnxruntime", relu.artifacts["onnx"].path) == []
    assert known_gaps("tvm", relu.artifacts["onnx"].path) == []


def test_what_no_form_mends_names_the_runtimes_that_compute_it(tmp_path):
    [probe] = [p for p in probes() if p.name == "LSTM input_forget"]
    onnx.save(probe.file(2, OPSET)[0], tmp_path / "f.onnx")
    with pytest.raises(
        RnnbenchError, match=r"has input_forget=1, which openvino .* computes wrong"
    ):
        portable.rewrite(tmp_path / "f.onnx", tmp_path / "own.onnx", "openvino")
    portable.rewrite(tmp_path / "f.onnx", tmp_path / "own.onnx", "emx")
    [said] = known_gaps("openvino", tmp_path / "f.onnx")
    assert said.endswith("run it in onnxruntime or emx")


# -- ncnn: of a layer only the last state ---------------------------------------------------------


class Last(torch.nn.Module):
    def __init__(self, kind, bidirectional, returns):
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(5, 4, bidirectional=bidirectional)
        self.returns = returns

    def forward(self, x):
        y, last = self.rnn(x)
        h, c = last if isinstance(last, tuple) else (last, None)
        return tuple({"y": y, "h": h, "c": c}[name] for name in self.returns)


LAST = [("RNN", "h"), ("GRU", "h"), ("LSTM", "h"), ("LSTM", "c"), ("LSTM", "hc"), ("LSTM", "yh")]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "returns"), LAST)
def test_ncnn_runs_what_returns_a_last_state(tmp_path, kind, returns, bidirectional):
    need("ncnn")
    x = TensorSpec("x", ("time", "batch", 5))
    model = Model(Last(kind, bidirectional, returns), (x,), tuple(returns), name="last")
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile="ncnn")
    only = CheckOptions(CaseSelection(only=("batch-1",)))
    rows = rnnbench.check(bundle, ["ncnn", "onnxruntime"], options=only).rows
    own = [row for row in rows if row.format == "portable"]
    assert {(row.runtime, row.verdict) for row in own} == {
        ("ncnn", "same"),
        ("onnxruntime", "same"),
    }
    more = {o.name for o in onnx.load(bundle.artifacts["portable"].path).graph.output}
    assert (more == set(returns)) == ("c" not in returns)

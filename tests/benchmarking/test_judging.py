"""What `bench` judges what it times by: never a rounding, and never the full lengths alone."""

import numpy as np
import onnx
import pytest
import torch

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.__main__ import main
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.inference_mode import inference_mode
from rnnbench.benchmarking.measuring.judging import (
    WrongOutput,
    assert_right,
    make_trial,
    usual_cases,
)
from rnnbench.benchmarking.measuring.measure import measure
from rnnbench.benchmarking.measuring.networks import Network, build_network, inputs_for
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import CELLS, Conditions, Implementation, Item
from rnnbench.cases.cases import Case
from rnnbench.cases.noise import RUNS, neighbours
from rnnbench.cases.standard import Standard
from rnnbench.models.calls import call, undisturbed
from rnnbench.runtimes.adapters import openvino

FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
ONNX = Implementation("model", "onnxruntime")


def rounded(model, arrays, seed):
    """The module's outputs with its inputs and weights moved by a rounding."""
    rng = np.random.default_rng(seed)
    with undisturbed(model.module):
        for parameter in model.module.parameters():
            parameter.data = torch.from_numpy(neighbours(parameter.detach().numpy(), rng))
        moved = {name: neighbours(array, rng) for name, array in arrays.items()}
        return call(model.module, model.inputs, model.outputs, moved)


@pytest.mark.parametrize("form", ["loop", "fused"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_rounding_is_right_of_one_row_too(cell, form):
    """There each channel of the last state is a single value, and some are near 0."""
    network = build_network(cell, form, 128, 1)
    usual = usual_cases(network)
    for time in (1, 8, 32):
        conditions = Conditions(batch=1, time=time, hidden=128, layers=1)
        trial = make_trial(network, conditions, usual)
        arrays = inputs_for(network.model, conditions)
        assert trial.timed.noise["hn"].min() >= 0 < np.median(trial.timed.noise["hn"])
        for seed in range(RUNS, RUNS + 20):  # others than those that the noise is made of
            assert_right(rounded(network.model, arrays, seed), trial.timed, trial.standard)


def test_a_wrong_element_is_not_timed_where_it_is_the_smallest_of_its_row():
    network = build_network("gru", "loop", 128, 1)
    conditions = Conditions(batch=1, time=32, hidden=128, layers=1)
    trial = make_trial(network, conditions, usual_cases(network))
    right = dict(trial.timed.eager)
    smallest = np.unravel_index(np.abs(right["hn"]).argmin(), right["hn"].shape)
    for off in (1e-5, -1e-4, 0.5):
        wrong = right["hn"].copy()
        wrong[smallest] += np.float32(off)
        with pytest.raises(WrongOutput, match=r"^wrong output: hn off by"):
            assert_right(right | {"hn": wrong}, trial.timed, trial.standard)


def test_a_loop_that_computes_something_else_is_told_by_its_fused_layer():
    network = build_network("gru", "loop", 8, 1)
    with torch.no_grad():
        next(network.model.module.parameters()).mul_(1.01)
    conditions = Conditions(batch=2, time=4, hidden=8, layers=1)
    trial = make_trial(network, conditions, usual_cases(network))
    with pytest.raises(WrongOutput):
        assert_right(trial.timed.eager, trial.timed, trial.standard)


def test_a_wrong_output_is_not_timed():
    right = {"y": np.linspace(0, 1, 5)}
    single = {"y": right["y"].astype(np.float32)}
    case = Case("timed", {}, {}, right, single)
    assert_right(single, case, Standard())
    with pytest.raises(WrongOutput, match="y off by"):
        assert_right({"y": single["y"] + np.float32(1e-3)}, case, Standard())
    with pytest.raises(WrongOutput, match="off by more than"):
        assert_right({"y": single["y"] + np.float32(0.1)}, case, Standard(), "cuda")
    with pytest.raises(WrongOutput, match=r"^wrong output:  instead of y"):
        assert_right({}, case, Standard())


@pytest.mark.parametrize("steps", [(9,), (1009,)])  # at the usual cases, or at none of them
def test_a_module_that_fails_at_the_sizes_says_so(steps):
    class Some(torch.nn.Module):
        def forward(self, x):
            if len(x) not in steps:
                raise ValueError("not so many steps")
            return x.cumsum(0)

    network = Network(Model(Some(), (TensorSpec("x", ("time", "batch", 2)),), ("y",)))
    usual = usual_cases(network)
    with pytest.raises(RnnbenchError, match="fails at the inputs that are timed: not so many"):
        make_trial(network, Conditions(batch=1, time=2), usual)
    trial = make_trial(network, Conditions(batch=1, time=steps[0]), usual)
    assert_right(trial.timed.eager, trial.timed, trial.standard)


# ---- lengths

TAGGER = """
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = torch.nn.GRU(6, 8)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, hn = self.rnn(packed)
        return pad_packed_sequence(y, total_length=x.shape[0])[0], hn

def build():
    x = TensorSpec("x", ("time", "batch", 6))
    lengths = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
    return Model(Net(), (x, lengths), ("y", "hn"))
"""


@pytest.fixture
def tagger(tmp_path, monkeypatch):
    """A bundle whose file reads lengths, its code beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(TAGGER)
    with pytest.raises(SystemExit) as ended:
        main(["export", "net.py", "--format", "onnx", "-q"])
    assert ended.value.code == 0
    return tmp_path / "exports/Net"


def without_lengths(bundle):
    """The file as an engine that does not read lengths computes it."""
    path = bundle / "model.onnx"
    model = onnx.load(path)
    layers = [node for node in model.graph.node if node.op_type == "GRU"]
    assert layers
    for node in layers:
        assert node.input[4]
        node.input[4] = ""
    onnx.save(model, path)


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_what_ignores_lengths_is_not_timed(tagger, batch, code):
    conditions = Conditions(batch=batch, time=6)
    if not code:
        (tagger.parent.parent / "net.py").unlink()
    with Artifacts() as artifacts, inference_mode(1):
        artifacts.subject(str(tagger), ONNX, conditions).run()
    without_lengths(tagger)
    with Artifacts() as artifacts, inference_mode(1), pytest.raises(WrongOutput) as raised:
        artifacts.subject(str(tagger), ONNX, conditions)
    if code and batch == 1:
        assert "wrong output where rows end after 3 of 6 steps: hn off by" in str(raised.value)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_engine_that_ignores_lengths_is_timed_in_the_form_that_is_written_for_it(tagger, batch):
    """OpenVINO is silently wrong on `model.onnx`, whose lengths it does not read."""
    if runtimes.get("openvino").missing():
        pytest.skip(runtimes.get("openvino").missing())
    conditions, way = Conditions(batch=batch, time=6), Implementation("model", "openvino")
    with Artifacts() as artifacts, inference_mode(1):
        source = artifacts.source(str(tagger), way, conditions)
        arrays = inputs_for(build_network(str(tagger), "model", None, None).model, conditions)
        subject = openvino.prepare(source, arrays, "cpu", 1)  # the file as it is
        if batch > 1:
            with pytest.raises(WrongOutput):
                artifacts.assert_subject(subject, str(tagger), way, conditions)
        artifacts.subject(str(tagger), way, conditions).run()


@pytest.mark.parametrize(("time", "held"), [(6, True), (5, False)])
def test_the_file_that_a_bundle_holds_for_an_engine_is_timed_at_its_sizes(tagger, time, held):
    if runtimes.get("openvino").missing():
        pytest.skip(runtimes.get("openvino").missing())
    way = Implementation("model", "openvino")
    words = ["--for", "openvino", "--pin", "time=6", "--out", "pinned", "-q"]
    with pytest.raises(SystemExit) as ended:
        main(["export", "net.py", "--format", "onnx", *words])
    assert ended.value.code == 0
    with Artifacts() as artifacts, inference_mode(1):
        conditions = Conditions(batch=1, time=time)
        file = artifacts.file("pinned/Net", way, conditions)
        assert (file.path.name == "model.portable.onnx") == held
        artifacts.subject("pinned/Net", way, conditions).run()


@pytest.mark.parametrize("kind", ["latency", "ratio", "cost"])
def test_no_kind_of_measurement_is_judged_at_full_lengths_alone(tagger, kind):
    without_lengths(tagger)
    eager = Implementation("model", "eager")
    item = Item(kind, str(tagger), ONNX, Conditions(batch=1, time=6), eager)
    with Artifacts() as artifacts:
        for _ in range(2):  # what was found is remembered
            with pytest.raises(WrongOutput, match="where rows end"):
                measure(item, artifacts, FAST)


def test_lengths_of_a_model_s_own_inputs_are_drawn_until_one_is_not_full():
    class Sum(torch.nn.Module):
        def forward(self, x, lengths):
            steps = torch.arange(x.shape[0])[:, None]
            return (x * (steps < lengths)).sum(0)

    def sample(dims, rng):
        shape = (dims["time"], dims["batch"])
        full = rng.random() < 0.5
        lengths = np.full(dims["batch"], dims["time"] if full else 1)
        return {"x": rng.standard_normal(shape).astype(np.float32), "lengths": lengths}

    inputs = (
        TensorSpec("x", ("time", "batch")),
        TensorSpec("lengths", ("batch",), dtype="int64", role="lengths"),
    )
    network = Network(Model(Sum(), inputs, ("y",), sample=sample))
    trial = make_trial(network, Conditions(batch=1, time=8), usual_cases(network))
    cases = (trial.timed, *trial.others)
    assert any((case.inputs["lengths"] < 8).any() for case in cases)
    for case in cases:
        np.testing.assert_allclose(
            case.reference["y"],
            sum(case.inputs["x"][: case.inputs["lengths"][0]].astype(np.float64)),
            atol=1e-12,
        )


def test_a_length_of_which_the_module_cannot_be_run_is_another():
    class Picky(torch.nn.Module):
        def forward(self, x, lengths):
            if int(lengths.max()) < 6:
                raise ValueError("six steps at least")
            return x * (torch.arange(x.shape[0])[:, None] < lengths)

    inputs = (
        TensorSpec("x", ("time", "batch")),
        TensorSpec("lengths", ("batch",), dtype="int64", role="lengths"),
    )
    network = Network(Model(Picky(), inputs, ("y",)))
    trial = make_trial(network, Conditions(batch=1, time=8), usual_cases(network))
    assert [case.inputs["lengths"].tolist() for case in trial.others] == [[7]]


def test_a_bundle_s_own_cases_judge_where_its_code_is_not(tmp_path):
    module = torch.nn.GRU(3, 4)

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = module

        def forward(self, x):
            return self.rnn(x)

    model = Model(Fixed(), (TensorSpec("x", ("time", "batch", 3)),), ("y", "hn"), name="fixed")
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    network = build_network(str(bundle.path), "model", None, None)
    assert not network.runnable
    trial = make_trial(network, Conditions(batch=1, time=6), usual_cases(network))
    assert trial.timed is None
    (case,) = trial.others
    assert min(case.dims.values()) > 1, "of one row and one step nothing is carried"


def test_each_reason_is_said_once(tagger, monkeypatch, capsys):
    monkeypatch.setattr(driver, "QUICK", FAST)
    without_lengths(tagger)
    words = ["--quick", "--runtime", "eager,onnxruntime", "--time", "6"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", str(tagger), *words])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    (said,) = [line for line in out.splitlines() if "wrong output" in line]
    assert said.startswith("6 not measured: wrong output where rows end after 3 of 6 steps: hn off")
    after = out[out.index(said) :].splitlines()[1:]
    assert len(after) == 6
    assert all(line.startswith(("  latency ", "  ratio ", "  cost ")) for line in after)
    assert "off by" not in err
    assert err.splitlines()[-1].startswith("6 compute something else: `rnnbench check`")

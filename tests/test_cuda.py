"""On a CUDA device: what is exported, checked, run and timed there is what it is on the CPU."""

import copy
from dataclasses import asdict

import numpy as np
import pytest
import torch

import rnnbench
from rnnbench import Model, TensorSpec, runtimes
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.plan import Plan
from rnnbench.benchmarking.results import read_file
from rnnbench.models import variants

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    # PyTorch's own, of any scripted layer: cuDNN copies the weights together in each call
    pytest.mark.filterwarnings("ignore:RNN module weights are not part of"),
]


class Loop(torch.nn.Module):
    """A loop of cells, which are other operators on CUDA, with a constant of its own."""

    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRUCell(5, 4)
        self.register_buffer("scale", torch.tensor(0.5))
        self.shift = torch.ones(4)

    def forward(self, x, h):
        steps = []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
            steps.append(h * self.scale + self.shift.to(h.device))
        return torch.stack(steps), h


def described(module):
    return Model(
        module,
        (TensorSpec("x", ("time", "batch", 5)), TensorSpec("h", ("batch", 4), role="state")),
        ("y", "hn"),
        states={"h": "hn"},
        name="loop",
    )


@pytest.fixture(scope="module")
def modules():
    torch.manual_seed(0)
    module = Loop()
    return module, copy.deepcopy(module).cuda()


def test_a_module_on_the_device_exports_to_the_same_files(modules, tmp_path):
    formats = ("onnx", "torchscript", "pt2")
    here, there = (
        rnnbench.export(described(module), formats=formats, out=tmp_path / name)
        for module, name in zip(modules, ("cpu", "cuda"), strict=True)
    )
    assert there.manifest["sha256"] == here.manifest["sha256"]
    assert there.manifest["recurrences"] == here.manifest["recurrences"]
    assert there.artifacts["onnx"].path.read_bytes() == here.artifacts["onnx"].path.read_bytes()
    report = rnnbench.check(there, model=described(modules[1]))
    assert report.ok
    assert "eager" in {row.format for row in report.rows if row.verdict == "same"}
    devices = {tensor.device.type for tensor in modules[1].state_dict().values()}
    assert devices == {"cuda"}
    y, _ = modules[1](torch.zeros(2, 1, 5).cuda(), torch.zeros(1, 4).cuda())
    assert y.device.type == "cuda"


@pytest.mark.parametrize("name", ["gru", "lstm-loop", "elman"])
def test_check_there_is_as_strict_as_on_the_cpu(name, tmp_path):
    options = variants.Options(5, 4, 2)
    source = {"kind": "variant", "variant": name, "task": "hello", "options": asdict(options)}
    model = variants.model(name, options, bundle_name=name)
    formats = ("onnx", "torchscript")
    bundle = rnnbench.export(model, formats=formats, out=tmp_path, source=source)
    wanted = ["eager:cuda", "torchscript:cuda", "compile:cuda"]
    if "cuda" in runtimes.get("onnxruntime").devices():
        wanted.append("onnxruntime:cuda")
    report = rnnbench.check(bundle, runtimes=wanted)
    rows = [row for row in report.rows if row.runtime.endswith("cuda")]
    assert {row.runtime for row in rows} == set(wanted)
    said = [(row.runtime, row.verdict, row.reason) for row in rows]
    assert {row.verdict for row in rows} <= {"same", "limit"}, said


def test_a_session_there_answers_with_arrays(variant_bundle):
    _, bundle = variant_bundle("lstm")
    here, there = (rnnbench.load(bundle, "torchscript", device=d) for d in ("cpu", "cuda"))
    inputs = {"x": np.random.default_rng(0).standard_normal((7, 3, 5)).astype(np.float32)}
    inputs |= here.zero_states({"batch": 3})
    before = torch.backends.cudnn.allow_tf32
    np.testing.assert_allclose(there(inputs)["y"], here(inputs)["y"], atol=1e-5)
    assert torch.backends.cudnn.allow_tf32 == before


def test_bench_there_measures_right_outputs(tmp_path):
    plan = Plan(("gru",), ("eager", "torchscript"), ("cuda",), time=(3,), hidden=(8,), quick=True)
    outcome = driver.run_plan(plan, tmp_path, name=None)
    assert outcome.measured == outcome.total
    assert not outcome.wrong
    rows = [row for row in read_file(outcome.path).latencies if row.runtime == "eager"]
    assert {row.mode for row in rows} == {"", "cuda-graph"}
    assert all(0 < row.cuda_event_s < 1 for row in rows)

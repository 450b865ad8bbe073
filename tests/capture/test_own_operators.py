"""No file needs rnnbench: nothing with an operator of ours is written, nor taken for good."""

import subprocess
import sys

import onnx
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.capture.operators.lowering import lower, refuse_own_operators
from rnnbench.capture.pipeline import capture
from rnnbench.core.known_warnings import export_warnings
from rnnbench.runtimes.job import Job, load
from tests.zoo import MODELS

STEPWISE = ("TwoLayersStepByStep", "LayerByListIndex", "WindowsThroughALayer")
LOADS = """
import sys, warnings, torch
warnings.simplefilter("ignore")
torch.jit.load(sys.argv[1])
torch.export.load(sys.argv[2]).module()
assert "rnnbench" not in sys.modules
"""


@pytest.mark.parametrize("name", STEPWISE)
def test_a_process_without_rnnbench_loads_it(name, tmp_path):
    bundle = rnnbench.export(MODELS[name].build(), ("torchscript", "pt2"), tmp_path)
    files = [str(bundle.artifacts[f].path) for f in ("torchscript", "pt2")]
    done = subprocess.run([sys.executable, "-I", "-c", LOADS, *files], capture_output=True)
    assert not done.returncode, done.stderr.decode()


def test_a_body_is_lowered_and_the_given_program_is_not():
    captured = capture(MODELS["WindowsThroughALayer"].build())
    with pytest.raises(RnnbenchError, match="an operator that only rnnbench has: nothing is"):
        refuse_own_operators(captured.program.graph_module)
    refuse_own_operators(lower(captured.program).graph_module)


def test_a_file_with_an_operator_of_ours_is_refused(tmp_path):
    model = Model(nn.GRU(3, 4), (TensorSpec("x", ("time", "batch", 3)),), ("y", "hn"), name="gru")
    program = capture(model).program
    with export_warnings():
        torch.export.save(program, tmp_path / "own.pt2")
    with pytest.raises(RnnbenchError, match="an operator that only rnnbench has"):
        load(Job("pt2", "pt2", tmp_path / "own.pt2"))


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 40, bidirectional=True)

    def forward(self, a, b):
        return (self.rnn(a)[0][-1] * self.rnn(b)[0][-1]).sum(-1)


def test_weights_of_a_layer_that_is_called_twice_are_written_once(tmp_path):
    specs = [TensorSpec(n, (t, "batch", 3)) for n, t in (("a", "time"), ("b", "other"))]
    model = Model(Siamese(), specs, ("y",))
    bundle = rnnbench.export(model, ("onnx", "torchscript", "pt2"), tmp_path)
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
    graph = onnx.load(bundle.artifacts["onnx"].path).graph
    assert [n.op_type for n in graph.node].count("LSTM") == 2
    assert sum(len(i.raw_data) for i in graph.initializer) < 1.1 * weights
    for format in ("onnx", "torchscript", "pt2"):
        assert bundle.artifacts[format].path.stat().st_size < weights + 80_000

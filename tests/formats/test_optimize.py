"""`optimize`: loops of others' ONNX files become fused nodes, and compute the same."""

import json
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import RnnbenchError
from tests.helpers.stock_files import old

SIZES = [(1, 1), (2, 3), (7, 2), (40, 1)]


class CellLoop(nn.Module):
    """A loop over one of PyTorch's cells, from states that are given or from zeros."""

    def __init__(self, cell, **options):
        super().__init__()
        torch.manual_seed(0)
        self.cell = getattr(nn, cell)(3, 4, **options)
        self.count = 2 if cell == "LSTMCell" else 1

    def forward(self, x, *states):
        zeros = x.new_zeros(x.shape[1], 4)
        states = states or (zeros,) * self.count
        steps = []
        for x_t in x.unbind(0):
            found = self.cell(x_t, states if self.count == 2 else states[0])
            states = found if self.count == 2 else (found,)
            steps.append(states[0])
        return torch.stack(steps), *states


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def operators(path):
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def assert_right(path, module, sizes=SIZES, given=(), features=3):
    """The file against the module in float64, also at sizes that it was not traced with."""
    run, exact = session(path), module.double()
    names = [i.name for i in run.get_inputs()]
    for seed, (time, batch) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(time, batch, features, generator=generator)]
        inputs += [torch.randn(batch, *shape, generator=generator) for shape in given]
        expected = exact(*(i.double() for i in inputs))
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = run.run(None, {n: i.numpy() for n, i in zip(names, inputs, strict=True)})
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=2e-5, atol=2e-6)
    module.float()


CELLS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("GRUCell", {}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
]


@pytest.mark.parametrize("stateful", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize(("cell", "options"), CELLS)
def test_an_unrolled_loop_is_one_node_of_any_length(cell, options, stateful, tmp_path):
    module = CellLoop(cell, **options)
    states = ["h", "c"][: module.count] if stateful else []
    inputs = (torch.zeros(5, 2, 3), *(torch.zeros(2, 4) for _ in states))
    axes = {"x": {0: "time", 1: "batch"}, **{n: {0: "batch"} for n in states}}
    with pytest.warns():
        torch.onnx.export(
            module.eval(),
            inputs,
            tmp_path / "stock.onnx",
            dynamo=False,
            input_names=["x", *states],
            dynamic_axes=axes,
        )
    report = rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    assert [f.done for f in report.findings] == [True]
    fused = {"RNNCell": "RNN", "GRUCell": "GRU", "LSTMCell": "LSTM"}[cell]
    found = operators(tmp_path / "better.onnx")
    assert found.count(fused) == 1
    assert {*found} <= {fused, "Squeeze", "Unsqueeze"}
    assert_right(tmp_path / "better.onnx", module, given=[(4,)] * len(states))


def test_what_is_not_rewritten_is_a_copy(tmp_path):
    stock = old(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), tmp_path / "stock.onnx")
    before = stock.read_bytes()
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert not report.changed
    assert (tmp_path / "better.onnx").read_bytes() == before == stock.read_bytes()


def test_the_given_file_is_not_written_to(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")
    before = stock.read_bytes()
    (tmp_path / "link.onnx").symlink_to(stock)
    for out in (stock, tmp_path / "link.onnx"):
        with pytest.raises(RnnbenchError, match="the given file"):
            rnnbench.optimize(stock, out)
    assert stock.read_bytes() == before


def test_names_metadata_and_opset_stay(tmp_path):
    stock = old(CellLoop("LSTMCell"), tmp_path / "stock.onnx")
    proto = onnx.load(str(stock))
    proto.metadata_props.add(key="author", value="somebody")
    proto.doc_string = "as it was"
    onnx.save(proto, str(stock))
    rnnbench.optimize(stock, tmp_path / "better.onnx")
    better = onnx.load(str(tmp_path / "better.onnx"))
    onnx.checker.check_model(better, full_check=True)
    for name in ("opset_import", "metadata_props", "doc_string", "producer_name", "ir_version"):
        assert getattr(better, name) == getattr(proto, name), name
    for ports in ("input", "output"):
        before, after = (getattr(p.graph, ports) for p in (proto, better))
        assert [v.name for v in before] == [v.name for v in after]


def test_the_command(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")

    def run(*words):
        command = [sys.executable, "-m", "rnnbench", "optimize", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    shown = run(stock.name, "-o", "better.onnx")
    assert shown.returncode == 0, shown.stderr
    assert "gru unrolled, 5 steps" in shown.stdout
    document = json.loads(run(stock.name, "-o", "better.onnx", "--json").stdout)
    assert document["schema"] == "rnnbench-optimize-1"
    assert document["changed"]
    assert [f["done"] for f in document["findings"]] == [True]
    (tmp_path / "text.onnx").write_text("no model\n")
    for given in ("text.onnx", "missing.onnx", "."):
        refused = run(given, "-o", "other.onnx")
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert not (tmp_path / "other.onnx").exists()


class Layer(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(0)
        self.layer = getattr(nn, kind)(3, 4, **options)

    def forward(self, x):
        y, last = self.layer(x)
        return (y, *last) if isinstance(last, tuple) else (y, last)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_zeros_around_a_layer_go(kind, options, tmp_path):
    module = Layer(kind, **options)
    stock = old(module, tmp_path / "stock.onnx")
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert all(f.done for f in report.findings)
    nodes = onnx.load(str(tmp_path / "better.onnx")).graph.node
    layers = [n for n in nodes if n.op_type == kind]
    assert len(layers) == options.get("num_layers", 1)
    assert all(len(n.input) == 4 for n in layers)
    assert not {"Shape", "ConstantOfShape", "Slice"} & {n.op_type for n in nodes}
    assert_right(tmp_path / "better.onnx", module)


def test_sizes_that_were_written_down_are_open_again(tmp_path):
    """The default exporter writes the zeros of one batch down, and the sizes of its inputs."""
    module = Layer("GRU")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(5, 2, 3),),
            tmp_path / "stock.onnx",
            dynamo=True,
            verbose=False,
            input_names=["x"],
        )
    rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    (node,) = [n for n in onnx.load(str(tmp_path / "better.onnx")).graph.node if n.op_type == "GRU"]
    assert len(node.input) == 4
    assert_right(tmp_path / "better.onnx", module)

"""`optimize`: loops as people and their tools write them, judged by PyTorch in float64."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench.formats.onnx.stock import export_stock
from tests.formats.test_optimize import CellLoop, assert_right, operators, session
from tests.helpers.stock_files import edited, looped, old
from tests.zoo import MODELS

LAYERS = ("RNN", "GRU", "LSTM")


def layers(path):
    return [n for n in onnx.load(str(path)).graph.node if n.op_type in LAYERS]


def scripted(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.jit.script(module.eval()),
            (torch.zeros(5, 2, 3),),
            path,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "time", 1: "batch"}},
        )
    return path


def by_dynamo(module, path):
    """All sizes written down, and what comes of zeros worked out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.zeros(5, 2, 3),), path, dynamo=True, verbose=False)
    return path


class ScriptedCell(nn.Module):
    """PyTorch writes its cell as a layer of one step, in a Loop that fills a list."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x):
        h = torch.zeros(x.size(1), 4, dtype=x.dtype)
        c = torch.zeros(x.size(1), 4, dtype=x.dtype)
        steps: list[torch.Tensor] = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            steps.append(h)
        return torch.stack(steps), h, c


class ScriptedGru(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.x, self.h = nn.Linear(3, 12), nn.Linear(4, 12)

    def forward(self, x):
        h = torch.zeros(x.size(1), 4, dtype=x.dtype)
        steps: list[torch.Tensor] = []
        for t in range(x.size(0)):
            a, b = self.x(x[t]).chunk(3, 1), self.h(h).chunk(3, 1)
            r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            n = torch.tanh(a[2] + r * b[2])
            h = (1 - z) * n + z * h
            steps.append(h)
        return torch.stack(steps)


@pytest.mark.parametrize("module", [ScriptedCell, ScriptedGru])
def test_a_loop_of_torchscript_is_one_node(module, tmp_path):
    made = module()
    stock = scripted(made, tmp_path / "stock.onnx")
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert [f.done for f in report.findings] == [True]
    assert {*operators(tmp_path / "better.onnx")} <= {"GRU", "LSTM", "Squeeze"}
    assert_right(tmp_path / "better.onnx", made)


@pytest.mark.parametrize("operator", ["Scan", "Loop"])
def test_a_loop_of_onnx_is_one_node(operator, tmp_path):
    stock = edited(tmp_path / "stock.onnx", looped(operator))
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert [f.done for f in report.findings] == [True]
    assert operators(tmp_path / "better.onnx").count("RNN") == 1
    old_file, new_file = session(stock), session(tmp_path / "better.onnx")
    for time, batch in [(1, 1), (6, 3), (11, 2)]:
        generator = np.random.default_rng(time)
        shapes = {"x": (time, batch, 3), "h0": (1, batch, 4)}
        given = {n: generator.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        for a, b in zip(new_file.run(None, given), old_file.run(None, given), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x):
        state, steps = None, []
        for x_t in reversed(x.unbind(0)):
            state = self.cell(x_t, state)
            steps.insert(0, state[0])
        return torch.stack(steps), *state


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.forth, self.back = nn.GRUCell(3, 4), nn.GRUCell(3, 4)

    def forward(self, x):
        a = b = x.new_zeros(x.shape[1], 4)
        ones, others = [], []
        for x_t in x.unbind(0):
            a = self.forth(x_t, a)
            ones.append(a)
        for x_t in reversed(x.unbind(0)):
            b = self.back(x_t, b)
            others.insert(0, b)
        return torch.cat([torch.stack(ones), torch.stack(others)], -1), a, b


class Stack(nn.Module):
    """Something before the first cell, between the cells, and behind them, in every step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.front, self.out = nn.Linear(3, 5), nn.Linear(4, 2)
        self.one, self.two = nn.GRUCell(5, 4), nn.LSTMCell(4, 4)

    def forward(self, x):
        h = x.new_zeros(x.shape[1], 4)
        state = (x.new_zeros(x.shape[1], 4), x.new_zeros(x.shape[1], 4))
        steps = []
        for x_t in x.unbind(0):
            h = self.one(torch.relu(self.front(x_t)), h)
            state = self.two(torch.tanh(h), state)
            steps.append(self.out(state[0]) + x_t[:, :2])
        return torch.stack(steps)


class ByHand(nn.Module):
    """An LSTM of one matrix over the state and the input, its gates in another order."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gates = nn.Linear(7, 16)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[1], 4)
        steps = []
        for x_t in x.unbind(0):
            o, f, g, i = self.gates(torch.cat([h, x_t], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            steps.append(h)
        return torch.stack(steps), c


FORMS = {Backwards: ["LSTM"], Both: ["GRU"], Stack: ["GRU", "LSTM"], ByHand: ["LSTM"]}


@pytest.mark.parametrize("module", FORMS, ids=lambda m: m.__name__)
def test_every_layer_is_one_node_of_any_length(module, tmp_path):
    made = module()
    report = rnnbench.optimize(old(made, tmp_path / "stock.onnx"), tmp_path / "better.onnx")
    assert all(f.done for f in report.findings)
    assert [n.op_type for n in layers(tmp_path / "better.onnx")] == FORMS[module]
    assert not {"Sigmoid", "Split"} & {*operators(tmp_path / "better.onnx")}
    assert_right(tmp_path / "better.onnx", made)


@pytest.mark.parametrize("module", [Backwards, Both, Stack, ByHand], ids=lambda m: m.__name__)
def test_what_the_default_exporter_has_worked_out(module, tmp_path):
    """The first step from zeros has no product with the state left, and sizes are numbers."""
    made = module()
    rnnbench.optimize(by_dynamo(made, tmp_path / "stock.onnx"), tmp_path / "better.onnx")
    assert [n.op_type for n in layers(tmp_path / "better.onnx")] == FORMS[module]
    assert not {"Sigmoid", "Split"} & {*operators(tmp_path / "better.onnx")}
    runs_forwards = module in (Stack, ByHand)  # else no length can be compared
    sizes = [(1, 1), (7, 2), (40, 3)] if runs_forwards else [(5, 2), (5, 1), (5, 4)]
    assert_right(tmp_path / "better.onnx", made, sizes)


def test_a_length_that_something_else_needs_stays(tmp_path):
    """A table of the positions that were traced: the batch is open again, the length is not."""

    class Positions(CellLoop):
        def __init__(self):
            super().__init__("GRUCell")
            self.table = nn.Parameter(torch.randn(5, 1, 4))

        def forward(self, x):
            return super().forward(x)[0] + self.table

    made = Positions()
    report = rnnbench.optimize(by_dynamo(made, tmp_path / "stock.onnx"), tmp_path / "better.onnx")
    done = {f.place: f.done for f in report.findings}
    assert (done["batch"], done["time"]) == (True, False)
    assert_right(tmp_path / "better.onnx", made, [(5, 1), (5, 2), (5, 4)])


class EveryOtherState(CellLoop):
    def forward(self, x):
        h, steps = x.new_zeros(x.shape[1], 4), []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack([h * t for t, h in enumerate(steps) if t % 2])


def test_where_single_steps_are_read_there_are_as_many_as_before(tmp_path):
    """The file computes what it did at every length that it took, and is right nowhere else."""
    stock = old(EveryOtherState("GRUCell"), tmp_path / "stock.onnx")
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert "4 steps as before" in report.findings[0].result
    old_file, new_file = session(stock), session(tmp_path / "better.onnx")
    for time, batch in [(5, 2), (9, 1)]:
        x = np.random.default_rng(time).standard_normal((time, batch, 3)).astype(np.float32)
        a, b = (run.run(None, {"x": x})[0] for run in (new_file, old_file))
        np.testing.assert_allclose(a, b, atol=1e-6)


OTHERS = ("LstmLayerNorm", "IndependentRnn")


def arrays_of(model, sizes, seed):
    generator = np.random.default_rng(seed)
    shapes = {s.name: [sizes.get(n, n) for n in s.shape] for s in model.inputs}
    return {n: generator.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cell_that_is_no_layer_stays(name, tmp_path):
    model = MODELS[name].build()
    arrays = arrays_of(model, {"time": 5, "batch": 2}, 0)
    export_stock(model, arrays, tmp_path / "stock.onnx")
    rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    assert layers(tmp_path / "better.onnx") == []


ZOO = ("RangeOverTime", "TwoLoops", "AllLayersInOneStep", "DataclassState")
ZOO += ("GruSigmoidBeforeChunk", "LstmOneLinear", "ElmanAfterRelu")


@pytest.mark.parametrize("name", ZOO)
def test_models_of_the_zoo(name, tmp_path):
    model = MODELS[name].build()
    sizes = {"time": 5, "batch": 2}
    export_stock(model, arrays_of(model, sizes, 0), tmp_path / "stock.onnx")
    report = rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    assert report.changed
    assert not {"Sigmoid", "Split"} & {*operators(tmp_path / "better.onnx")}
    run, exact = session(tmp_path / "better.onnx"), model.module.double()
    for seed, more in enumerate(({"time": 9}, {"time": 1}, {"batch": 3})):
        arrays = arrays_of(model, sizes | more, seed)
        found = run.run(None, {i.name: arrays[i.name] for i in run.get_inputs()})
        given = [torch.from_numpy(arrays[s.name]).double() for s in model.inputs]
        expected = exact(*given)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=2e-5, atol=2e-6)

"""One step of a cell that is written out, state in and out: whoever runs the file is the loop."""

from importlib import metadata

import pytest
import torch
from torch import nn

from rnnbench.core.known_warnings import export_warnings
from rnnbench.inspection.inspect import format_inspection, inspect
from tests.helpers import stock_files

CELLS = {
    "lstm": lambda size: nn.LSTMCell(size, 6),
    "gru": lambda size: nn.GRUCell(size, 6),
    "rnn_tanh": lambda size: nn.RNNCell(size, 6),
    "rnn_relu": lambda size: nn.RNNCell(size, 6, nonlinearity="relu"),
}


class Steps(nn.Module):
    """A stack of cells: what is before it and behind it are layers without a state."""

    def __init__(self, kind, size, layers):
        super().__init__()
        sizes = [size] + [6] * (layers - 1)
        self.cells = nn.ModuleList(CELLS[kind](n) for n in sizes)
        self.before, self.behind = nn.Linear(size, size), nn.Linear(6, 2)
        self.two = kind == "lstm"

    def forward(self, x, *states):
        x, following = torch.relu(self.before(x)), []
        for i, cell in enumerate(self.cells):
            if self.two:
                following += (made := cell(x, (states[2 * i], states[2 * i + 1])))
                x = made[0]
            else:
                x = cell(x, states[i])
                following.append(x)
        return (self.behind(x), *following)


class Stateless(nn.Module):
    """What looks like a cell, and hands nothing on that it takes: layers, a highway."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        gate, new = torch.sigmoid(self.a(x)), torch.tanh(self.b(x))
        return torch.tanh(self.c(x)), gate * new + (1 - gate) * x, gate * torch.tanh(new)


def old(module, inputs, path):
    names = ["x", *(f"s{i}" for i in range(len(inputs) - 1))]
    return stock_files.old(module, path, dynamic=False, inputs=inputs, names=names)


def decomposed(module, inputs, path):
    with export_warnings():
        program = torch.export.export(module, inputs).run_decompositions()
        torch.export.save(program, path)
    return path


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("write", "suffix"), [(old, ".onnx"), (decomposed, ".pt2")])
def test_a_cell_is_found(tmp_path, kind, layers, write, suffix):
    count = layers * (2 if kind == "lstm" else 1)
    inputs = (torch.randn(2, 5), *(torch.randn(2, 6) for _ in range(count)))
    path = write(Steps(kind, 5, layers).eval(), inputs, tmp_path / f"step{suffix}")
    report = inspect(path)
    found = [(r.representation, r.kind, r.input_size, r.hidden_size) for r in report.recurrences]
    assert found == [("step", kind, 5, 6), ("step", kind, 6, 6)][:layers]
    per = count // layers
    names = [port.name for port in report.inputs][1:]
    outputs = [port.name for port in report.outputs][1:]
    for i, r in enumerate(report.recurrences):
        assert r.state_in == "input " + ", ".join(sorted(names[i * per : (i + 1) * per]))
        assert r.state_out == "output " + ", ".join(sorted(outputs[i * per : (i + 1) * per]))
    assert "no recurrence" not in format_inspection(report)


@pytest.mark.parametrize("kind", CELLS)
def test_a_state_of_the_size_of_the_input_is_the_later_one(tmp_path, kind):
    count = 2 if kind == "lstm" else 1
    inputs = tuple(torch.randn(2, 6) for _ in range(1 + count))
    module = Steps(kind, 6, 1).eval()
    module.before = nn.Identity()
    path = old(module, inputs, tmp_path / "step.onnx")
    (found,) = inspect(path).recurrences
    assert (found.kind, found.state_in) == (kind, "input " + ", ".join(["s0", "s1"][:count]))


def test_layers_without_a_state_are_none(tmp_path):
    path = old(Stateless().eval(), (torch.randn(2, 6),), tmp_path / "layers.onnx")
    report = inspect(path)
    assert report.recurrences == ()
    assert "no recurrence found\n" in format_inspection(report)


def test_a_cell_in_each_branch():
    try:
        files = metadata.files("silero-vad") or []
    except metadata.PackageNotFoundError:
        pytest.skip("pip install silero-vad")
    name = "silero_vad_op18_ifless.onnx"
    path = next(f.locate() for f in files if f.name == name)
    found = inspect(path).recurrences
    assert [(r.representation, r.kind, r.input_size, r.hidden_size) for r in found] == [
        ("step", "lstm", 128, 128)
    ] * 2
    assert {(r.state_in, r.state_out) for r in found} == {("input state", "output stateN")}

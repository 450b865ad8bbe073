"""Layers and loops of any size against the module itself; and what has to be refused."""

from dataclasses import replace

import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._sympy import functions

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.capture import capture
from rnnbench.capture.rolling import emitter
from rnnbench.capture.tracing.prove import holds
from rnnbench.capture.tracing.trace import trace_module
from rnnbench.core.model import sample_inputs
from tests.helpers.tiers import examples
from tests.zoo import MODELS

X = TensorSpec("x", ("time", "batch", 3))


def agrees(model, captured, dims, seed):
    """Whether the captured program computes what the module does."""
    from rnnbench.capture.operators.lowering import lower

    tensors = [torch.from_numpy(a) for a in sample_inputs(model, dims, seed).values()]
    program = lower(captured.program).module(check_guards=False)
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(model.module(*tensors))
        given = torch.utils._pytree.tree_leaves(program(*tensors))
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, given, strict=True))


class Layer(nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x):
        y, h = self.rnn(x)
        return y, *(h if isinstance(h, tuple) else (h,))


@examples(8)
@given(
    kind=st.sampled_from([nn.RNN, nn.GRU, nn.LSTM]),
    hidden=st.integers(1, 5),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    batch_first=st.booleans(),
    batch=st.integers(1, 4),
    time=st.integers(1, 12),
)
def test_layers(kind, hidden, layers, bidirectional, bias, batch_first, batch, time):
    rnn = kind(
        3, hidden, layers, bias=bias, bidirectional=bidirectional, batch_first=batch_first
    ).eval()
    outputs = ("y", "h", "c") if kind is nn.LSTM else ("y", "h")
    spec = TensorSpec("x", ("batch", "time", 3)) if batch_first else X
    model = Model(Layer(rnn), (spec,), outputs)
    captured = capture(model)
    assert [r.representation for r in captured.recurrences] == ["fused"] * layers
    assert agrees(model, captured, {"batch": batch, "time": time}, seed=time)


class Packed(nn.Module):
    """Padded to the length that it had before: nothing is cut off."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, _ = self.rnn(packed)
        return nn.utils.rnn.pad_packed_sequence(y, total_length=x.shape[0])[0]


def test_padding_to_the_length_that_was_cuts_nothing_off():
    lengths = TensorSpec("lengths", ("batch",), "int64", role="lengths")
    trace = trace_module(Model(Packed(), (X, lengths), ("y",)), {"time": 300, "batch": 3})
    cut = torch.ops.aten.slice.Tensor
    assert list(trace.graph.graph.find_nodes(op="call_function", target=cut)) == []


class Loop(nn.Module):
    def __init__(self, cell, start, stop, stride):
        super().__init__()
        self.cell, self.range = cell, (start, stop, stride)

    def forward(self, x):
        h, steps = x.new_zeros(x.size(1), self.cell.hidden_size), []
        order = range(x.size(0))
        for t in reversed(order) if self.range[2] < 0 else order[self.range[0] :]:
            h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps), h


@examples(8)
@given(
    kind=st.sampled_from([nn.RNNCell, nn.GRUCell]),
    hidden=st.integers(1, 5),
    reverse=st.booleans(),
    batch=st.integers(1, 4),
    time=st.integers(1, 12),
)
def test_loops(kind, hidden, reverse, batch, time):
    module = Loop(kind(3, hidden), 0, None, -1 if reverse else 1).eval()
    model = Model(module, (X,), ("y", "h"))
    captured = capture(model)
    assert [r.representation for r in captured.recurrences] == ["fused"]
    assert agrees(model, captured, {"batch": batch, "time": time}, seed=time)


class Stops(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 3)

    def forward(self, x):
        h = x[0]
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            if h.abs().max() > 0.9:
                break
        return h


class Remembers(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.rnn, self.feed_mode = nn.GRU(3, 4), how
        if how == "buffer":
            self.register_buffer("h", torch.zeros(1, 1, 4))
        else:
            self.h = None

    def forward(self, x):
        h = torch.zeros(1, x.size(1), 4) if self.h is None else self.h.expand(1, x.size(1), 4)
        y, h = self.rnn(x, h.contiguous())
        if self.feed_mode == "buffer":
            self.h.copy_(h.mean(1, keepdim=True))
        else:
            self.h = h.mean(1, keepdim=True)
        return y


class Raises(nn.Module):
    def forward(self, x):
        return x @ x


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Stops, ["test_capture.py:", "depends on the values of a tensor"]),
        (lambda: Remembers("buffer"), ["self.h", "TensorSpec('h'", "role='state'"]),
        (lambda: Remembers("attribute"), ["self.h", "TensorSpec('h'", "role='state'"]),
        (Raises, ["test_capture.py:"]),
    ],
    ids=["stops", "buffer", "attribute", "raises"],
)
def test_what_cannot_be_captured_is_said_in_one_line(make, words):
    with pytest.raises(RnnbenchError) as caught:
        capture(Model(make(), (X,), ("y",)))
    message = str(caught.value)
    assert "\n" not in message
    assert [w for w in words if w not in message] == []


def test_a_captured_module_is_as_it_was():
    module = nn.GRU(3, 4).train()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    attributes = set(vars(module))
    forward = nn.GRU.forward
    capture(Model(module, (X,), ("y", "h")))
    assert module.training
    assert set(vars(module)) == attributes
    assert nn.GRU.forward is forward
    assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())
    module(torch.zeros(2, 1, 3))[0].sum().backward()
    assert module.weight_ih_l0.grad is not None


def test_the_graph_does_not_grow_with_the_number_of_steps():
    nodes = len(
        capture(Model(Loop(nn.GRUCell(3, 4), 0, None, 1), (X,), ("y", "h"))).program.graph.nodes
    )
    assert nodes < 20


@pytest.mark.parametrize("name", ["DeltaRule", "LstmProjected", "StopsAtAToken"])
def test_an_export_asks_nothing_that_was_compiled_before(name, monkeypatch, tmp_path):
    """PyTorch's own `scan` and `while_loop` compile, and what fitted an earlier size fixes this."""

    def compiled(*_args, **_keywords):
        raise AssertionError("torch.compile was called")

    monkeypatch.setattr(torch, "compile", compiled)
    bundle = rnnbench.export(MODELS[name].build(), formats=("onnx", "pt2"), out=tmp_path)
    assert bundle.manifest["failed"] == {}


def test_a_rewrite_that_is_not_proved_is_not_made(monkeypatch):
    """A cell that is matched wrongly (here its biases are lost) stays a loop, and it is said."""
    found = emitter.match_cell

    def without_biases(module, *arguments):
        cell = found(module, *arguments)
        weights = [
            module.get_parameter(w.target) if hasattr(w, "target") else w for w in cell.weights
        ]
        lost = [w.detach() if i < 2 else torch.zeros_like(w) for i, w in enumerate(weights)]
        return replace(cell, weights=lost)

    monkeypatch.setattr(emitter, "match_cell", without_biases)
    model = Model(Loop(nn.GRUCell(3, 4), 0, None, 1), (X,), ("y", "h"))
    captured = capture(model)
    (loop,) = captured.recurrences
    assert (loop.kind, loop.representation) == ("loop", "scan")
    assert loop.note == "its fused form could not be proved to compute the same"
    assert agrees(model, captured, {"time": 9, "batch": 2}, 0)


@given(time=st.integers(1, 60), batch=st.integers(1, 9))
def test_a_condition_on_sizes_is_what_sympy_says(time, batch):
    """It is compiled, since SymPy takes 10 ms for one of many terms."""
    t, b = (sympy.Symbol(name, integer=True, positive=True) for name in ("time", "batch"))
    conditions = (
        sympy.Eq(functions.Mod(t, 2), 0),
        sympy.Ne(functions.FloorDiv(t, 4) * 4 + functions.Mod(t + 1, 3), b),
        sympy.Or(t > 3, sympy.And(b < 2, functions.PythonMod(t, 5) < 3)),
        sympy.Eq(sympy.Max(t, b * 2), sympy.Min(9, t)),
        functions.TruncToInt(functions.IntTrueDiv(t, b)) > 2,
        sympy.Not(sympy.Eq(functions.CleanDiv(t * b, b), functions.ModularIndexing(t, 2, 3) + 1)),
    )
    for condition in conditions:
        wanted = bool(condition.subs({t: time, b: batch}))
        assert holds(condition, {"time": time, "batch": batch}) == wanted, condition

"""A program of operators that the library has is translated without one more trace, to the same."""

import onnx
import pytest
import torch
from torch import fx
from torch.export import ExportedProgram

import rnnbench
from rnnbench import Model, TensorSpec, check
from rnnbench.capture.operators.copying import copy_of
from rnnbench.capture.pipeline import capture
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.cases.least_sizes import with_least_sizes
from rnnbench.formats._format import WriteOptions
from rnnbench.formats.onnx import as_captured, write
from rnnbench.models.lifting import lifted
from tests.zoo import MODELS

# Loops and layers, of which each has an operator that is said in other words, or none.
PLAIN = (
    *("GivesMoreThanTensors", "IndependentRnn", "CutAtANumber", "StateLikeAHiddenLayer"),
    *("PackedBidirectional", "TwoLoops", "LastValidStep", "LstmPeephole", "HalvesOfTheBatch"),
)
TAKEN_APART = ("StabilisedByItsLargest", "DeepSpeech")  # a reshape; a norm and a flatten


class Mixed(torch.nn.Module):
    """Its steps add whole numbers to floats, cast, and move dimensions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = torch.nn.Linear(8, 5)

    def forward(self, x, h):
        steps = []
        for t in range(x.shape[1]):
            h = torch.tanh(self.cell(torch.cat([x[:, t], h], 1)))
            h = h * 2 + (h > 0).to(torch.int64)
            steps.append(h)
        return torch.stack(steps).movedim(0, -1).to(torch.float64), h.to(torch.float32)


def mixed():
    x = TensorSpec("x", ("batch", "time", 3))
    return Model(Mixed(), (x, TensorSpec("h", ("batch", 5))), ("y", "hn"))


def captured_of(name):
    model = lifted(MODELS[name].build())
    return capture(with_least_sizes(model, traced_sizes(model)))


def traces(monkeypatch):
    """A list that grows with each program that is taken apart."""
    found = []
    take_apart = ExportedProgram.run_decompositions
    monkeypatch.setattr(
        ExportedProgram,
        "run_decompositions",
        lambda self, *given: found.append(self) or take_apart(self, *given),
    )
    return found


def graphs_of(captured):
    """The text of the program and of the bodies of its loops."""
    parts = captured.program.graph_module.modules()
    return [str(part.graph) for part in parts if isinstance(part, fx.GraphModule)]


def both(captured, folder, monkeypatch):
    """The file as it is written, and as it is with a trace."""
    write(captured, folder / "plain.onnx", WriteOptions())
    with monkeypatch.context() as patch:
        patch.setattr(as_captured, "_in_words_of", lambda *_: None)
        write(captured, folder / "traced.onnx", WriteOptions())
    return [(folder / f"{name}.onnx").read_bytes() for name in ("plain", "traced")]


def same_nodes(files):
    """Whether two files are the same but for the names inside of them."""
    first, second = (plainly_named(onnx.load_from_string(file)) for file in files)
    return first == second


def plainly_named(model):
    """The text of a model whose inner names are numbers, in the order of the nodes."""
    names = {}
    held = {t.name: (t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer}

    def numbered(name):
        return held.get(name) or (names.setdefault(name, len(names)) if name else None)

    def nodes_of(graph):
        return [
            *(("input", numbered(value.name)) for value in graph.input),
            *map(node_of, graph.node),
            *(("output", numbered(value.name)) for value in graph.output),
        ]

    def node_of(node):
        attributes = [
            (a.name, nodes_of(a.g) if a.type == a.GRAPH else a.SerializeToString())
            for a in sorted(node.attribute, key=lambda a: a.name)
        ]
        inputs = [numbered(name) for name in node.input]
        return node.op_type, inputs, [numbered(name) for name in node.output], attributes

    ports = [[str(value) for value in part] for part in (model.graph.input, model.graph.output)]
    return nodes_of(model.graph), ports, sorted(held.values())


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_is_traced_where_a_trace_changes_nothing(name, tmp_path, monkeypatch):
    captured = captured_of(name)
    taken_apart = traces(monkeypatch)
    write(captured, tmp_path / "model.onnx", WriteOptions())
    assert not taken_apart
    assert same_nodes(both(captured, tmp_path, monkeypatch))
    assert len(taken_apart) == 1


@pytest.mark.parametrize("name", TAKEN_APART)
def test_what_the_library_lacks_is_taken_apart(name, tmp_path, monkeypatch):
    captured = captured_of(name)
    taken_apart = traces(monkeypatch)
    write(captured, tmp_path / "model.onnx", WriteOptions())
    assert len(taken_apart) == 1


def test_the_captured_program_stays_as_it_is(tmp_path, monkeypatch):
    """The exporter writes casts into bodies of loops that TorchScript and .pt2 are written of."""
    captured = capture(mixed())
    before = graphs_of(captured)
    assert len(before) > 1
    taken_apart = traces(monkeypatch)
    assert same_nodes(both(captured, tmp_path, monkeypatch))
    assert len(taken_apart) == 1
    assert graphs_of(captured) == before


class OfNoDimension(torch.nn.Module):
    """Moves the dimensions of a number, and casts an output to what it is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(3, 5)

    def forward(self, x, scale):
        y, hn = self.gru(x)
        return (y * scale.movedim(0, 0)).to(torch.float32), hn


def test_a_number_has_no_dimension_to_move(tmp_path):
    ports = TensorSpec("x", ("time", "batch", 3)), TensorSpec("scale", ())
    model = Model(OfNoDimension(), ports, ("y", "hn"), name="scaled")
    bundle = rnnbench.export(model, ("onnx", "torchscript", "pt2"), tmp_path)
    assert not bundle.manifest["failed"]
    assert check(bundle, model=model).ok


class CalledLikeFunctions(torch.nn.Module):
    """fx gives an input `sum` another name in a copy, that of the node which sums."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(3, 3)

    def forward(self, x, sum, abs):
        return (self.gru(x)[0] + sum).sum(0), (x + abs).abs(), abs.abs()


@pytest.mark.parametrize("keep_loops", [False, True])
def test_inputs_have_names_of_functions(tmp_path, keep_loops):
    ports = [TensorSpec(name, ("time", "batch", 3)) for name in ("x", "sum", "abs")]
    model = Model(CalledLikeFunctions(), ports, ("total", "far", "further"), name="named")
    formats = ("onnx", "torchscript", "pt2")
    bundle = rnnbench.export(model, formats, tmp_path, keep_loops=keep_loops)
    assert not bundle.manifest["failed"]
    assert check(bundle, model=model).ok


def test_a_body_under_two_names_is_copied_once():
    captured = capture(mixed())
    program = captured.program
    (name,) = [n for n, part in program.graph_module.named_children()][:1]
    body = program.graph_module.get_submodule(name)
    program.graph_module.add_module("again", body)
    with program.graph.inserting_before(program.graph.output_node()):
        program.graph.get_attr("again")
    made = copy_of(program)
    assert made.get_submodule("again") is made.get_submodule(name)
    assert made.get_submodule("again") is not body


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_whole_zoo_is_the_same(name, tmp_path, monkeypatch):
    captured = captured_of(name)
    assert same_nodes(both(captured, tmp_path, monkeypatch))

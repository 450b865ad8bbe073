"""RNN, GRU and LSTM nodes as products and a Scan: so that each step's values have a scale.

    y [time, directions, batch, hidden], hn [directions, batch, hidden] = GRU(x, W, R, B, lens, h0)
        ->  g [time, batch, 3 * hidden] = MatMul(x, W') + Wb            all steps at once
            h [batch, hidden], y = Scan(h0, g, alive):  r = MatMul(h, R') + Rb, ...

The formulas are those of https://onnx.ai/onnx/operators/onnx__LSTM.html (and GRU, RNN): gates in
the order i, o, f, c and z, r, h. A step beyond a row's length leaves its states as they are, and
gives 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import constant_of, direction_of, recurrent_nodes, replace
from rnnbench.formats.onnx.integers.making import Array, Maker
from rnnbench.formats.onnx.present import activations, usual_activations

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_PEEPHOLES = 7  # the place of P among an LSTM's inputs
_STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}


def spell_out(model: ir.Model) -> int:
    """Each layer of float32; how many there were.

    Raises:
        RnnbenchError: a layer has a form that is not known here.
    """
    nodes = [node for node in recurrent_nodes(model) if _is_float32(node)]
    for node in nodes:
        _refuse(node)
        _spell_out(node, model)
    return len(nodes)


def _is_float32(node: ir.Node) -> bool:
    w, r = (constant_of(value) for value in node.inputs[1:3])
    return w is not None and r is not None and w.dtype == r.dtype == np.float32


def _refuse(node: ir.Node) -> None:
    function = activations(node)
    usual = function == usual_activations(node)
    relu = node.op_type == "RNN" and {*function} == {"relu"}
    known = {"hidden_size", "direction", "linear_before_reset", "activations", "layout"}
    other = node.op_type == "GRU" and not _attribute(node, "linear_before_reset")
    peepholes = len(node.inputs) > _PEEPHOLES and node.inputs[_PEEPHOLES] is not None
    other |= peepholes
    if {*node.attributes} <= known and (usual or relu) and not other | _attribute(node, "layout"):
        return
    raise RnnbenchError(
        f"{node.op_type} {node.name!r} has {', '.join(map(str, function))}"
        f"{', peepholes (P)' if peepholes else ''} and "
        f"{', '.join(node.attributes)}, of which there is no step in whole numbers: export with "
        "--precision int8-weights"
    )


def _attribute(node: ir.Node, name: str) -> int:
    return node.attributes[name].as_int() if name in node.attributes else 0


@dataclass(frozen=True)
class _Layer:
    """A layer that is taken apart.

    Attributes:
        node: the layer.
        make: makes nodes before it.
        hidden: the size of the state.
        alive: [time, batch, 1] whether a step is within its row's length; None without lengths.
        nothing: [batch, hidden] of zeros.
    """

    node: ir.Node
    make: Maker
    hidden: int
    alive: ir.Value | None
    nothing: ir.Value | None

    def given(self, index: int) -> ir.Value | None:
        """An input, where it is there."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def part(self, index: int, direction: int) -> Array | None:
        """One direction of W, R or B."""
        held = constant_of(self.given(index))
        return None if held is None else held[direction]

    def weight(self, index: int, direction: int) -> ir.Value:
        """[features, gates * hidden] one direction of W or R, for a product on its left."""
        name, part = str(self.node.inputs[index].name), self.part(index, direction)  # type: ignore[union-attr]
        assert part is not None
        name = f"{name}_reverse_t" if direction else f"{name}_t"
        return self.make.shared(name, np.ascontiguousarray(part.T))

    def state(self, index: int, direction: int) -> ir.Value:
        """[batch, hidden] that one direction begins with."""
        value = self.given(index)
        if value is not None:
            return self.make("Gather", [value, self.make.constant(np.array(direction))], axis=0)
        assert self.nothing is not None
        return self.nothing


def _spell_out(node: ir.Node, model: ir.Model) -> None:
    make = Maker(node, model)
    hidden = node.attributes["hidden_size"].as_int()
    states = _STATES[node.op_type]
    lacking = any(i >= len(node.inputs) or node.inputs[i] is None for i in range(5, 5 + states))
    lengths = node.inputs[4] if len(node.inputs) > 4 else None
    alive = None if lengths is None else _alive(make, node.inputs[0], lengths)
    nothing = _zeros(make, node.inputs[0], hidden) if lacking else None
    layer = _Layer(node, make, hidden, alive, nothing)
    given = direction_of(node)
    ways = (0, 1) if given == "bidirectional" else (int(given == "reverse"),)
    found = [_direction(layer, place, bool(way)) for place, way in enumerate(ways)]
    _hand_over(node, make, found)
    assert node.graph is not None
    node.graph.remove(node, safe=True)


def _alive(make: Maker, x: ir.Value | None, lengths: ir.Value) -> ir.Value:
    axis = make.constant(np.array([0]))
    time = make("Squeeze", [make("Shape", [x], start=0, end=1), axis])
    steps = make("Range", [make.constant(np.array(0)), time, make.constant(np.array(1))])
    steps = make("Unsqueeze", [steps, make.constant(np.array([1, 2]))])
    ends = make("Unsqueeze", [lengths, make.constant(np.array([0, 2]))])
    return make("Less", [steps, make("Cast", [ends], to=ir.DataType.INT64)])


def _zeros(make: Maker, x: ir.Value | None, hidden: int) -> ir.Value:
    rows = make("Shape", [x], start=1, end=2)
    shape = make("Concat", [rows, make.constant(np.array([hidden]))], axis=0)
    return make("Expand", [make.constant(np.zeros((1, 1), np.float32)), shape])


def _direction(layer: _Layer, place: int, backwards: bool) -> list[ir.Value]:
    """Y [time, batch, hidden] and the last states [batch, hidden] of one direction."""
    node, make = layer.node, layer.make
    rows = _GATES[node.op_type] * layer.hidden
    biases = layer.part(3, place)
    given = make("MatMul", [node.inputs[0], layer.weight(1, place)])
    recurrent = layer.weight(2, place)
    inner = None  # the bias of R, where it is not one with that of W
    if biases is not None:
        name = f"{node.inputs[3].name}{'_reverse' if place else ''}"  # type: ignore[union-attr]
        halves = (("input", biases[:rows]), ("state", biases[rows:]))
        own = [make.shared(f"{name}_{of}", np.ascontiguousarray(half)) for of, half in halves]
        # Not added here in float32: the file is to hold the module's own numbers.
        if node.op_type == "GRU":
            inner = own[1]
            given = make("Add", [given, own[0]])
        else:
            given = make("Add", [given, make("Add", own)])
    firsts = [layer.state(5 + i, place) for i in range(_STATES[node.op_type])]
    body = _body(layer, recurrent, inner, len(firsts))
    scanned = [given, *([layer.alive] if layer.alive is not None else [])]
    attributes: dict[str, Any] = {"num_scan_inputs": len(scanned), "body": body}
    if backwards:
        attributes |= {
            "scan_input_directions": [1] * len(scanned),
            "scan_output_directions": [1],
        }
    *lasts, each = make.several("Scan", [*firsts, *scanned], len(firsts) + 1, **attributes)
    return [each, *lasts]


def _value(make: Maker, what: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=make.name(what), type=ir.TensorType(dtype))


def _body(layer: _Layer, recurrent: ir.Value, bias: ir.Value | None, count: int) -> ir.Graph:
    """One step: the states and what the input gives -> the states, and h once more."""
    nodes: list[ir.Node] = []
    make = layer.make.inside(nodes)
    befores = [_value(make, "state", ir.DataType.FLOAT) for _ in range(count)]
    given = _value(make, "given", ir.DataType.FLOAT)
    inputs = [*befores, given]
    product = make("MatMul", [befores[0], recurrent])
    if bias is not None:
        product = make("Add", [product, bias])
    kind = layer.node.op_type
    step = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}[kind]
    states = step(make, layer, given, product, befores)
    shown = states[0]
    if layer.alive is not None:
        alive = _value(make, "alive", ir.DataType.BOOL)
        inputs.append(alive)
        zero = make.constant(np.zeros((1, 1), np.float32))
        shown = make("Where", [alive, states[0], zero])
        pairs = zip(states, befores, strict=True)
        states = [make("Where", [alive, after, before]) for after, before in pairs]
    else:
        shown = make("Identity", [shown])
    for value in (*states, shown):  # the shape is asked for where there are no steps
        value.type = ir.TensorType(ir.DataType.FLOAT)
        value.shape = ir.Shape([None, layer.hidden])
    return ir.Graph(inputs, [*states, shown], nodes=nodes, name=make.name("step"))


def _split(make: Maker, value: ir.Value, sizes: Sequence[int]) -> list[ir.Value]:
    parts = make.constant(np.array(sizes, np.int64))
    return make.several("Split", [value, parts], len(sizes), axis=-1)


def _rnn(
    make: Maker, layer: _Layer, given: ir.Value, product: ir.Value, _: list[ir.Value]
) -> list[ir.Value]:
    function = "Relu" if "relu" in activations(layer.node) else "Tanh"
    return [make(function, [make("Add", [given, product])])]


def _gru(
    make: Maker, layer: _Layer, given: ir.Value, product: ir.Value, befores: list[ir.Value]
) -> list[ir.Value]:
    """N = tanh(xn + r * hn), h' = n + z * (h - n)."""
    size = layer.hidden
    both, own = (_split(make, value, [2 * size, size]) for value in (given, product))
    gates = make("Sigmoid", [make("Add", [both[0], own[0]])])
    z, r = _split(make, gates, [size, size])
    new = make("Tanh", [make("Add", [both[1], make("Mul", [r, own[1]])])])
    kept = make("Mul", [z, make("Sub", [befores[0], new])])
    return [make("Add", [new, kept])]


def _lstm(
    make: Maker, layer: _Layer, given: ir.Value, product: ir.Value, befores: list[ir.Value]
) -> list[ir.Value]:
    size = layer.hidden
    three, new = _split(make, make("Add", [given, product]), [3 * size, size])
    i, o, f = _split(make, make("Sigmoid", [three]), [size] * 3)
    kept = make("Mul", [f, befores[1]])
    cell = make("Add", [kept, make("Mul", [i, make("Tanh", [new])])])
    return [make("Mul", [o, make("Tanh", [cell])]), cell]


def _hand_over(node: ir.Node, make: Maker, found: list[list[ir.Value]]) -> None:
    """The directions stand side by side, as the layer's outputs have them."""
    for index, output in enumerate(node.outputs):
        if not output.uses() and not output.is_graph_output():
            continue
        values = [direction[index] for direction in found]
        axis = int(index == 0)
        if len(values) == 1 and axis and _replace_squeezes(output, values[0]):
            continue
        at = make.constant(np.array([axis]))
        wide = [make("Unsqueeze", [value, at]) for value in values]
        replace(output, wide[0] if len(wide) == 1 else make("Concat", wide, axis=axis))


def _replace_squeezes(output: ir.Value, value: ir.Value) -> bool:
    """Takes the place of what drops the axis of directions, where all that read it do."""
    readers = [node for node, _ in output.uses()]
    if len(readers) != 1 or output.is_graph_output() or readers[0].op_type != "Squeeze":
        return False
    axes = constant_of(readers[0].inputs[1]) if len(readers[0].inputs) > 1 else None
    if axes is None or axes.tolist() != [1]:
        return False
    replace(readers[0].outputs[0], value)
    assert readers[0].graph is not None
    readers[0].graph.remove(readers[0], safe=True)
    return True

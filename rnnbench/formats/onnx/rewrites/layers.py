"""Small rewrites of an ONNX graph that do not change what it computes.

The numbers are those of the pitfalls that each is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import Adder, all_nodes, direction_of, recurrent_nodes, replace

_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}
"""Which inputs are initial states."""

_ACTIVATIONS = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}
_OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}

_SATURATED = 100.0
"""Where a sigmoid in float32 is 1, and 0 at its negative."""

_BACKWARDS = -(2**63)
"""The end of a slice that goes backwards to the first element."""


def make_explicit_states(model: ir.Model) -> None:
    """Zeros where a layer has no initial state: tract panics without (pitfall 30d)."""
    for node in recurrent_nodes(model):
        hidden = node.attributes["hidden_size"].as_int()
        directions = 2 if direction_of(node) == "bidirectional" else 1
        absent = [i for i in _STATES[node.op_type] if i >= len(node.inputs) or not node.inputs[i]]
        if not absent:
            continue
        add = Adder(node)
        rows = add("Shape", [node.inputs[0]], start=1, end=2)
        ends = [add.constant(np.array([size])) for size in (directions, hidden)]
        shape = add("Concat", [ends[0], rows, ends[1]], axis=0)
        dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
        zero = np.zeros((1, 1, 1), (dtype or ir.DataType.FLOAT).numpy())
        zeros = add("Expand", [add.constant(zero), shape])
        if max(absent) >= len(node.inputs):
            node.resize_inputs(max(absent) + 1)
        for i in absent:
            node.replace_input_with(i, zeros)


def make_explicit_values(model: ir.Model) -> None:
    """The value of each ConstantOfShape is written down, also where it is 0 (pitfall 30d)."""
    for node in all_nodes(model):
        if node.op_type == "ConstantOfShape" and "value" not in node.attributes:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, np.float32)))


def name_outputs(model: ir.Model) -> None:
    """A layer has all its outputs, also those that nobody reads.

    Where the sequence is left out, MNN returns it as the last state, silently; OpenCV counts them.
    """
    for node in recurrent_nodes(model):
        node.resize_outputs(_OUTPUTS[node.op_type])
        for i, output in enumerate(node.outputs):
            if not output.name:
                output.name = f"{node.name}_unread_{i}"


def refuse_ignored(model: ir.Model) -> None:
    """Stops at what MNN and OpenCV read over, silently: lengths, and functions of one's own.

    Raises:
        RnnbenchError: a layer has one of them.
    """
    for node in recurrent_nodes(model):
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        given = node.attributes.get("activations")
        kinds = [kind.lower() for kind in given.as_strings()] if given is not None else []
        usual = _ACTIVATIONS[node.op_type] * (2 if direction_of(node) == "bidirectional" else 1)
        said = ""
        if lengths is not None:
            said = f"lengths ({lengths.name})"
        elif kinds and kinds != usual:
            said = f"activations of its own ({', '.join(kinds)})"
        if said:
            raise RnnbenchError(
                f"the {node.op_type} {node.name!r} has {said}, which this engine ignores silently: "
                "run it in another (onnxruntime, openvino, tract)"
            )


def turn_into_gru(model: ir.Model) -> None:
    """An RNN of tanh becomes a GRU whose gates are shut and open: OpenCV has no RNN.

    h' = (1 - z) n + z h with z = 0 is n, and n = tanh(W x + Wb + r (R h + Rb)) with r = 1 is what
    the RNN computes. The gates have no weights, and a bias that a sigmoid takes to exactly 0 and 1.
    """
    for node in recurrent_nodes(model):
        if node.op_type != "RNN" or "clip" in node.attributes:
            continue
        w, r, b = (_constant(value) for value in [*node.inputs[1:4], None, None][:3])
        if w is None or r is None or (b is None and len(node.inputs) > 3 and node.inputs[3]):
            continue  # its weights are computed
        n, hidden, _ = w.shape
        b = np.zeros((n, 2 * hidden), w.dtype) if b is None else b
        shut, none = np.full((n, hidden), _SATURATED, w.dtype), np.zeros((n, hidden), w.dtype)
        biases = np.concatenate((-shut, shut, b[:, :hidden], none, none, b[:, hidden:]), axis=1)
        add = Adder(node)
        weights = [add.constant(np.concatenate((0 * a, 0 * a, a), axis=1)) for a in (w, r)]
        inputs = [node.inputs[0], *weights, add.constant(biases), *node.inputs[4:]]
        attributes = [a for a in node.attributes.values() if a.name != "activations"]
        attributes.append(ir.AttrInt64("linear_before_reset", 1))
        gru = add.node("GRU", inputs, len(node.outputs), attributes)
        for output, new in zip(list(node.outputs), gru.outputs, strict=True):
            replace(output, new)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def split_directions(model: ir.Model, which: Callable[[ir.Node], bool] = lambda _: True) -> None:
    """A bidirectional layer becomes two: some engines get the second half wrong (pitfall 30b)."""
    for node in recurrent_nodes(model):
        if direction_of(node) != "bidirectional" or not which(node):
            continue
        add = Adder(node)
        halves = [_half(node, add, i) for i in (0, 1)]
        for i, output in enumerate(node.outputs):
            both = [half.outputs[i] for half in halves]
            replace(output, add("Concat", both, axis=1 if i == 0 else 0))
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def turn_forward(model: ir.Model, which: Callable[[ir.Node], bool] = lambda _: True) -> None:
    """A backward layer becomes a forward one between two reversals (pitfall 30b).

    tract and emx-onnx-cgen return its output in the wrong order, silently.
    """
    for node in recurrent_nodes(model):
        if direction_of(node) != "reverse" or not which(node):
            continue
        add, x = Adder(node), node.inputs[0]
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        steps = x.shape[0] if x is not None and x.shape is not None else None
        node.replace_input_with(0, _reversed(add, x, lengths, steps))
        node.attributes["direction"] = ir.AttrString("direction", "forward")
        y, after = node.outputs[0], Adder(node, after=True)
        if not y.uses() and not y.is_graph_output():
            continue
        # (time, 1, batch, hidden) has its rows in axis 2, and ReverseSequence takes 0 and 1 only;
        # a slice that goes backwards in four dimensions kills MNN
        axis = after.constant(np.array([1]))
        turned = _reversed(after, after("Squeeze", [y, axis]), lengths, steps)
        turned = after("Unsqueeze", [turned, axis])
        replace(y, turned, but=after.made)


def gather_backward_slices(model: ir.Model) -> None:
    """A slice that goes backwards picks its elements by number, where their count is known.

    emx-onnx-cgen has no such slices, and tract none along a dynamic dimension.
    """
    for node in list(all_nodes(model)):
        x = node.inputs[0] if node.inputs else None
        if node.op_type != "Slice" or x is None or x.shape is None or len(node.inputs) < 5:
            continue
        given = [_constant(value) for value in node.inputs[1:5]]
        if any(array is None or array.size != 1 for array in given):
            continue
        start, end, axis, step = (int(array.item()) for array in given if array is not None)
        size = x.shape[axis]
        if step < 0 and isinstance(size, int):
            add = Adder(node)
            index = add.constant(np.array(range(size)[start:end:step], np.int64))
            replace(node.outputs[0], add("Gather", [x, index], axis=axis))
            node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def drop_default_direction(model: ir.Model) -> None:
    """`forward` is not written down: emx-onnx-cgen refuses an RNN or GRU that says it."""
    for node in recurrent_nodes(model):
        if direction_of(node) == "forward":
            node.attributes.pop("direction", None)


def forget_shapes(model: ir.Model) -> None:
    """No shapes but those of inputs and outputs: stale ones stop engines (pitfall 30d)."""
    own = {*model.graph.inputs, *model.graph.outputs}
    for node in all_nodes(model):
        for value in node.outputs:
            if value not in own:
                value.shape = None


def _half(node: ir.Node, add: Adder, index: int) -> ir.Node:
    """One direction of a bidirectional layer."""
    inputs: list[ir.Value | None] = list(node.inputs)
    for i, value in enumerate(inputs):
        if i not in (0, 4) and value is not None:  # the sequence and its lengths are for both
            inputs[i] = add.part(value, index)
    attributes = dict(node.attributes)
    attributes["direction"] = ir.AttrString("direction", ("forward", "reverse")[index])
    for name in ("activations", "activation_alpha", "activation_beta"):
        if name in attributes:
            values = list(attributes[name].value)
            half = values[index * len(values) // 2 : (index + 1) * len(values) // 2]
            attributes[name] = ir.Attr(name, attributes[name].type, half)
    return add.node(node.op_type, inputs, len(node.outputs), list(attributes.values()))


def _reversed(add: Adder, value: ir.Value | None, lengths: ir.Value | None, steps: Any) -> ir.Value:
    """A sequence (time first) from its end to its beginning; each row's own end with `lengths`.

    Not a slice that goes backwards, where the length is known: emx-onnx-cgen has none.
    """
    if lengths is not None:
        return _reversed_rows(add, value, lengths)
    if isinstance(steps, int):
        return add("Gather", [value, add.constant(np.arange(steps)[::-1].copy())], axis=0)
    slices = [add.constant(np.array([n])) for n in (-1, _BACKWARDS, 0, -1)]
    return add("Slice", [value, *slices])


def _reversed_rows(add: Adder, value: ir.Value | None, lengths: ir.Value) -> ir.Value:
    """(time, batch, features), each row from its own end; tract has no ReverseSequence.

    Step t of row b is element `t * batch + b` of all the rows' steps.
    """
    zero, one, axis = (add.constant(np.array(n)) for n in (0, 1, [0]))
    time, rows = (add("Squeeze", [add("Shape", [value], start=i, end=i + 1), axis]) for i in (0, 1))
    steps = add("Unsqueeze", [add("Range", [zero, time, one]), add.constant(np.array([1]))])
    ends = add("Cast", [lengths], to=ir.DataType.INT64)
    turned = add("Sub", [ends, add("Add", [steps, one])])
    step = add("Where", [add("Less", [steps, ends]), turned, steps])
    index = add("Add", [add("Mul", [step, rows]), add("Range", [zero, rows, one])])
    features = add("Shape", [value], start=2, end=3)
    every = add.constant(np.array([-1]))
    flat = add("Reshape", [value, add("Concat", [every, features], axis=0)])
    picked = add("Gather", [flat, add("Reshape", [index, every])], axis=0)
    return add("Reshape", [picked, add("Shape", [value])])


def _constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    tensor = value.const_value if value is not None else None
    return None if tensor is None else tensor.numpy()

"""Damages to an ONNX graph: each takes it and a generator, and returns whether it applies.

Those that act only sometimes are made of a condition on the inputs and an effect on an output.
"""

import itertools

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
_END = 2**40


class Edit:
    """Puts nodes behind an input, or before an output, of a graph."""

    def __init__(self, proto):
        self.graph, self.nodes, self.count = proto.graph, [], itertools.count()

    def name(self):
        return f"attack_{next(self.count)}_{len(self.nodes)}"

    def const(self, value, dtype=np.float32):
        name = self.name()
        self.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind, *inputs, **attributes):
        made = self.name()
        self.nodes.append(helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def size(self, name, axis):
        """The size of an axis, as a float."""
        shape = self.op("Shape", name)
        number = self.op("Gather", shape, self.const(axis, np.int64))
        return self.op("Cast", number, to=FLOAT)

    def largest(self, name):
        return self.op("ReduceMax", self.op("Abs", name), keepdims=0)

    def change_output(self, name, made_of):
        """What `made_of(edit, name)` gives takes the place of an output."""
        inner = f"{name}_sound"
        for node in self.graph.node:
            for i, output in enumerate(node.output):
                if output == name:
                    node.output[i] = inner
            for i, used in enumerate(node.input):
                if used == name:
                    node.input[i] = inner
        made = made_of(self, inner)
        self.nodes.append(helper.make_node("Identity", [made], [name]))
        self.graph.node.extend(self.nodes)
        return True

    def change_input(self, name, made_of):
        """What `made_of(edit, name)` gives is read instead of an input."""
        made = made_of(self, name)
        for node in self.graph.node:
            _rename(node, name, made)
        for node in reversed(self.nodes):
            self.graph.node.insert(0, node)
        return True


def _rename(node, name, made):
    for i, used in enumerate(node.input):
        if used == name:
            node.input[i] = made
    for attribute in node.attribute:
        for inner in attribute.g.node if attribute.HasField("g") else ():
            _rename(inner, name, made)


def axis_of(port, dim):
    names = [d.dim_param for d in port.type.tensor_type.shape.dim]
    return names.index(dim) if dim in names else None


def _is_float(port):
    return port.type.tensor_type.elem_type == FLOAT


def _state(proto):
    return next((p for p in proto.graph.input if p.name in ("h", "c")), None)


def _lengths(proto):
    return next((p for p in proto.graph.input if p.name == "lengths"), None)


# -- conditions: a truth value of the inputs ------------------------------------------------------


def _size(dim, kind, number):
    def condition(edit, proto):
        port = next((p for p in proto.graph.input if axis_of(p, dim) is not None), None)
        if port is None:
            return None
        size = edit.size(port.name, axis_of(port, dim))
        return edit.op(kind, size, edit.const(number))

    return condition


def _remainder(dim, divisor, rest):
    def condition(edit, proto):
        port = next((p for p in proto.graph.input if axis_of(p, dim) is not None), None)
        if port is None:
            return None
        size = edit.size(port.name, axis_of(port, dim))
        left = edit.op("Mod", size, edit.const(divisor), fmod=1)
        return edit.op("Equal", left, edit.const(rest))

    return condition


def _data_above(number):
    def condition(edit, proto):
        port = proto.graph.input[0]
        above = edit.op("Greater", edit.largest(port.name), edit.const(number))
        return above if _is_float(port) else None

    return condition


def _state_above(number):
    def condition(edit, proto):
        port = _state(proto)
        if port is None:
            return None
        return edit.op("Greater", edit.largest(port.name), edit.const(number))

    return condition


def _of_lengths(kind):
    def condition(edit, proto):
        port = _lengths(proto)
        if port is None:
            return None
        most = edit.op("ReduceMax", port.name, keepdims=0)
        least = edit.op("ReduceMin", port.name, keepdims=0)
        if kind == "equal":
            return edit.op("Equal", most, least)
        if kind == "one":
            return edit.op("Equal", most, edit.const(1, np.int64))
        steps = edit.size("x", 1)
        return edit.op("Less", edit.op("Cast", most, to=FLOAT), steps)

    return condition


CONDITIONS = {
    "batch >= 8": _size("batch", "GreaterOrEqual", 8.0),
    "batch == 17": _size("batch", "Equal", 17.0),
    "batch == 1": _size("batch", "Equal", 1.0),
    "time == 1": _size("time", "Equal", 1.0),
    "time == 2": _size("time", "Equal", 2.0),
    "time == 3": _size("time", "Equal", 3.0),
    "time >= 31": _size("time", "GreaterOrEqual", 31.0),
    "time > 32": _size("time", "Greater", 32.0),
    "time > 64": _size("time", "Greater", 64.0),
    "time > 128": _size("time", "Greater", 128.0),
    "time > 256": _size("time", "Greater", 256.0),
    "time > 1000": _size("time", "Greater", 1000.0),
    "time > 4000": _size("time", "Greater", 4000.0),
    "time % 32 == 1": _remainder("time", 32.0, 1.0),
    "time % 64 == 0": _remainder("time", 64.0, 0.0),
    "inputs > 10": _data_above(10.0),
    "inputs > 100": _data_above(100.0),
    "inputs > 400": _data_above(400.0),
    "state > 2.5": _state_above(2.5),
    "state > 100": _state_above(100.0),
    "lengths equal": _of_lengths("equal"),
    "lengths one": _of_lengths("one"),
    "lengths tail": _of_lengths("tail"),
}


# -- effects: what an output becomes --------------------------------------------------------------


def _scaled(edit, name, port):
    return edit.op("Mul", name, edit.const(1.01))


def _half(edit, name, port):
    return edit.op("Cast", edit.op("Cast", name, to=onnx.TensorProto.FLOAT16), to=FLOAT)


def _one_row(edit, name, port):
    """The first row alone, for all rows."""
    axis = axis_of(port, "batch")
    if axis is None:
        return None
    first = edit.op("Gather", name, edit.const([0], np.int64), axis=axis)
    return edit.op("Expand", first, edit.op("Shape", name))


def _last_channel_zero(edit, name, port):
    dims = port.type.tensor_type.shape.dim
    if len(dims) < 2 or dims[-1].dim_value < 2:
        return None
    keep = np.ones(dims[-1].dim_value, np.float32)
    keep[-1] = 0
    return edit.op("Mul", name, edit.const(keep))


def _late(edit, name, port):
    """The first step comes twice, the last one never."""
    axis = axis_of(port, "time")
    if axis is None:
        return None
    zero, one, last = (edit.const([n], np.int64) for n in (0, 1, -1))
    at = edit.const([axis], np.int64)
    first, rest = edit.op("Slice", name, zero, one, at), edit.op("Slice", name, zero, last, at)
    return edit.op("Concat", first, rest, axis=axis)


def _last_step_zero(edit, name, port):
    axis = axis_of(port, "time")
    if axis is None:
        return None
    zero, last, end = (edit.const([n], np.int64) for n in (0, -1, _END))
    at = edit.const([axis], np.int64)
    rest, final = edit.op("Slice", name, zero, last, at), edit.op("Slice", name, last, end, at)
    return edit.op("Concat", rest, edit.op("Sub", final, final), axis=axis)


EFFECTS = {
    "scaled": _scaled,
    "half": _half,
    "one row": _one_row,
    "a channel zero": _last_channel_zero,
    "late": _late,
    "last step zero": _last_step_zero,
}


def sometimes(condition, effect):
    def damage(proto, rng):
        ports = [p for p in proto.graph.output if _is_float(p)]
        port = ports[int(rng.integers(len(ports)))]

        def made_of(edit, name):
            changed = EFFECTS[effect](edit, name, port)
            when = CONDITIONS[condition](edit, proto)
            if changed is None or when is None:
                raise LookupError
            return edit.op("Where", when, changed, name)

        try:
            return Edit(proto).change_output(port.name, made_of)
        except LookupError:
            return False

    return damage


def always(effect):
    def damage(proto, rng):
        ports = [p for p in proto.graph.output if _is_float(p)]
        port = ports[int(rng.integers(len(ports)))]

        def made_of(edit, name):
            changed = EFFECTS[effect](edit, name, port)
            if changed is None:
                raise LookupError
            return changed

        try:
            return Edit(proto).change_output(port.name, made_of)
        except LookupError:
            return False

    return damage


# -- what goes in ---------------------------------------------------------------------------------


def clipped(name, limit):
    def damage(proto, rng):
        port = _state(proto) if name == "state" else proto.graph.input[0]
        if port is None or not _is_float(port):
            return False

        def made_of(edit, given):
            return edit.op("Clip", given, edit.const(-limit), edit.const(limit))

        return Edit(proto).change_input(port.name, made_of)

    return damage


def state_zero(proto, rng):
    port = _state(proto)
    if port is None:
        return False
    return Edit(proto).change_input(port.name, lambda edit, h: edit.op("Sub", h, h))


def state_unmoved(proto, rng):
    """The state that comes out is the one that went in."""
    port, out = _state(proto), next((p for p in proto.graph.output if p.name[-1] == "n"), None)
    if port is None or out is None:
        return False
    return Edit(proto).change_output(out.name, lambda edit, _: port.name)


def _of_each_length(change):
    def damage(proto, rng):
        port = _lengths(proto)
        return port is not None and Edit(proto).change_input(port.name, change)

    return damage


def _longest(edit, lengths):
    most = edit.op("ReduceMax", lengths, keepdims=1)
    return edit.op("Expand", most, edit.op("Shape", lengths))


def _at_most(edit, lengths):
    return edit.op("Min", lengths, edit.const(100, np.int64))


def _shorter(edit, lengths):
    one = edit.const(1, np.int64)
    return edit.op("Max", edit.op("Sub", lengths, one), one)


def ids_clipped(limit):
    def damage(proto, rng):
        port = proto.graph.input[0]
        if port.name != "ids":
            return False

        def made_of(edit, ids):
            return edit.op("Min", ids, edit.const(limit, np.int64))

        return Edit(proto).change_input(port.name, made_of)

    return damage


def inputs_half(proto, rng):
    port = proto.graph.input[0]
    if not _is_float(port):
        return False
    return Edit(proto).change_input(port.name, lambda edit, x: _half(edit, x, port))


# -- weights --------------------------------------------------------------------------------------


def of_a_weight(change):
    def damage(proto, rng):
        large = [t for t in proto.graph.initializer if t.data_type == FLOAT and np.prod(t.dims) > 3]
        if not large:
            return False
        tensor = large[int(rng.integers(len(large)))]
        array = numpy_helper.to_array(tensor).copy()
        before = array.copy()
        changed = change(array, rng)
        array = array if changed is None else np.ascontiguousarray(changed, np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return not np.array_equal(array, before)

    return damage


def _element(change):
    def edit(array, rng):
        flat = array.reshape(-1)
        at = int(rng.integers(flat.size))
        flat[at] = change(flat[at])

    return edit


def _row_zero(array, rng):
    rows = array.reshape(-1, array.shape[-1])
    rows[int(rng.integers(len(rows)))] = 0


def _rows_swapped(array, rng):
    rows = array.reshape(-1, array.shape[-1])
    if len(rows) > 1:
        a, b = rng.choice(len(rows), 2, replace=False)
        rows[[a, b]] = rows[[b, a]]


def _bfloat(array, rng):
    raw = array.view(np.uint32) & np.uint32(0xFFFF0000)
    return raw.view(np.float32)


WEIGHTS = {
    "element scaled": _element(lambda w: w * 1.05),
    "element zero": _element(lambda w: w * 0),
    "element negated": _element(lambda w: -w),
    "element large": _element(lambda w: w + 10),
    "tensor scaled": lambda array, rng: array * 1.001,
    "tensor shifted": lambda array, rng: array + 1e-3,
    "tensor negated": lambda array, rng: -array,
    "row zero": _row_zero,
    "rows swapped": _rows_swapped,
    "tensor in float16": lambda array, rng: array.astype(np.float16),
    "tensor in bfloat16": _bfloat,
    "tensor turned": lambda array, rng: array.reshape(-1)[::-1].reshape(array.shape),
}


# -- nodes ----------------------------------------------------------------------------------------


def _nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def replaced(old, new, **attributes):
    """One operator becomes another."""

    def damage(proto, rng):
        found = [n for n in _nodes(proto.graph) if n.op_type == old]
        if not found:
            return False
        node = found[int(rng.integers(len(found)))]
        node.op_type = new
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        return True

    return damage


def turned(kind):
    """The inputs of an operator change places."""

    def damage(proto, rng):
        found = [n for n in _nodes(proto.graph) if n.op_type == kind and len(n.input) == 2]
        if not found:
            return False
        node = found[int(rng.integers(len(found)))]
        first, second = node.input
        del node.input[:]
        node.input.extend([second, first])
        return first != second

    return damage


def of_a_layer(change):
    def damage(proto, rng):
        layers = [n for n in _nodes(proto.graph) if n.op_type in ("RNN", "GRU", "LSTM")]
        return bool(layers) and change(layers[int(rng.integers(len(layers)))])

    return damage


def _reversed(node):
    if any(a.name == "direction" for a in node.attribute):
        return False
    node.attribute.append(helper.make_attribute("direction", "reverse"))
    return True


def _reset_before(node):
    linear = [a for a in node.attribute if a.name == "linear_before_reset"]
    for attribute in linear:
        node.attribute.remove(attribute)
    return bool(linear)


def _other_activations(node):
    if any(a.name == "activations" for a in node.attribute):
        return False
    both = (
        2 if any(a.name == "direction" and a.s == b"bidirectional" for a in node.attribute) else 1
    )
    names = {"RNN": ["HardSigmoid"], "GRU": ["HardSigmoid", "Tanh"]}
    chosen = names.get(node.op_type, ["HardSigmoid", "Tanh", "Tanh"]) * both
    node.attribute.append(helper.make_attribute("activations", chosen))
    return True


def _with_clip(limit):
    def change(node):
        node.attribute.append(helper.make_attribute("clip", limit))
        return True

    return change


def _without_bias(node):
    if len(node.input) < 4 or not node.input[3]:
        return False
    node.input[3] = ""
    return True


def _without_lengths(node):
    if len(node.input) < 5 or not node.input[4]:
        return False
    node.input[4] = ""
    return True


KINDS = {
    **{
        f"{e} where {c}": sometimes(c, e) for c in CONDITIONS for e in ("scaled", "one row", "late")
    },
    **{f"{e}, always": always(e) for e in EFFECTS},
    **{f"input clipped at {n:g}": clipped("data", n) for n in (2.0, 5.0, 30.0, 100.0, 400.0)},
    **{f"state clipped at {n:g}": clipped("state", n) for n in (1.0, 2.5, 30.0, 100.0)},
    "state zero": state_zero,
    "state unmoved": state_unmoved,
    "lengths of the longest": _of_each_length(_longest),
    "lengths at most 100": _of_each_length(_at_most),
    "lengths shorter by one": _of_each_length(_shorter),
    "ids at most 20000": ids_clipped(20_000),
    "ids at most 35": ids_clipped(35),
    "inputs in float16": inputs_half,
    **{name: of_a_weight(change) for name, change in WEIGHTS.items()},
    "Tanh for Sigmoid": replaced("Sigmoid", "Tanh"),
    "HardSigmoid for Sigmoid": replaced("Sigmoid", "HardSigmoid", alpha=1 / 6, beta=0.5),
    "Softsign for Tanh": replaced("Tanh", "Softsign"),
    "LeakyRelu for Relu": replaced("Relu", "LeakyRelu", alpha=0.01),
    "Softmax over another axis": replaced("Softmax", "Softmax", axis=0),
    "Sub turned": turned("Sub"),
    "MatMul's sum for Mul": replaced("Mul", "Add"),
    "Mul for Add": replaced("Add", "Mul"),
    "layer reversed": of_a_layer(_reversed),
    "layer resets before": of_a_layer(_reset_before),
    "layer with other activations": of_a_layer(_other_activations),
    **{f"layer clipped at {n:g}": of_a_layer(_with_clip(n)) for n in (1.0, 5.0, 50.0)},
    "layer without biases": of_a_layer(_without_bias),
    "layer without lengths": of_a_layer(_without_lengths),
}


def damage(path, kind, rng):
    """Whether the kind applies; the file is damaged then."""
    proto = onnx.load(str(path))
    if not KINDS[kind](proto, rng):
        return False
    onnx.save(proto, str(path))
    return True

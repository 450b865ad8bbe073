"""Deliberate damage to ONNX files: each kind returns False where it does not apply."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
BIAS, LENGTHS, STATE = 3, 4, 5  # inputs of the recurrent operators


def recurrent(proto):
    return [node for node in proto.graph.node if node.op_type in GATES]


def tensor(proto, name):
    return next((t for t in proto.graph.initializer if t.name == name), None)


def edit(proto, name, change):
    """Whether there was such a weight, and the change made a difference."""
    found = tensor(proto, name)
    if found is None:
        return False
    before = numpy_helper.to_array(found)
    after = np.ascontiguousarray(change(before.copy()))
    found.CopyFrom(numpy_helper.from_array(after, name))
    return not np.array_equal(before, after)


def gates_of(node, array, change):
    """A weight [direction, gates * hidden, n] whose gates are changed."""
    parts = np.split(array, GATES[node.op_type], axis=1)
    return np.concatenate(change(parts), axis=1)


def swap_gates(proto):
    node = recurrent(proto)[0]
    if GATES[node.op_type] == 1:
        return False
    swap = lambda parts: [parts[1], parts[0], *parts[2:]]  # noqa: E731
    return edit(proto, node.input[2], lambda r: gates_of(node, r, swap))


def transpose_recurrence(proto):
    node = recurrent(proto)[0]
    turn = lambda parts: [part.swapaxes(1, 2) for part in parts]  # noqa: E731
    return edit(proto, node.input[2], lambda r: gates_of(node, r, turn))


def drop_bias(proto):
    def half(b):
        b[:, : b.shape[1] // 2] = 0
        return b

    return edit(proto, recurrent(proto)[0].input[BIAS], half)


def scale_one_weight(proto):
    def largest(w):
        w.reshape(-1)[np.abs(w).argmax()] *= np.float32(1.001)
        return w

    return edit(proto, recurrent(proto)[0].input[2], largest)


def scale_weights(proto):
    return edit(proto, recurrent(proto)[0].input[1], lambda w: w * np.float32(1.001))


def swap_layers(proto):
    nodes = recurrent(proto)
    if len(nodes) < 2:
        return False
    a, b = nodes[0], nodes[-1]
    a.input[2], b.input[2] = b.input[2], a.input[2]
    return True


def drop_linear_before_reset(proto):
    node = recurrent(proto)[0]
    found = [a for a in node.attribute if a.name == "linear_before_reset"]
    for attribute in found:
        node.attribute.remove(attribute)
    return bool(found)


def reverse_direction(proto):
    node = recurrent(proto)[0]
    for attribute in [a for a in node.attribute if a.name == "direction"]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("direction", "reverse"))
    return True


def other_activation(proto):
    node = recurrent(proto)[0]
    names = {"RNN": ["Relu"], "GRU": ["Sigmoid", "Relu"], "LSTM": ["Sigmoid", "Tanh", "Relu"]}
    for attribute in [a for a in node.attribute if a.name == "activations"]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("activations", names[node.op_type]))
    return True


def clip_cell(proto):
    recurrent(proto)[0].attribute.append(helper.make_attribute("clip", 0.05))
    return True


def ignore_lengths(proto):
    nodes = [node for node in recurrent(proto) if len(node.input) > LENGTHS and node.input[LENGTHS]]
    for node in nodes:
        node.input[LENGTHS] = ""
    return bool(nodes)


def lengths_of_other_rows(proto):
    """The last row's length is the first one's, and so on."""
    nodes = [node for node in recurrent(proto) if len(node.input) > LENGTHS and node.input[LENGTHS]]
    for node in nodes:
        right, node.input[LENGTHS] = node.input[LENGTHS], "lengths~"
    if nodes:
        constants = {"last~": [-1], "end~": [-(2**40)], "zero~": [0]}
        turn = helper.make_node("Slice", [right, "last~", "end~", "zero~", "last~"], ["lengths~"])
        first = list(proto.graph.node).index(nodes[0])
        proto.graph.node.insert(first, turn)
        _add(proto, constants)
    return bool(nodes)


def zero_initial_state(proto):
    node = recurrent(proto)[0]
    if len(node.input) <= STATE or not node.input[STATE]:
        return False
    node.input[STATE] = ""
    return True


def _between(proto, name, nodes, **constants):
    """Puts nodes that read `name~` and write `name` behind whatever makes `name`."""
    for node in proto.graph.node:
        for i, output in enumerate(node.output):
            if output == name:
                node.output[i] = f"{name}~"
    _add(proto, constants)
    proto.graph.node.extend(nodes)
    return True


def _add(proto, constants):
    for key, value in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), key))


def _first_data(proto):
    """The axes of time and batch in the output `y`, by the names that the file gives them."""
    shape = proto.graph.output[0].type.tensor_type.shape.dim
    names = [d.dim_param or d.dim_value for d in shape]
    return proto.graph.output[0].name, names


def _freeze(proto, dim, size):
    name, dims = _first_data(proto)
    if dim not in dims:
        return False
    shape = [size if d == dim else -1 if isinstance(d, str) else d for d in dims]
    node = helper.make_node("Reshape", [f"{name}~", "shape~"], [name])
    return _between(proto, name, [node], **{"shape~": shape})


def freeze_length(proto, traced=None):
    return _freeze(proto, "time", traced["time"])


def freeze_batch(proto, traced=None):
    return _freeze(proto, "batch", traced["batch"])


def late_by_one_step(proto):
    """The first step comes twice, the last one never."""
    name, dims = _first_data(proto)
    if "time" not in dims:
        return False
    axis = dims.index("time")
    nodes = [
        helper.make_node("Slice", [f"{name}~", "zero~", "one~", "axis~"], ["first~"]),
        helper.make_node("Slice", [f"{name}~", "zero~", "last~", "axis~"], ["rest~"]),
        helper.make_node("Concat", ["first~", "rest~"], [name], axis=axis),
    ]
    constants = {"zero~": [0], "one~": [1], "last~": [-1], "axis~": [axis]}
    return _between(proto, name, nodes, **constants)


def cut_long_sequences(proto):
    """Steps after the hundredth are zero, as with lengths that are clipped."""
    name, dims = _first_data(proto)
    if "time" not in dims:
        return False
    axis = dims.index("time")
    nodes = [
        helper.make_node("Slice", [f"{name}~", "zero~", "hundred~", "axis~"], ["head~"]),
        helper.make_node("Slice", [f"{name}~", "hundred~", "end~", "axis~"], ["tail~"]),
        helper.make_node("Sub", ["tail~", "tail~"], ["none~"]),
        helper.make_node("Concat", ["head~", "none~"], [name], axis=axis),
    ]
    constants = {"zero~": [0], "hundred~": [100], "end~": [2**40], "axis~": [axis]}
    return _between(proto, name, nodes, **constants)


def old_state_out(proto):
    """The state that comes out is the one that went in."""
    states = [o.name for o in proto.graph.output[1:]]
    inputs = [i.name for i in proto.graph.input if i.name in ("h0", "c0")]
    if not states:
        return False
    node = helper.make_node("Identity", [inputs[0]], [states[0]])
    return _between(proto, states[0], [node])


KINDS = (
    swap_gates,
    transpose_recurrence,
    drop_bias,
    scale_one_weight,
    scale_weights,
    swap_layers,
    drop_linear_before_reset,
    reverse_direction,
    other_activation,
    clip_cell,
    ignore_lengths,
    lengths_of_other_rows,
    zero_initial_state,
    freeze_length,
    freeze_batch,
    late_by_one_step,
    cut_long_sequences,
    old_state_out,
)


def damage(bundle, kind):
    """Whether the kind applies; the file is damaged then."""
    path, traced = bundle.artifacts["onnx"].path, bundle.traced
    proto = onnx.load(str(path))
    needs = kind in (freeze_length, freeze_batch)
    if not (kind(proto, traced) if needs else kind(proto)):
        return False
    onnx.save(proto, str(path))
    return True

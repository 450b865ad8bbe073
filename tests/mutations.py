"""Deliberate damage to exported artifacts: each kind returns False where it does not apply."""

import io
import warnings

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from rnnbench._quiet import torchscript_deprecation

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
BIAS, STATE, CELL = 3, 5, 6  # inputs of the recurrent operators


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
    for key, value in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), key))
    proto.graph.node.extend(nodes)
    return True


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
    inputs = [i.name for i in proto.graph.input[1:]]
    if not states:
        return False
    node = helper.make_node("Identity", [inputs[0]], [states[0]])
    return _between(proto, states[0], [node])


ONNX = (
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
    zero_initial_state,
    freeze_length,
    freeze_batch,
    late_by_one_step,
    cut_long_sequences,
    old_state_out,
)


def damage_onnx(path, kind, traced):
    """Whether the kind applies; the file is damaged then."""
    proto = onnx.load(str(path))
    needs = kind in (freeze_length, freeze_batch)
    if not (kind(proto, traced) if needs else kind(proto)):
        return False
    onnx.save(proto, str(path))
    return True


class Damaged(nn.Module):
    """A TorchScript module around a sound one, wrong in one way."""

    def __init__(self, inner, kind, traced, time, batch):
        super().__init__()
        self.inner, self.kind, self.traced = inner, kind, traced
        self.time, self.batch = time, batch
        self.register_buffer("kept", torch.zeros(1))

    def forward(self, x, *states):
        kind, time = self.kind, self.time
        if kind == "reverse_direction":
            x = x.flip(time)
        if kind == "zero_initial_state":
            states = tuple(torch.zeros_like(state) for state in states)
        if kind == "swap_units_of_the_state":
            states = tuple(state.flip(-1) for state in states)
        if kind == "late_input":
            x = torch.cat([x.narrow(time, 0, 1), x.narrow(time, 0, x.shape[time] - 1)], time)
        y, *after = self.inner(x, *states)
        if kind == "freeze_length":
            y = y.narrow(time, 0, self.traced["time"])
        if kind == "freeze_batch":
            y = y.narrow(self.batch, 0, self.traced["batch"])
        if kind == "late_by_one_step":
            y = torch.cat([y.narrow(time, 0, 1), y.narrow(time, 0, y.shape[time] - 1)], time)
        if kind == "old_state_out":
            after = [states[0], *after[1:]]
        if kind == "rows_leak":
            y = y + 1e-3 * y.mean(self.batch, keepdim=True)
        if kind == "keeps_its_state":
            y = y + self.kept
            self.kept += 1e-3
        if kind == "scale_output":
            y = y * 1.001
        if kind == "cut_long_sequences":
            first = y.transpose(0, time)
            y = torch.cat([first[:100], first[100:] * 0]).transpose(0, time)
        if kind == "half_precision":
            y = y.half().float()
        return (y, *after)


WRAPPED = (
    "reverse_direction",
    "zero_initial_state",
    "late_input",
    "freeze_length",
    "freeze_batch",
    "late_by_one_step",
    "old_state_out",
    "rows_leak",
    "keeps_its_state",
    "scale_output",
    "swap_units_of_the_state",
    "cut_long_sequences",
    "half_precision",
)
WEIGHTS = ("swap_gates", "transpose_recurrence", "drop_bias", "scale_one_weight", "swap_layers")
TORCHSCRIPT = (*WRAPPED, *WEIGHTS)


def damage_torchscript(bundle, kind):
    """Whether the kind applies; the file is damaged then."""
    path = bundle.artifacts["torchscript"].path
    with torchscript_deprecation():
        module = torch.jit.load(str(path))
        if kind in WEIGHTS:
            if not _damage_weights(module, kind):
                return False
            torch.jit.save(module, str(path))
            return True
        spec = bundle.inputs[0]
        if (
            kind in ("zero_initial_state", "old_state_out", "swap_units_of_the_state")
            and not bundle.states
        ):
            return False
        axes = spec.shape.index("time"), spec.shape.index("batch")
        wrapped = Damaged(module, kind, bundle.traced, *axes)
        examples = [
            torch.zeros(s.resolve(bundle.traced), dtype=getattr(torch, s.dtype))
            for s in bundle.inputs
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            traced = torch.jit.trace(wrapped.eval(), tuple(examples), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    path.write_bytes(buffer.getvalue())
    return True


@torch.no_grad()
def _damage_weights(module, kind):
    """Edits the parameters, or the constants that a frozen file has instead."""
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    squares = [t for n, t in named.items() if t.dim() == 2 and t.shape[0] % t.shape[1] == 0]
    recurrent = [t for n, t in named.items() if "hh" in n and t.dim() == 2] or squares
    biases = [t for n, t in named.items() if t.dim() == 1 and "bias" in n]
    if not recurrent or (kind == "drop_bias" and not biases):
        return False
    weight, hidden = recurrent[0], recurrent[0].shape[1]
    before = weight.clone()
    if kind == "drop_bias":
        biases[0].zero_()
        return True
    if kind == "scale_one_weight":
        weight.view(-1)[weight.abs().argmax()] *= 1.001
    elif kind == "transpose_recurrence":
        weight.copy_(torch.cat([part.T for part in before.split(hidden)]))
    elif kind == "swap_gates":
        parts = list(before.split(hidden))
        if len(parts) < 2:
            return False
        weight.copy_(torch.cat([parts[1], parts[0], *parts[2:]]))
    elif kind == "swap_layers":
        if len(recurrent) < 2 or recurrent[1].shape != weight.shape:
            return False
        weight.copy_(recurrent[1])
        recurrent[1].copy_(before)
    return not torch.equal(before, weight)

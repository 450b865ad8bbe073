"""For each hazard of `inspect` a file that has it, and one that almost has it."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.helpers import handmade
from tests.helpers.stock_files import (
    Kept,
    Layer,
    Loop,
    Normed,
    attribute,
    constant_lengths,
    declared_dynamic,
    doubled,
    edited,
    exported,
    new,
    old,
    opset,
    own_operator,
    scripted,
    sequence,
    shared,
    stale,
    traced,
    without_state,
)

GRU = "Y, hn = GRU <hidden_size = 4, linear_before_reset = 1> (x, W, R, B, , h0)"
LSTM = "Y, hn, cn = LSTM <hidden_size = 4> (x, W, R, B, , h0, c0)"
RESHAPED = ("y = Reshape (s, all)",)
OUT = ("one = Constant <value_ints = [1]> ()", "y = Squeeze (Y, one)")
"""From (time, 1, batch, 4) to (time, batch, 4)."""


def written(path, *nodes, x="time, batch, 2", h0="1, batch, 4", gates=3, opset=18, out="y"):
    """A graph in ONNX's own text form around one layer; its outputs are of unknown shapes."""
    outputs = ", ".join(f"float[] {name}" for name in out.split())
    state = f"float[{h0}] h0" + (f", float[{h0}] c0" if gates == 4 else "")
    rows = 4 * gates
    text = f"""<ir_version: 9, opset_import: ["": {opset}]>
    layer (float[{x}] x, float[1, {rows}, 2] W, float[1, {rows}, 4] R, float[1, {2 * rows}] B,
           {state}) => ({outputs}) {{ {" ".join(nodes)} }}"""
    proto = onnx.parser.parse_model(text)
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    onnx.save(proto, path)
    return path


def behind(path, *nodes, **options):
    """A GRU, and what is made of its sequence `s`: (time, batch, 4)."""
    names = [node.replace("y = Squeeze", "s = Squeeze") for node in OUT]
    return written(path, GRU, *names, *nodes, **options)


def initializer(proto, name, array):
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))


def batch_first(proto):
    """The same layer with its batch first inside of the operator."""
    attribute(layout=1)(proto)
    handmade.replace_initializer(proto, "axes", np.array([2], np.int64))
    for value in (*proto.graph.input, *proto.graph.output):
        a, b = value.type.tensor_type.shape.dim[:2]
        if a.dim_param == "time":
            a.dim_param, b.dim_param = "batch", "time"
        elif b.dim_param == "batch":
            a.dim_param, b.dim_value = "batch", 1


def quantised(path):
    """What ONNX Runtime's own quantiser makes of an LSTM."""
    from onnxruntime.quantization import quantize_dynamic

    module = nn.LSTM(3, 4)
    quantize_dynamic(old(module, path.with_name("float.onnx")), path)
    return path


def quantised_weights(path):
    """8-bit weights that are made numbers again before the layer reads them."""

    def edit(proto):
        array = handmade.initializer(proto, "W")
        scale = np.abs(array).max() / 127
        initializer(proto, "W8", np.round(array / scale).astype(np.int8))
        initializer(proto, "scale", np.float32(scale))
        proto.graph.node.insert(0, helper.make_node("DequantizeLinear", ["W8", "scale"], ["Wf"]))
        proto.graph.node[1].input[1] = "Wf"

    return edited(path, edit)


def lengths_behind(*nodes):
    """The constant lengths (5, 5), handed on by nodes from `first` to `lens`."""

    def edit(proto):
        initializer(proto, "first", np.array([5, 5], np.int64))
        for node in reversed(nodes):
            proto.graph.node.insert(0, node)
        proto.graph.node[len(nodes)].input[4] = "lens"

    return edit


def lengths_of_all_rows(proto):
    """As many steps as the input has, for each row."""
    for name, array in {"zero": np.array([0]), "second": np.array([1])}.items():
        initializer(proto, name, array)
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["steps"]),
        helper.make_node("Gather", ["sizes", "second"], ["rows"]),
        helper.make_node("Expand", ["steps", "rows"], ["long"]),
        helper.make_node("Cast", ["long"], ["lens"], to=TensorProto.INT32),
    ]
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    proto.graph.node[len(nodes)].input[4] = "lens"


def batch_of(size):
    """A state whose batch is a number; the input's stays open."""

    def edit(proto):
        proto.graph.input[1].type.tensor_type.shape.dim[1].dim_value = size

    return edit


def all_fixed(proto):
    """Every size is a number: 5 steps of 2 rows."""
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = {"time": 5, "batch": 2}[dim.dim_param]


def nan_in(name):
    """One NaN in a weight."""

    def edit(proto):
        array = handmade.initializer(proto, name).copy()
        array.flat[0] = np.nan
        handmade.replace_initializer(proto, name, array)

    return edit


def cast_at_the_end(proto):
    """The layer computes in float32; its results are handed out as float64."""
    proto.graph.node.append(helper.make_node("Cast", ["y"], ["wide"], to=TensorProto.DOUBLE))
    proto.graph.output[0].name = "wide"
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def nan_where_unknown(proto):
    """A NaN that is written in the place of what is not known: no weight."""
    initializer(proto, "unknown", np.float32(np.nan))
    initializer(proto, "no", np.array([[[False]]]))
    proto.graph.node.append(helper.make_node("Where", ["no", "unknown", "y"], ["marked"]))
    proto.graph.output[0].name = "marked"


def two_steps_of_time(path):
    """A GRU of which the exporter wrote two steps: the input may have more."""
    return written(
        path,
        "first = Constant <value_int = 0> ()",
        "second = Constant <value_int = 1> ()",
        "a = Gather (x, first)",
        "b = Gather (x, second)",
        "y = Add (a, b)",
    )


def first_step_and_all(path):
    """The first step is taken off the others, which are all read."""
    first = ("first = Constant <value_ints = [0]> ()", "a = Gather (x, first)", "b = Sub (x, a)")
    return written(path, *first, "y = ReduceSum (b)")


class Dropping(nn.Module):
    """Dropout that a file has no operator for: a mask of random numbers."""

    def __init__(self, noise=False):
        super().__init__()
        self.rnn, self.noise = nn.GRU(3, 4), noise

    def forward(self, x):
        y, random = self.rnn(x)[0], torch.rand_like(x[..., :1])
        return y + 0.1 * random if self.noise else y * (random < 0.9).to(y.dtype)


class Lstm(nn.Module):
    """Takes both states, and returns both, or the hidden one alone."""

    def __init__(self, both):
        super().__init__()
        self.rnn, self.both = nn.LSTM(3, 4), both

    def forward(self, x, h, c):
        y, (h, c) = self.rnn(x, (h, c))
        return (y, h, c) if self.both else (y, h)


def lstm(both):
    """An exported LSTM with or without its cell among the outputs."""
    states = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))

    def make(path):
        inputs = (torch.zeros(5, 2, 3), *states)
        return old(Lstm(both), path, inputs=inputs, names=("x", "h", "c"))

    return make


def in_eval_mode(path):
    return traced(Normed().eval(), path)


class Buffered(nn.Module):
    """A state that is a buffer, and only read."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.register_buffer("h", torch.zeros(1, 4))

    def forward(self, x):
        return self.cell(x, self.h)


def starting_from(rows):
    """A change to a first state that is a number for each row of a batch of two."""

    def change(proto):
        from_input = [v for v in proto.graph.input if v.name == "h0"]
        for value in from_input:
            proto.graph.input.remove(value)
        initializer(proto, "h0", np.tile(np.array(rows, np.float32), (1, 1, 4)))

    return change


def unread(is_so):
    """A change that adds the lengths of the rows, read by the layer or by nothing."""

    def change(proto):
        lengths = helper.make_tensor_value_info("n", TensorProto.INT32, ["batch"])
        proto.graph.input.append(lengths)
        (layer,) = [n for n in proto.graph.node if n.op_type == "GRU"]
        if not is_so:
            layer.input[4] = "n"

    return change


HAS = {
    "frozen_length": lambda p: declared_dynamic(new(Layer(), p, ({1: "batch"},))),
    "unrolled_loop": lambda p: old(Loop(), p),
    "foldable_weights": lambda p: new(Layer(hidden=64), p),
    "baked_device": lambda p: traced(Layer(), p),
    "no_state_output": lambda p: old(Layer(), p),
    "training_dropout": lambda p: exported(Layer(num_layers=2, dropout=0.3), p),
    "kept_state": lambda p: scripted(Kept(), p),
    "backward_direction": lambda p: old(Layer(bidirectional=True), p),
    "linear_before_reset": lambda p: edited(p, attribute(linear_before_reset=0)),
    "layout": lambda p: edited(p, batch_first),
    "opset": lambda p: edited(p, opset(22)),
    "float_type": lambda p: edited(p, doubled),
    "constant_lengths": lambda p: edited(p, constant_lengths),
    "constant_positions": two_steps_of_time,
    "lost_state": lstm(both=False),
    "nan_weights": lambda p: edited(p, nan_in("R")),
    "engine_gaps": lambda p: edited(p, attribute(clip=2.0)),
    "no_initial_state": lambda p: edited(p, without_state),
    "sequence_construct": lambda p: edited(p, sequence),
    "shared_output": lambda p: edited(p, shared),
    "stale_shapes": lambda p: edited(p, stale),
    "quantised_per_call": quantised,
    "one_engine_only": lambda p: edited(p, own_operator("com.microsoft", "Gelu")),
    "frozen_batch": lambda p: edited(p, batch_of(2)),
    "baked_state": lambda p: edited(p, starting_from([[1.0], [2.0]])),
    "unread_input": lambda p: edited(p, unread(True)),
}
"""Hazard -> a file that has it, written to a path."""

ALMOST = {
    "frozen_length": lambda p: behind(p, "all = Constant <value_ints = [0, -1, 2]> ()", *RESHAPED),
    "unrolled_loop": lambda p: old(nn.GRU(3, 4, num_layers=3), p),
    "foldable_weights": lambda p: old(Layer(hidden=64), p),
    "baked_device": lambda p: scripted(Layer(), p),
    "no_state_output": lambda p: old(nn.GRU(3, 4), p),
    "training_dropout": in_eval_mode,
    "kept_state": lambda p: scripted(Buffered(), p),
    "backward_direction": lambda p: edited(p, attribute(direction="forward")),
    "linear_before_reset": lambda p: edited(p, attribute(linear_before_reset=1)),
    "layout": lambda p: edited(p, attribute(layout=0)),
    "opset": lambda p: edited(p, opset(21)),
    "float_type": lambda p: edited(p, cast_at_the_end),
    "constant_lengths": lambda p: edited(p, lengths_of_all_rows),
    "constant_positions": first_step_and_all,
    "lost_state": lstm(both=True),
    "nan_weights": lambda p: edited(p, nan_where_unknown),
    "engine_gaps": lambda p: edited(p, attribute(activations=["Sigmoid", "Tanh"])),
    "no_initial_state": lambda p: edited(p, lambda proto: None),
    "sequence_construct": lambda p: edited(p, stale),
    "shared_output": lambda p: edited(p, stale),
    "stale_shapes": lambda p: written(p, GRU, *OUT, x="s27, batch, 2"),
    "quantised_per_call": quantised_weights,
    "one_engine_only": lambda p: edited(p, own_operator("ai.onnx", "Gelu")),
    "frozen_batch": lambda p: edited(p, all_fixed),
    "baked_state": lambda p: edited(p, starting_from([[0.0], [0.0]])),
    "unread_input": lambda p: edited(p, unread(False)),
}
"""Hazard -> a file that has all but that."""

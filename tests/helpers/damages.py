"""Damages to the graph of tests/helpers/handmade.py, each to be caught."""

import numpy as np
import onnx
from onnx import helper

from tests.helpers import handmade


def change(name):
    """A damage that edits one initializer."""

    def decorate(edit):
        def damage(proto):
            array = handmade.initializer(proto, name)
            handmade.replace_initializer(proto, name, edit(array))

        damage.__name__ = edit.__name__
        return damage

    return decorate


@change("W")
def weights_scaled(w):
    return w * np.float32(1.001)


@change("R")
def one_weight_scaled(r):
    r[0, -1, 0] *= np.float32(1.001)
    return r


@change("W")
def gates_swapped(w):
    z, r, n = np.split(w, 3, axis=1)
    return np.concatenate([r, z, n], axis=1)


@change("R")
def recurrence_transposed(r):
    return np.concatenate([part.swapaxes(1, 2) for part in np.split(r, 3, axis=1)], axis=1)


@change("B")
def bias_dropped(b):
    b[:, b.shape[1] // 2 :] = 0
    return b


@change("B")
def bias_is_nan(b):
    b[0, 0] = np.nan
    return b


def output_is_nan(proto):
    proto.graph.node[1].output[0] = "finite"
    nan = np.zeros(handmade.HIDDEN, np.float32)
    nan[-1] = np.nan
    proto.graph.initializer.append(onnx.numpy_helper.from_array(nan, "nan"))
    proto.graph.node.append(helper.make_node("Add", ["finite", "nan"], ["y"]))


def reset_before(proto):
    attributes = proto.graph.node[0].attribute
    attributes.remove(next(a for a in attributes if a.name == "linear_before_reset"))


def direction_reversed(proto):
    proto.graph.node[0].attribute.append(helper.make_attribute("direction", "reverse"))


def zero_state(proto):
    proto.graph.node[0].input[5] = ""


def output_missing(proto):
    proto.graph.output.pop()


def output_renamed(proto):
    proto.graph.output[0].name = "z"
    proto.graph.node[1].output[0] = "z"


def outputs_without_squeeze(proto):
    del proto.graph.node[1]
    proto.graph.node[0].output[0] = "y"
    proto.graph.output[0].type.tensor_type.ClearField("shape")


def output_in_float64(proto):
    proto.graph.node[1].output[0] = "narrow"
    proto.graph.node.append(helper.make_node("Cast", ["narrow"], ["y"], to=onnx.TensorProto.DOUBLE))
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def reshape_y(*shape):
    def damage(proto):
        del proto.graph.node[1]
        handmade.replace_initializer(proto, "axes", np.array(shape, np.int64))
        proto.graph.node.append(helper.make_node("Reshape", ["Y", "axes"], ["y"]))

    return damage


def length_frozen(proto):
    reshape_y(handmade.TRACED["time"], -1, handmade.HIDDEN)(proto)


def batch_frozen(proto):
    reshape_y(-1, handmade.TRACED["batch"], handmade.HIDDEN)(proto)


def late_by_one_step(proto):
    """The step's result comes one step later: the last state is fed around."""
    proto.graph.node[1].output[0] = "early"
    tensors = {"start": [0], "end": [-1], "zero": [0]}
    for name, value in tensors.items():
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        )
    proto.graph.node.append(helper.make_node("Slice", ["early", "start", "end", "zero"], ["head"]))
    proto.graph.node.append(helper.make_node("Concat", ["h0", "head"], ["y"], axis=0))


def file_truncated(proto):
    del proto.graph.node[0].input[2:]


DAMAGES = [
    weights_scaled,
    one_weight_scaled,
    gates_swapped,
    recurrence_transposed,
    bias_dropped,
    bias_is_nan,
    output_is_nan,
    reset_before,
    direction_reversed,
    zero_state,
    output_missing,
    output_renamed,
    outputs_without_squeeze,
    output_in_float64,
    length_frozen,
    batch_frozen,
    late_by_one_step,
    file_truncated,
]

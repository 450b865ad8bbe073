"""Recurrent nodes with every attribute of the specification, drawn by hypothesis."""

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}
# activation -> how many of alpha and beta it takes
TAKES = {
    "Relu": 0,
    "Tanh": 0,
    "Sigmoid": 0,
    "Softsign": 0,
    "Softplus": 0,
    "LeakyRelu": 1,
    "ThresholdedRelu": 1,
    "Elu": 1,
    "Affine": 2,
    "ScaledTanh": 2,
    "HardSigmoid": 2,
}


@dataclass(frozen=True)
class Drawn:
    """A node, and arrays for all of its inputs."""

    node: onnx.NodeProto
    arrays: dict
    opset: int

    @property
    def attributes(self):
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute}

    def model(self, weights=("W", "R", "B", "P")):
        """A graph of the node, with those of its inputs as initializers."""
        given = {k: v for k, v in self.arrays.items() if k not in weights}
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
            )
            for name, array in given.items()
        ]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in self.node.output
            if name
        ]
        tensors = [
            onnx.numpy_helper.from_array(self.arrays[name], name)
            for name in weights
            if name in self.arrays
        ]
        graph = helper.make_graph([self.node], "drawn", inputs, outputs, tensors)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def feeds(self, weights=("W", "R", "B", "P")):
        return {k: v for k, v in self.arrays.items() if k not in weights}


def _activations(draw, count):
    names = draw(st.lists(st.sampled_from(sorted(TAKES)), min_size=count, max_size=count))
    number = st.floats(0.125, 1.5, width=32)
    alphas = [draw(number) for name in names if TAKES[name]]
    betas = [draw(number) for name in names if TAKES[name] == 2]
    return {
        "activations": names,
        **({"activation_alpha": alphas} if alphas else {}),
        **({"activation_beta": betas} if betas else {}),
    }


@st.composite
def layers(draw, kinds=tuple(GATES), layouts=(0,), least_length=1, clips=True):
    op = draw(st.sampled_from(kinds))
    hidden, size, batch, steps = (draw(st.integers(1, most)) for most in (4, 3, 3, 6))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    ways = 2 if direction == "bidirectional" else 1
    layout = draw(st.sampled_from(layouts))
    attributes = {"hidden_size": hidden}
    if direction != "forward" or draw(st.booleans()):
        attributes["direction"] = direction
    if layout:
        attributes["layout"] = layout
    if draw(st.booleans()):
        attributes |= _activations(draw, FUNCTIONS[op] * ways)
    if clips and draw(st.booleans()):
        attributes["clip"] = draw(st.floats(0.25, 2.0, width=32))
    flag = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(op)
    if flag and draw(st.booleans()):
        attributes[flag] = draw(st.integers(0, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = GATES[op] * hidden

    def made(*shape):  # small, as unbounded activations make powers of it
        return (0.5 * rng.normal(size=shape)).astype(np.float32)

    rows = (batch, ways, hidden) if layout else (ways, batch, hidden)
    arrays = {
        "X": made(batch, steps, size) if layout else made(steps, batch, size),
        "W": made(ways, width, size),
        "R": made(ways, width, hidden),
    }
    optional = {
        "B": made(ways, 2 * width),
        "lens": rng.integers(least_length, steps + 1, batch).astype(np.int32),
        "h0": made(*rows),
    }
    if op == "LSTM":
        optional |= {"c0": made(*rows), "P": made(ways, 3 * hidden)}
    present = {name for name in optional if draw(st.booleans())}
    arrays |= {name: array for name, array in optional.items() if name in present}
    names = [*"XWR", *(name if name in present else "" for name in optional)]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 1 + STATES[op]]
    asked = draw(st.sets(st.sampled_from(outputs), min_size=1))
    outputs = [name if name in asked else "" for name in outputs]
    opset = draw(st.sampled_from([14, 17, 21, 22] if layout else [7, 11, 14, 17, 21, 22]))
    node = helper.make_node(op, names, outputs, name="layer", **attributes)
    return Drawn(node, arrays, opset)

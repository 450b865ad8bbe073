"""Small valid ONNX files of one layer each, in which one thing is not the usual one.

The usual one is a forward layer with an explicit initial state, biases and all its outputs.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.helpers.layer_reference import compute

STEPS, INPUT, HIDDEN = 5, 4, 3
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
FED = ("X", "sequence_lens", "initial_h", "initial_c")
OPSETS = (14, 22)
"""The first with `layout`, and the last in which the operators changed."""


@dataclass(frozen=True)
class Probe:
    """One layer with one thing that is not usual.

    Attributes:
        op: RNN, GRU or LSTM.
        attribute: what is not usual: the attribute or input as a `Gap` names it; empty for none.
        attributes: of the node.
        without: the inputs that are left out.
        given: the inputs that are there, and are usually not.
        unread: the outputs that are left out.
    """

    op: str
    attribute: str
    attributes: dict = field(default_factory=dict)
    without: tuple = ()
    given: tuple = ()
    unread: tuple = ()

    @property
    def name(self):
        return f"{self.op} {self.attribute}".strip()

    @property
    def directions(self):
        return 2 if self.attributes.get("direction") == "bidirectional" else 1

    def inputs(self, batch, seed=0):
        """The operator's inputs by the names of its definition."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        n, gates = self.directions, GATES[self.op]
        state = (batch, n, HIDDEN) if self.attributes.get("layout") else (n, batch, HIDDEN)
        shapes = {
            "X": (batch, STEPS, INPUT) if self.attributes.get("layout") else (STEPS, batch, INPUT),
            "W": (n, gates * HIDDEN, INPUT),
            "R": (n, gates * HIDDEN, HIDDEN),
            "B": (n, 2 * gates * HIDDEN),
            "initial_h": state,
            "initial_c": state,
            "P": (n, 3 * HIDDEN),
        }
        found = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}
        lengths = [STEPS - 2, STEPS, 1][:batch]
        found["sequence_lens"] = np.array(lengths, np.int32)
        usual = set(INPUTS[self.op]) - {"sequence_lens", "P"}
        wanted = (usual | set(self.given)) - set(self.without)
        return {name: found[name] for name in INPUTS[self.op] if name in wanted}

    def file(self, batch, opset, dynamic=False, seed=0):
        """The file, what to feed it, and what it computes; its sequence is as PyTorch's.

        y, hn, cn = LSTM(...); Y = Squeeze(y), or Transpose and Reshape of both directions
        """
        values = self.inputs(batch, seed)
        fed = {k: values[k] for k in FED if k in values}
        names = _trimmed(name if name in values else "" for name in INPUTS[self.op])
        every = ["y", "Y_h", "Y_c"][: 3 if self.op == "LSTM" else 2]
        outputs = _trimmed("" if name.replace("y", "Y") in self.unread else name for name in every)
        node = helper.make_node(
            self.op, names, outputs, name="layer", hidden_size=HIDDEN, **self.attributes
        )
        more, constants = self._sequence()
        expected = self.expected(values)
        weights = {k: values[k] for k in ("W", "R", "B", "P") if k in values} | constants
        graph = helper.make_graph(
            [node, *more],
            "made",
            [self._port(k, array, dynamic) for k, array in fed.items()],
            [self._port(k, array, dynamic) for k, array in expected.items()],
            [onnx.numpy_helper.from_array(array, k) for k, array in weights.items()],
        )
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        onnx.checker.check_model(proto, full_check=True)
        return proto, fed, expected

    def _sequence(self):
        """What makes [time, batch, directions * hidden] of the layer's own, and its constants."""
        if "Y" in self.unread:
            return [], {}
        if self.directions == 1:
            axis = 2 if self.attributes.get("layout") else 1
            return [helper.make_node("Squeeze", ["y", "axis"], ["Y"])], {"axis": np.array([axis])}
        turned = helper.make_node("Transpose", ["y"], ["turned"], perm=[0, 2, 1, 3])
        flat = helper.make_node("Reshape", ["turned", "shape"], ["Y"])
        return [turned, flat], {"shape": np.array([0, 0, -1])}

    def _port(self, name, array, dynamic):
        kind = TensorProto.INT32 if name == "sequence_lens" else TensorProto.FLOAT
        shape = self.dims(name, array.shape) if dynamic else array.shape
        return helper.make_tensor_value_info(name, kind, shape)

    def dims(self, name, shape):
        """The shape of an input or output with names for batch and time."""
        first = self.attributes.get("layout")
        axes = {
            "X": ("batch", "time") if first else ("time", "batch"),
            "sequence_lens": ("batch",),
            "Y": ("batch", "time") if first else ("time", "batch"),
        }.get(name, ("batch",) if first else (None, "batch"))
        return [axes[i] if i < len(axes) and axes[i] else n for i, n in enumerate(shape)]

    def expected(self, values):
        """What the file computes, by the reference in float64."""
        found = compute(self.op, {**self.attributes, "hidden_size": HIDDEN}, values)
        y = found["Y"]
        y = y if self.attributes.get("layout") else y.transpose(0, 2, 1, 3)
        found["Y"] = y.reshape(*y.shape[:2], -1)
        return {k: v for k, v in found.items() if k not in self.unread}


def _trimmed(names):
    names = list(names)
    while not names[-1]:
        names.pop()
    return names


def probes():
    """Every op with every attribute and input that it has, one at a time."""
    return list(_probes())


def _probes():
    for op in GATES:
        usual = {"linear_before_reset": 1} if op == "GRU" else {}

        def made(attribute, op=op, usual=usual, attributes=(), **more):
            return Probe(op, attribute, usual | dict(attributes), **more)

        states = ("initial_h", "initial_c")[: 2 if op == "LSTM" else 1]
        yield made("")
        yield made("no initial state", without=states)
        yield made("no B", without=("B",))
        yield made("no Y", unread=("Y",))
        yield made("direction=forward", attributes={"direction": "forward"})
        yield made("direction=reverse", attributes={"direction": "reverse"})
        yield made("direction=bidirectional", attributes={"direction": "bidirectional"})
        yield made("activations", attributes={"activations": ACTIVATIONS[op]})
        yield made(
            "activation_alpha",
            attributes={
                "activations": [*DEFAULTS_BEFORE[op], "LeakyRelu"],
                "activation_alpha": [0.4],
            },
        )
        yield made("clip", attributes={"clip": 0.4})
        yield made("layout", attributes={"layout": 1})
        yield made("sequence_lens", given=("sequence_lens",))
        if op == "GRU":
            yield made("linear_before_reset=0", attributes={"linear_before_reset": 0})
        if op == "LSTM":
            yield made("input_forget", attributes={"input_forget": 1})
            yield made("P", given=("P",))


ACTIVATIONS = {"RNN": ["Relu"], "GRU": ["Sigmoid", "Relu"], "LSTM": ["Sigmoid", "Relu", "Tanh"]}
DEFAULTS_BEFORE = {"RNN": [], "GRU": ["Sigmoid"], "LSTM": ["Sigmoid", "Tanh"]}

"""Recurrences as converters of Keras write them: its PyTorch backend, and tf2onnx of TensorFlow.

Weights are (features, gates * hidden) as Keras has them: i f c o, and z r h.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES, HIDDEN, STEPS = 3, 4, 6
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def weights(kind, seed=0):
    """kernel, recurrent kernel, bias; of a GRU two biases, one below the other."""
    rng = np.random.default_rng(seed)
    size = GATES[kind] * HIDDEN
    bias = (2, size) if kind == "gru" else (size,)
    shapes = ((FEATURES, size), (HIDDEN, size), bias)
    return tuple(0.5 * rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def keras(kind, x, *, backwards=False, seed=0, h=None):
    """What Keras computes, (batch, time, hidden), in the order in which it is computed; float64."""
    w, r, b = (a.astype(np.float64) for a in weights(kind, seed))

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h = np.zeros((len(x), HIDDEN)) if h is None else h
    c, steps = np.zeros_like(h), []
    for t in range(x.shape[1])[:: -1 if backwards else 1]:
        if kind == "gru":
            given, of_state = x[:, t] @ w + b[0], h @ r + b[1]
            (az, ar, an), (bz, br, bn) = (np.split(a, 3, -1) for a in (given, of_state))
            z = sigmoid(az + bz)
            h = z * h + (1 - z) * np.tanh(an + sigmoid(ar + br) * bn)
        elif kind == "lstm":
            i, f, g, o = np.split(x[:, t] @ w + h @ r + b, 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            h = np.tanh(x[:, t] @ w + h @ r + b)
        steps.append(h)
    return np.stack(steps, 1)


class Writer:
    """Adds nodes to a graph, each with one result unless it says more."""

    def __init__(self, prefix=""):
        self.nodes, self.tensors, self._prefix, self._count = [], [], prefix, 0

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        self._count += 1
        stem = f"{self._prefix}{kind}_{self._count}"
        names = [f"{stem}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=stem, **attributes))
        return names[0] if outputs == 1 else names

    def number(self, value, dtype=np.int64):
        self._count += 1
        return self.weight(f"{self._prefix}number_{self._count}", np.array(value, dtype))

    def weight(self, name, array):
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def kept(self, name):
        """A Cast to the type that it has, as every operation of Keras begins with one."""
        return self("Cast", name, to=TensorProto.FLOAT)


def _cell(made, kind, given, of_state, h, c, keep=lambda name: name):
    """One step from the two products: the new states."""
    cuts = made.number([HIDDEN] * GATES[kind])

    def parts(name):
        return made("Split", name, cuts, axis=1, outputs=GATES[kind])

    def gate(activation, name):
        return made(activation, keep(name))

    if kind == "rnn":
        return gate("Tanh", made("Add", given, of_state)), c
    if kind == "lstm":
        i, f, g, o = parts(made("Add", given, of_state))
        old = made("Mul", gate("Sigmoid", f), c)
        c = keep(made("Add", old, made("Mul", gate("Sigmoid", i), gate("Tanh", g))))
        return made("Mul", gate("Sigmoid", o), made("Tanh", c)), c
    (az, ar, an), (bz, br, bn) = parts(given), parts(of_state)
    z = gate("Sigmoid", made("Add", az, bz))
    r = gate("Sigmoid", made("Add", ar, br))
    n = gate("Tanh", made("Add", an, made("Mul", r, bn)))
    one = made.number(1, np.float32)
    return made("Add", made("Mul", z, h), made("Mul", made("Sub", one, z), n)), c


def unrolled(path, kind, *, backwards=False, chosen=False, last=False):
    """As Keras's PyTorch backend exports a layer: (batch, 6, 3) -> (batch, 6, 4).

    Args:
        path: where it goes.
        kind: `rnn`, `gru` or `lstm`.
        backwards: `go_backwards=True`, a Slice of step -1.
        chosen: each step is chosen by `step < steps`, both of which are numbers.
        last: the last step alone is the output.
    """
    made = Writer()
    w, r, b = weights(kind)
    names = [made.weight(n, a) for n, a in (("kernel", w), ("recurrent", r))]
    bias, other = (b[0], b[1]) if kind == "gru" else (b, None)
    bias = made.weight("bias", bias)
    other = None if other is None else made.weight("recurrent_bias", other)
    x = made.kept(made.kept("x"))
    batch = made("Unsqueeze", made("Gather", made("Shape", x), made.number(0)), made.number([0]))
    sizes = made("Concat", batch, made.number([HIDDEN]), axis=0)
    h = c = made.kept(made("ConstantOfShape", sizes))
    if backwards:
        ends = [made.number([n]) for n in (-1, -(2**63) + 1, 1, -1)]
        x = made("Slice", x, *ends)
    turned = made("Transpose", x, perm=[1, 0, 2])
    given = made("Add", made("MatMul", turned, names[0]), bias)
    many = made("Gather", made("Shape", x), made.number(1)) if chosen else ""
    steps, before = [], made("ConstantOfShape", sizes) if chosen else ""
    for t in range(STEPS):
        of_state = made("MatMul", h, names[1])
        of_state = of_state if other is None else made("Add", of_state, other)
        one = made("Gather", given, made.number(t), axis=0)
        h, c = _cell(made, kind, one, of_state, h, c, made.kept)
        if chosen:
            h = made("Where", made("Greater", many, made.number(t)), h, before)
            before = h
        steps.append(h)
    if last:
        made("Identity", steps[-1])
    else:
        many = [made("Unsqueeze", h, made.number([0])) for h in steps]
        made("Transpose", made("Concat", *many, axis=0), perm=[1, 0, 2])
    shape = ["batch", HIDDEN] if last else ["batch", STEPS, HIDDEN]
    _save(path, made, ["batch", STEPS, FEATURES], shape)


def looped(path, kind, *, steps=None, backwards=False, first=None):
    """As tf2onnx writes `tf.while_loop` of a Keras layer: weights and a counter are handed on.

    Args:
        path: where it goes.
        kind: `rnn` or `gru` (an LSTM it writes as an LSTM).
        steps: written down; else any.
        backwards: `go_backwards=True`, a ReverseSequence.
        first: the states of a stateful layer, (batch, hidden).
    """
    made = Writer()
    w, r, b = weights(kind)
    carried = [made.weight(n, a) for n, a in (("kernel", w), ("recurrent", r), ("bias", b))]
    turned = made("Transpose", "x", perm=[1, 0, 2])
    rows = made("Gather", made("Shape", turned), made.number([1]))
    if backwards:
        many = made("Gather", made("Shape", turned), made.number([0]))
        lengths = made("Expand", many, rows)
        turned = made("ReverseSequence", turned, lengths, batch_axis=1, time_axis=0)
    if steps is None:
        cast = made("Cast", made("Shape", "x"), to=TensorProto.INT32)
        one = made("Slice", cast, made.number([1]), made.number([2]), made.number([0]))
        count = made("Cast", made("Squeeze", one, made.number([0])), to=TensorProto.INT64)
        bound = made("Cast", count, to=TensorProto.FLOAT)
    else:
        count, bound = made.number(steps), made.number(steps, np.float32)
    below = made("Less", made.number(0, np.float32), bound)
    if first is None:
        sizes = made("Concat", rows, made.number([HIDDEN]), axis=0)
        h0 = made("Expand", made.number(0, np.float32), sizes)
    else:
        h0 = made.weight("h0", first.astype(np.float32))
    body = _body(kind, turned, bound if steps is None else None, steps)
    ends = [f"end_{i}" for i in range(6)]
    inputs = [count, made("And", below, below), made.number(0, np.int32), h0, *carried]
    made.nodes.append(helper.make_node("Loop", inputs, ends, name="while", body=body))
    made("Transpose", ends[-1], perm=[1, 0, 2])
    size = "time" if steps is None else steps
    batch = "batch" if first is None else len(first)
    _save(path, made, [batch, size, FEATURES], [batch, size, HIDDEN])


def _body(kind, sequence, bound, steps):
    made = Writer("while/")
    shapes = {
        name: array.shape
        for name, array in zip(("kernel", "recurrent", "bias"), weights(kind), strict=True)
    }
    types = [("i", (), TensorProto.INT64), ("go", (), TensorProto.BOOL)]
    types += [("k", (), TensorProto.INT32), ("h", ("unk", HIDDEN), TensorProto.FLOAT)]
    types += [(f"{name}_in", shape, TensorProto.FLOAT) for name, shape in shapes.items()]
    x = made("Gather", sequence, "k")
    given, of_state = made("MatMul", x, "kernel_in"), made("MatMul", "h", "recurrent_in")
    if kind == "gru":
        halves = made("Split", "bias_in", axis=0, outputs=2)
        of_input, other = (made("Squeeze", half, made.number([0])) for half in halves)
        of_state = made("Add", of_state, other)
    else:
        of_input = "bias_in"
    h, _ = _cell(made, kind, made("Add", given, of_input), of_state, "h", None)
    k = made("Add", "k", made.number(1, np.int32))
    if bound is None:
        bound = made.number(steps, np.float32)
    tests = [made("Less", made("Cast", name, to=TensorProto.FLOAT), bound) for name in ("i", k)]
    go = made("And", *tests)
    results = [go, k, made("Identity", h), *(f"{n}_in" for n in shapes), h]
    again = [types[1], types[2], *types[3:], types[3]]

    def value(name, shape, kind):
        return helper.make_tensor_value_info(name, kind, shape)

    return helper.make_graph(
        made.nodes,
        "body",
        [value(*each) for each in types],
        [value(n, *each[1:]) for n, each in zip(results, again, strict=True)],
        made.tensors,
    )


def _save(path, made, given, returned):
    made.nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        made.nodes,
        "converted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, returned)],
        made.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))

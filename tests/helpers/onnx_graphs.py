"""ONNX graphs of one recurrent node or one Scan, inputs for them, and what they compute."""

import numpy as np
import onnx
from onnx import TensorProto, helper

HIDDEN, ROWS, STEPS = 3, 2, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def layer(
    kind,
    direction,
    *,
    lengths=False,
    states=False,
    dims=("time", "batch"),
    relu=True,
    layout=0,
    peepholes=False,
    resets_after=True,
):
    """A graph of one recurrent node with all its outputs."""
    rng = np.random.default_rng(0)
    n = 2 if direction == "bidirectional" else 1
    size = GATES[kind] * HIDDEN
    shapes = {"W": (n, size, 4), "R": (n, size, HIDDEN), "B": (n, 2 * size)}
    weights = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*dims, 4])]
    names = ["x", "W", "R", "B", "lengths" if lengths else "", ""]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [dims[1]]))
    if peepholes:
        names += ["", "P"]
        weights["P"] = rng.standard_normal((n, 3 * HIDDEN)).astype(np.float32)
    if states:
        names[5] = "h0"
        inputs.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [n, dims[1], HIDDEN]))
    outputs = ["y", "hn", "cn"][: 3 if kind == "LSTM" else 2]
    extra = {"linear_before_reset": int(resets_after)} if kind == "GRU" else {}
    if kind == "RNN" and relu:
        extra = {"activations": ["Relu", "Tanh"][:n]}
    if layout:  # batch first; the shapes here are not
        extra["layout"] = layout
    node = helper.make_node(
        kind, names, outputs, hidden_size=HIDDEN, direction=direction, name="layer", **extra
    )
    shapes = {"y": [dims[0], n, dims[1], HIDDEN]}
    values = [
        helper.make_tensor_value_info(o, TensorProto.FLOAT, shapes.get(o, [n, dims[1], HIDDEN]))
        for o in outputs
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "made", inputs, values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def feeds(proto):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((STEPS, ROWS, 4)).astype(np.float32)
    n = next(i.dims[0] for i in proto.graph.initializer if i.name == "W")
    given = {
        "x": x,
        "lengths": np.array([STEPS, 2], np.int32),
        "h0": rng.standard_normal((n, ROWS, HIDDEN)).astype(np.float32),
    }
    return {value.name: given[value.name] for value in proto.graph.input}


def run(proto, arrays):
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, arrays), strict=True))


def same(proto, changed, arrays, atol=1e-6):
    expected, got = run(proto, arrays), run(changed, arrays)
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, atol=atol)


def scanned(steps="time", directions=(0, 1), out=(0, 1), axis=0):
    """Two sequences, one from its end, summed into a state; a result of the outer graph inside."""
    shape = [steps, ROWS] if axis == 0 else [ROWS, steps]
    made = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "a"], ["t"], name="n1"),
            helper.make_node("Mul", ["t", "scale"], ["u"], name="n2"),
            helper.make_node("Sub", ["u", "b"], ["next"], name="n3"),
            helper.make_node("Identity", ["t"], ["o1"], name="n4"),
            helper.make_node("Tanh", ["next"], ["o2"], name="n5"),
        ],
        "body",
        [made(n, TensorProto.FLOAT, [ROWS]) for n in ("s", "a", "b")],
        [made(n, TensorProto.FLOAT, [ROWS]) for n in ("next", "o1", "o2")],
    )
    node = helper.make_node(
        "Scan",
        ["s0", "x", "z"],
        ["sn", "p", "q"],
        name="loop",
        body=body,
        num_scan_inputs=2,
        scan_input_axes=[axis, axis],
        scan_input_directions=directions,
        scan_output_axes=[axis, axis],
        scan_output_directions=out,
    )
    graph = helper.make_graph(
        [helper.make_node("Exp", ["half"], ["scale"], name="e"), node],
        "made",
        [made("s0", TensorProto.FLOAT, [ROWS]), *(made(n, TensorProto.FLOAT, shape) for n in "xz")],
        [made("sn", TensorProto.FLOAT, [ROWS]), *(made(n, TensorProto.FLOAT, shape) for n in "pq")],
        [onnx.numpy_helper.from_array(np.float32([-0.5, 0.2]), "half")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def kinds(proto):
    return [node.op_type for node in proto.graph.node]

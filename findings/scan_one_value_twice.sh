#!/usr/bin/env bash
# One value as the state and as the output of a Scan's step: onnxruntime writes neither right, silently
#
# onnx 1.23.2, onnxruntime 1.32.0, seen on 2026-11-30. A running sum as a Scan: its step computes s + x_t, and
# gives that as the next state and as its output. onnx's checker (full_check) takes the body that names the
# value twice, and its reference evaluator computes it. onnxruntime loads it without a word, and the outputs are
# other numbers; with an Identity for one of the two they are right. The same body in a Loop is right.
#
# Output seen:
#   Scan, an Identity for the output: right
#   Scan, one name twice:             WRONG
#   Loop, an Identity for the output: right
#   Loop, one name twice:             right
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

cat > "$folder/twice.py" <<'P'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

value = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT
OPSET = [helper.make_opsetid("", 18)]


def results(twice):
    """The nodes of a step behind the sum, and the names of its two results."""
    if twice:
        return [], [value("s", FLOAT, [2]), value("s", FLOAT, [2])]
    return [helper.make_node("Identity", ["s"], ["y"])], [value("s", FLOAT, [2]), value("y", FLOAT, [2])]


def scan(twice):
    more, outputs = results(twice)
    nodes = [helper.make_node("Add", ["before", "x_t"], ["s"]), *more]
    body = helper.make_graph(nodes, "step", [value("before", FLOAT, [2]), value("x_t", FLOAT, [2])], outputs)
    node = helper.make_node("Scan", ["s0", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    inputs = [value("s0", FLOAT, [2]), value("x", FLOAT, ["time", 2])]
    return model([node], inputs)


def loop(twice):
    more, outputs = results(twice)
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["x_t"]),
        helper.make_node("Add", ["before", "x_t"], ["s"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
        *more,
    ]
    flag = TensorProto.BOOL
    inputs = [value("i", TensorProto.INT64, []), value("go", flag, []), value("before", FLOAT, [2])]
    body = helper.make_graph(nodes, "step", inputs, [value("go_on", flag, []), *outputs])
    count = [
        helper.make_node("Shape", ["x"], ["n1"], start=0, end=1),
        helper.make_node("Squeeze", ["n1"], ["n"]),
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", flag, [], [True])),
    ]
    node = helper.make_node("Loop", ["n", "yes", "s0"], ["last", "all"], body=body)
    return model([*count, node], [value("s0", FLOAT, [2]), value("x", FLOAT, ["time", 2])])


def model(nodes, inputs):
    outputs = [value("last", FLOAT, [2]), value("all", FLOAT, ["time", 2])]
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    made = helper.make_model(graph, opset_imports=OPSET, ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


x = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
given = {"s0": np.zeros(2, np.float32), "x": x}
found = []
for name, make in (("Scan", scan), ("Loop", loop)):
    for what, twice in (("an Identity for the output:", False), ("one name twice:", True)):
        made = make(twice)
        reference = ReferenceEvaluator(made).run(None, given)
        assert np.array_equal(reference[1], np.cumsum(x, 0)), "the reference evaluator"
        assert np.array_equal(reference[0], x.sum(0)), "the reference evaluator"
        seen = onnxruntime.InferenceSession(made.SerializeToString()).run(None, given)
        right = all(np.array_equal(a, b) for a, b in zip(seen, reference))
        found.append(right)
        print(f"{name}, {what:27} {'right' if right else 'WRONG'}")
assert found == [True, False, True, True], "this has changed"
P
"$folder/venv/bin/python" "$folder/twice.py"

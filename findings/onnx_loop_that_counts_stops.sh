#!/usr/bin/env bash
# ONNX: a Loop that only counts is stopped by a condition that the specification says is ignored
#
# onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1 (CPU), seen on 2026-11-29. A Loop with a trip
# count of 5 and no condition among its inputs. Of that the operator's page says: "input (trip_count,
# ""): for (int i=0; i < trip_count; ++i) { cond = ...; // ignored }". A body has to return a
# condition nevertheless, and exporters of `for` loops return whatever is at hand. Here it is
# `i < 2`: by the page 5 turns. Both engines stop after the turn that returns false, and onnx's own
# evaluator takes the condition that is left out for a false one.
#
# Output seen:
#   onnx's own evaluator: 0 turns
#   onnxruntime: 3 turns
#   openvino: 3 turns
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6

cat > "$folder/counts.py" <<'P'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

info = helper.make_tensor_value_info
body = helper.make_graph(
    [
        helper.make_node("Add", ["turns", "one"], ["more"]),
        helper.make_node("Less", ["i", "two"], ["goes_on"]),
    ],
    "body",
    [info("i", TensorProto.INT64, []), info("given", TensorProto.BOOL, []), info("turns", TensorProto.FLOAT, [1])],
    [info("goes_on", TensorProto.BOOL, []), info("more", TensorProto.FLOAT, [1])],
    [numpy_helper.from_array(np.array([1.0], np.float32), "one"), numpy_helper.from_array(np.array(2), "two")],
)
graph = helper.make_graph(
    [helper.make_node("Loop", ["count", "", "start"], ["turned"], body=body)],
    "counts",
    [info("start", TensorProto.FLOAT, [1])],
    [info("turned", TensorProto.FLOAT, [1])],
    [numpy_helper.from_array(np.array(5), "count")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
data = model.SerializeToString()
start = {"start": np.zeros(1, np.float32)}

(own,) = ReferenceEvaluator(model).run(None, start)
(ort,) = onnxruntime.InferenceSession(data).run(None, start)
core = openvino.Core()
vino = core.compile_model(core.read_model(data), "CPU")(start)[0]
for name, turned in (("onnx's own evaluator", own), ("onnxruntime", ort), ("openvino", vino)):
    print(f"{name}: {int(turned[0])} turns")
P
"$folder/venv/bin/python" "$folder/counts.py" | tee "$folder/seen"
diff "$folder/seen" - <<'S'
onnx's own evaluator: 0 turns
onnxruntime: 3 turns
openvino: 3 turns
S

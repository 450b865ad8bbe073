#!/usr/bin/env bash
# onnx-ir's pass for unused nodes takes the name of an unused Y away, and MNN is then wrong, silently
#
# onnx-ir 1.1.0, MNN 3.6.1, onnxruntime 1.32.0, seen on 2026-11-30. One valid RNN node of which a graph
# gives the last state alone. RemoveUnusedNodesPass keeps the node and makes its first output "", which
# ONNX allows: the same graph to onnxruntime. MNN gives the outputs of all steps in place of the state.
#
# Output seen:
#   as written:     onnxruntime (1, 2, 4) right, MNN (1, 2, 4) right
#   after the pass: onnxruntime (1, 2, 4) right, MNN (5, 1, 2, 4) wrong
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet MNN==3.6.1 onnx==1.23.2 onnx-ir==1.1.0 onnxruntime==1.32.0 numpy==2.4.6

cat > "$folder/unused.py" <<'P'
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import _tools
import MNN
from MNN import expr
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common

random = np.random.default_rng(0)
w = random.standard_normal((1, 4, 3)).astype(np.float32)
r = random.standard_normal((1, 4, 4)).astype(np.float32)
x = random.standard_normal((5, 2, 3)).astype(np.float32)  # [time, batch, input]
info = helper.make_tensor_value_info
graph = helper.make_graph(
    [helper.make_node("RNN", ["x", "W", "R"], ["y", "h"], hidden_size=4)],
    "state_alone",
    [info("x", TensorProto.FLOAT, x.shape)],
    [info("h", TensorProto.FLOAT, (1, 2, 4))],
    [numpy_helper.from_array(w, "W"), numpy_helper.from_array(r, "R")],
)
written = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.checker.check_model(written, full_check=True)
passed = ir.from_proto(written)
common.RemoveUnusedNodesPass()(passed)
state = np.zeros((2, 4))
for step in x.astype(np.float64):
    state = np.tanh(step @ w[0].T + state @ r[0].T)


def said(array):
    right = array.shape == (1, 2, 4) and np.abs(array[0] - state).max() < 1e-3
    return f"{array.shape} {'right' if right else 'wrong'}"


lines = []
for title, model in (("as written:    ", written), ("after the pass:", ir.to_proto(passed))):
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "a.onnx")
    (plain,) = onnxruntime.InferenceSession("a.onnx").run(["h"], {"x": x})
    flags = ["-f", "ONNX", "--modelFile", "a.onnx", "--MNNModel", "a.mnn", "--bizCode", "MNN"]
    _tools.mnnconvert(["MNNConvert", *flags])
    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high"},))
    net = MNN.nn.load_module_from_file("a.mnn", ["x"], ["h"], runtime_manager=manager)
    (given,) = net.forward([expr.const(x, list(x.shape), expr.NCHW, expr.float)])
    if given.data_format == expr.NC4HW4:
        given = expr.convert(given, expr.NCHW)
    lines.append(f"{title} onnxruntime {said(plain)}, MNN {said(np.array(given.read()))}")
open("seen", "w").write("\n".join(lines) + "\n")
P
(cd "$folder" && "$folder/venv/bin/python" unused.py >/dev/null 2>"$folder/errors") || { cat "$folder/errors"; exit 1; }
cat "$folder/seen"
diff "$folder/seen" - <<'O'
as written:     onnxruntime (1, 2, 4) right, MNN (1, 2, 4) right
after the pass: onnxruntime (1, 2, 4) right, MNN (5, 1, 2, 4) wrong
O

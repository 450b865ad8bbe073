#!/usr/bin/env bash
# MNN's converter drops QuantizeLinear and DequantizeLinear of values: nothing is rounded, nothing ends at its range
#
# MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, seen on 2026-11-30. x [2, 4] goes through QuantizeLinear and
# DequantizeLinear (uint8, one scale, one zero point: numbers from -3.9 to 3.2), and is multiplied by a matrix of
# float32. By ONNX's specification a value of 5 becomes 3.2 there. In what MNN converts it stays 5: the result is that
# of the product alone. Nothing is said. A graph of a range measured on a
# user's own data then does what its float model does where the data are louder, and not what was proved of it.
#
# Output seen:
#   onnxruntime:                    as the specification says, to 0.0e+00
#   MNN:                            off by 0.44
#   MNN and the product alone:      0.00000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 MNN==3.6.1 numpy==2.4.6

cat > "$folder/rounding.py" <<'P'
import sys

import _tools
import MNN
import numpy as np
import onnx
import onnxruntime
from MNN import expr
from onnx import TensorProto, helper, numpy_helper

folder = sys.argv[1]
scale, zero = np.float32(0.028), np.uint8(139)
rng = np.random.default_rng(0)
weight = (0.2 * rng.standard_normal((4, 3))).astype(np.float32)
x = np.array([[-5, -1, -0.013, 0], [0.0139, 0.0141, 1.3, 5]], np.float32)
held = [numpy_helper.from_array(np.asarray(a), n) for a, n in ((scale, "s"), (zero, "z"), (weight, "w"))]
graph = helper.make_graph(
    [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ],
    "rounded",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
    held,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
onnx.checker.check_model(model, full_check=True)
path, converted = f"{folder}/rounded.onnx", f"{folder}/rounded.mnn"
onnx.save(model, path)

whole = np.clip(np.rint(x / scale) + zero, 0, 255)
right = ((whole - zero) * scale) @ weight
(theirs,) = onnxruntime.InferenceSession(path).run(None, {"x": x})

_tools.mnnconvert(["MNNConvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "b"])
manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high"},))
net = MNN.nn.load_module_from_file(converted, ["x"], ["y"], runtime_manager=manager)
(given,) = net.forward([expr.const(x, [2, 4], expr.NCHW, expr.float)])
y = np.array(given.read()).reshape(2, 3)

print(f"onnxruntime:                    as the specification says, to {np.abs(theirs - right).max():.1e}")
print(f"MNN:                            off by {np.abs(y - right).max():.2f}")
print(f"MNN and the product alone:      {np.abs(y - x @ weight).max():.5f}")
assert np.abs(theirs - right).max() < 1e-5
assert np.abs(y - right).max() > 0.1
assert np.abs(y - x @ weight).max() < 1e-5
P
"$folder/venv/bin/python" "$folder/rounding.py" "$folder" | grep -a -E "^(onnxruntime|MNN)[ :]"

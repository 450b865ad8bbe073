#!/usr/bin/env bash
# Static scales on one step of a slow filter: the state stays where it is, however long it is driven
#
# onnx 1.23.2, onnxruntime 1.32.0, nncf 3.4.0, seen on 2026-11-30. A step that a caller runs again and again: h' = MatMul(h, A)
# + x, with A = 0.99 times the identity, driven by 0.01, so that h goes to 1. Its scales are measured on the very
# trajectory (400 steps from 0). quantize_static (QDQ, its defaults) rounds what the product and the sum give to one of
# 256 numbers, and so the state at each step: where a step moves it by less than half a unit, it comes to rest,
# here at 0.79. Nothing is said, and more steps change nothing. nncf.quantize rounds both sides of the sum, with
# the same end (0.76). quantize_dynamic, which rounds what is multiplied and not what comes of it, gets to 0.98.
#
# Output seen:
#   float32:          h after 400 steps 0.982
#   quantize_static:  0.793, at rest: True
#   nncf.quantize:    0.758, at rest: True
#   quantize_dynamic: 0.982
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 nncf==3.4.0 numpy==2.4.6

cat > "$folder/slow.py" <<'P'
import logging
import sys

import nncf
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

logging.disable()
folder, units, steps = sys.argv[1], 4, 400
value = helper.make_tensor_value_info
a = numpy_helper.from_array(np.eye(units, dtype=np.float32) * np.float32(0.99), "A")
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["h", "A"], ["ah"], "product"),
        helper.make_node("Add", ["ah", "x"], ["h_next"], "sum"),
    ],
    "filter",
    [value("h", TensorProto.FLOAT, ["batch", units]), value("x", TensorProto.FLOAT, ["batch", units])],
    [value("h_next", TensorProto.FLOAT, ["batch", units])],
    [a],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
names = ("plain", "static", "dynamic", "other")
plain, static, dynamic, other = (f"{folder}/{name}.onnx" for name in names)
onnx.save(model, plain)
x = np.full((1, units), 0.01, np.float32)


def driven(path):
    """The states of each step."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    h, seen = np.zeros((1, units), np.float32), []
    for _ in range(steps):
        seen.append(h)
        (h,) = session.run(None, {"h": h, "x": x})
    return [*seen, h]


class Trajectory:
    def __init__(self, states):
        self.left = iter(states)

    def get_next(self):
        h = next(self.left, None)
        return None if h is None else {"h": h, "x": x}


states = driven(plain)
whole = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
quantize_static(plain, static, Trajectory(states), quant_format=QuantFormat.QDQ, **whole)
quantize_dynamic(plain, dynamic, weight_type=QuantType.QInt8)
exact = float(states[-1][0, 0])
print(f"float32:          h after {steps} steps {exact:.3f}")
dataset = nncf.Dataset([{"h": h, "x": x} for h in states])
onnx.save(nncf.quantize(model, dataset, subset_size=len(states)), other)
for name, path in (("quantize_static: ", static), ("nncf.quantize:   ", other)):
    coarse = driven(path)
    off = abs(float(coarse[-1][0, 0]) - exact)
    rests = bool(np.array_equal(coarse[-1], coarse[-50]))
    print(f"{name} {coarse[-1][0, 0]:.3f}, at rest: {rests}")
    assert 0.1 < off < 0.3, off
    assert rests
own = driven(dynamic)
near = abs(float(own[-1][0, 0]) - exact)
print(f"quantize_dynamic: {own[-1][0, 0]:.3f}")
assert near < 0.05, near
P
"$folder/venv/bin/python" "$folder/slow.py" "$folder"
echo "as seen: a state that is rounded at each step stays where it is"

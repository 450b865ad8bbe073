#!/usr/bin/env bash
# ONNX Runtime: a quantised LSTM gives other numbers with another number of threads
#
# onnxruntime 1.32.0 (CPU), seen on 2026-11-29 (x86-64). `quantize_dynamic` makes one
# DynamicQuantizeLSTM of an LSTM. It finds one scale for the 8-bit numbers of a block of rows, and
# with several threads each has a block of its own: so the scale, and every output, depends on
# intra_op_num_threads. One loud row among 16 quiet ones moves all of them in one thread, and only
# those of its own block in two. The float LSTM gives the same to the last roundings.
#
# Output seen (the largest difference between 1 and 2 threads, values within 1):
#   float: below 1e-6
#   quantised: above 1e-3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 sympy

cat > "$folder/threads.py" <<'P'
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

folder = Path(sys.argv[1])
HIDDEN, INPUT, ROWS, STEPS = 64, 32, 16, 8
random = np.random.default_rng(0)
held = {
    "w": random.standard_normal((1, 4 * HIDDEN, INPUT)) * 0.2,
    "r": random.standard_normal((1, 4 * HIDDEN, HIDDEN)) * 0.2,
}
info = helper.make_tensor_value_info
graph = helper.make_graph(
    [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=HIDDEN)],
    "layer",
    [info("x", TensorProto.FLOAT, ["time", "batch", INPUT])],
    [info("y", TensorProto.FLOAT, ["time", 1, "batch", HIDDEN])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, folder / "float.onnx")
quantize_dynamic(folder / "float.onnx", folder / "quantised.onnx", weight_type=QuantType.QInt8, reduce_range=True)
x = random.standard_normal((STEPS, ROWS, INPUT)).astype(np.float32)
x[:, 3] *= 30


def run(name, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx", options)
    return session.run(None, {"x": x})[0]


for name in ("float", "quantised"):
    apart = float(np.abs(run(name, 1) - run(name, 2)).max())
    print(f"{name}: {'below 1e-6' if apart < 1e-6 else 'above 1e-3' if apart > 1e-3 else apart}")
    print(name, apart, file=sys.stderr)
P
"$folder/venv/bin/python" "$folder/threads.py" "$folder" 2> "$folder/figures" | tee "$folder/seen"
diff "$folder/seen" - <<'S'
float: below 1e-6
quantised: above 1e-3
S

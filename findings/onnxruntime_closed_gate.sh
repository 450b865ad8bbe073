#!/usr/bin/env bash
# ONNX Runtime: an LSTM's nearly closed gate is three times as open, so that a long stream drifts
#
# onnxruntime 1.32.0 and torch 2.13.0 (CPU), seen on 2026-11-29. The sigmoid inside of the LSTM and
# GRU operators ends at about -17: of -17.05 it is 1.2e-7 where it is 3.9e-8, and of -18 exactly 0.
# For one call that is a rounding. A cell whose forget gate is open and whose input gate is closed
# that far adds it in each step: after a million steps (16 minutes of sound at 1 ms a step) the
# state is three times what it should be, and with -18 it is 0 where it is 0.015.
#
# Output seen:
#   -17.05: PyTorch as float64, ONNX Runtime three times as much
#   -18.00: PyTorch as float64, ONNX Runtime nothing
#   (stderr: -17.05: float64 0.0394, PyTorch 0.0396, ONNX Runtime 0.1192)
#   (stderr: -18.00: float64 0.0152, PyTorch 0.0151, ONNX Runtime 0.0000)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.5

cat > "$folder/closed_gate.py" <<'P'
import math
import sys

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

STEPS = 1_000_000
OPEN = 100.0


def in_onnxruntime(gate):
    """The cell after STEPS steps of silence; the gates are input, output, forget, cell."""
    bias = np.zeros((1, 8), np.float32)
    bias[0, [0, 2, 3]] = gate, OPEN, OPEN
    arrays = {"W": np.zeros((1, 4, 1)), "R": np.zeros((1, 4, 1)), "B": bias}
    held = [numpy_helper.from_array(np.float32(a), name) for name, a in arrays.items()]
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "", "cell"], hidden_size=1)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "gate",
        [info("x", TensorProto.FLOAT, ["time", 1, 1])],
        [info("cell", TensorProto.FLOAT, [1, 1, 1])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.zeros((STEPS, 1, 1), np.float32)})[0].item()


def in_pytorch(gate):
    """The same in torch.nn.LSTM, whose gates are input, forget, cell, output."""
    layer = torch.nn.LSTM(1, 1)
    with torch.inference_mode():
        for weight in layer.parameters():
            weight.zero_()
        layer.bias_ih_l0[:3] = torch.tensor([gate, OPEN, OPEN])
        return layer(torch.zeros(STEPS, 1, 1))[1][1].item()


for gate in (-17.05, -18.0):
    exact = STEPS / (1 + math.exp(-float(np.float32(gate))))
    torchs, theirs = in_pytorch(gate), in_onnxruntime(gate)
    print(f"{gate:.2f}: float64 {exact:.4f}, PyTorch {torchs:.4f}, ONNX Runtime {theirs:.4f}", file=sys.stderr)
    ours = "as float64" if abs(torchs / exact - 1) < 0.05 else "other"
    times = theirs / exact
    how = "nothing" if times == 0 else "three times as much" if 2.5 < times < 3.5 else f"{times:.2f} times"
    print(f"{gate:.2f}: PyTorch {ours}, ONNX Runtime {how}")
P
cd "$folder"
seen=$("$folder/venv/bin/python" -W ignore closed_gate.py)
echo "$seen"
[ "$seen" = "-17.05: PyTorch as float64, ONNX Runtime three times as much
-18.00: PyTorch as float64, ONNX Runtime nothing" ]

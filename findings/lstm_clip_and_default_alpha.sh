#!/usr/bin/env bash
# ONNX LSTM: `clip` does not reach the cell's own tanh, and an alpha that is left out is 0
#
# onnxruntime 1.32.0, openvino 2026.4.1 (CPU), seen on 2026-11-29. The operator's page says of clip:
# "bounds the elements of a tensor in the range of [-threshold, +threshold] and is applied to the
# input of activations"; h, of Ht = ot (.) h(Ct), is one of the three activations. With clip=0.5 and
# gates that are open, the cell grows to 0.73 in 8 steps: by the page y is 0.62 tanh(0.5) = 0.29; both
# engines give 0.62 tanh(0.73) = 0.39. And of an activation's alpha that is left out the page says "the
# default values are the same as of corresponding ONNX operators": of ThresholdedRelu that is 1.0.
# ONNX Runtime takes 0 (OpenVINO has no such activation).
#
# Output seen:
#   clip: onnxruntime 0.39, openvino 0.39, by the page 0.29
#   ThresholdedRelu of 0.6: onnxruntime 0.6, by the page 0.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6

cat > "$folder/layers.py" <<'P'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

info = helper.make_tensor_value_info


def layer(operator, bias, steps, **attributes):
    """One unit whose gates are its biases alone; the bytes of the model."""
    gates = {"LSTM": 4, "RNN": 1}[operator]
    held = {
        "w": np.zeros((1, gates, 1)),
        "r": np.zeros((1, gates, 1)),
        "b": np.array([[*bias, *[0.0] * gates]]),
    }
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w", "r", "b"], ["y"], hidden_size=1, **attributes)],
        "layer",
        [info("x", TensorProto.FLOAT, [steps, 1, 1])],
        [info("y", TensorProto.FLOAT, [steps, 1, 1, 1])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString(), {"x": np.zeros((steps, 1, 1), np.float32)}


def in_onnxruntime(data, given):
    return float(onnxruntime.InferenceSession(data).run(None, given)[0][-1, 0, 0, 0])


def in_openvino(data, given):
    core = openvino.Core()
    return float(core.compile_model(core.read_model(data), "CPU")(given)[0][-1, 0, 0, 0])


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


# i, o, f, c of ONNX: all are clipped to 0.5 before their functions.
data, given = layer("LSTM", [9.0, 9.0, 9.0, 9.0], 8, clip=0.5)
cell = 0.0
for _ in range(8):
    cell = sigmoid(0.5) * cell + sigmoid(0.5) * np.tanh(0.5)
page = sigmoid(0.5) * np.tanh(min(cell, 0.5))
print(f"clip: onnxruntime {in_onnxruntime(data, given):.2f}, openvino {in_openvino(data, given):.2f}, by the page {page:.2f}")
data, given = layer("RNN", [0.6], 1, activations=["ThresholdedRelu"])
print(f"ThresholdedRelu of 0.6: onnxruntime {in_onnxruntime(data, given):.1f}, by the page 0.0")
P
"$folder/venv/bin/python" "$folder/layers.py" | tee "$folder/seen"
diff "$folder/seen" - <<'S'
clip: onnxruntime 0.39, openvino 0.39, by the page 0.29
ThresholdedRelu of 0.6: onnxruntime 0.6, by the page 0.0
S

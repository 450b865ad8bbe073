#!/usr/bin/env bash
# OpenCV's dnn gives NaN for tanh(45) in a row of 16 values, and 1 in a row of 3
#
# opencv-python-headless 5.0.0.93 on x86-64, seen on 2026-11-28, in both of its engines (1 is the
# classic one, 2 the new one). From about 44.4 on exp(2x) is beyond float32, and inf / inf is NaN;
# what does not fill a vector register takes another way, which is right, as is tanh(-45). So a
# recurrent network with Tanh nodes is right on usual inputs and in small tests, and gives NaN once a
# pre-activation is large. Sigmoid is right at both ends. Clip(-20, 20) before each Tanh ends it, and
# changes no bit: in float32 tanh is 1 from 9.02 on.
#
# Output seen:
#   engine 1, 16 values: tanh(44) = 1.0, tanh(45) = nan, tanh(-45) = -1.0, clipped 1.0
#   engine 1, 3 values: tanh(44) = 1.0, tanh(45) = 1.0, tanh(-45) = -1.0, clipped 1.0
#   engine 2, 16 values: tanh(44) = 1.0, tanh(45) = nan, tanh(-45) = -1.0, clipped 1.0
#   engine 2, 3 values: tanh(44) = 1.0, tanh(45) = 1.0, tanh(-45) = -1.0, clipped 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 numpy==2.4.6

cat > "$folder/tanh.py" <<'P'
import cv2
import numpy as np
from onnx import TensorProto, helper


def run(nodes, value, count, engine):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, count]) for n in "xy"]
    limits = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("a", -20), ("b", 20))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], limits)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    data = np.frombuffer(model.SerializeToString(), np.uint8)
    net = cv2.dnn.readNetFromONNX(data, engine=engine)
    net.setInput(np.full((1, count), value, np.float32))
    return net.forward()[0, 0]


plain = [helper.make_node("Tanh", ["x"], ["y"])]
clipped = [helper.make_node("Clip", ["x", "a", "b"], ["c"]), helper.make_node("Tanh", ["c"], ["y"])]
for engine in (cv2.dnn.ENGINE_CLASSIC, cv2.dnn.ENGINE_NEW):
    for count in (16, 3):
        said = [f"tanh({v}) = {run(plain, v, count, engine)}" for v in (44, 45, -45)]
        right = run(clipped, 45, count, engine)
        print(f"engine {engine}, {count} values: {', '.join(said)}, clipped {right}")
P
found=$("$folder/venv/bin/python" "$folder/tanh.py")
echo "$found"
[ "$found" = "engine 1, 16 values: tanh(44) = 1.0, tanh(45) = nan, tanh(-45) = -1.0, clipped 1.0
engine 1, 3 values: tanh(44) = 1.0, tanh(45) = 1.0, tanh(-45) = -1.0, clipped 1.0
engine 2, 16 values: tanh(44) = 1.0, tanh(45) = nan, tanh(-45) = -1.0, clipped 1.0
engine 2, 3 values: tanh(44) = 1.0, tanh(45) = 1.0, tanh(-45) = -1.0, clipped 1.0" ]

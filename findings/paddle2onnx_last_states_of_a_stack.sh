#!/usr/bin/env bash
# paddle2onnx: of the last states of a stack of layers, the file returns those of the last layer alone
#
# paddle2onnx 2.1.0, paddlepaddle 3.3.1, onnxruntime 1.32.0, seen on 2026-11-29. `paddle.nn.LSTM(3, 4,
# num_layers=3)` returns h and c of (3, batch, 4), a row for each layer. The exported file declares 3, and
# returns 1: the third layer's. Its steps are right. Whoever feeds the states back, chunk after chunk, has
# lost those of the layers below.
#
# Output seen:
#   in Paddle: h (3, 2, 4), c (3, 2, 4)
#   in ONNX Runtime: h (1, 2, 4), c (1, 2, 4), of layer 3
#   the steps: the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet paddlepaddle==3.3.1 paddle2onnx==2.1.0 onnx==1.17.0 packaging onnxruntime==1.32.0

cat > "$folder/stack.py" <<'P'
import numpy as np
import onnxruntime
import paddle
from paddle.static import InputSpec


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.lstm = paddle.nn.LSTM(3, 4, num_layers=3)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return y, h, c


paddle.seed(0)
net = Net()
net.eval()
paddle.onnx.export(net, "stack", input_spec=[InputSpec([None, None, 3], "float32", "x")], opset_version=17)

x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
y, h, c = (value.numpy() for value in net(paddle.to_tensor(x)))
onnxruntime.set_default_logger_severity(4)
found, found_h, found_c = onnxruntime.InferenceSession("stack.onnx").run(None, {"x": x})
print(f"in Paddle: h {h.shape}, c {c.shape}")
layers = [str(i + 1) for i in range(3) if np.allclose(found_h[0], h[i], atol=1e-5) and np.allclose(found_c[0], c[i], atol=1e-5)]
print(f"in ONNX Runtime: h {found_h.shape}, c {found_c.shape}, of layer {', '.join(layers)}")
print(f"the steps: {'the same' if np.allclose(found, y, atol=1e-5) else 'others'}")
P
cd "$folder"
said=$("$folder/venv/bin/python" stack.py 2>/dev/null | grep -E '^(in |the steps)')
echo "$said"
[ "$said" = "in Paddle: h (3, 2, 4), c (3, 2, 4)
in ONNX Runtime: h (1, 2, 4), c (1, 2, 4), of layer 3
the steps: the same" ]

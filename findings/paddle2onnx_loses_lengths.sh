#!/usr/bin/env bash
# paddle2onnx: the `sequence_length` of a GRU becomes an input that no node reads
#
# paddle2onnx 2.1.0, paddlepaddle 3.3.1, onnxruntime 1.32.0, seen on 2026-11-29. `paddle.nn.GRU` takes how
# many steps of each row are valid; Paddle gives zeros behind them. The exported file has that input, its
# GRU node has no `sequence_lens`, and nothing is said: rows that are padded are run through to their end.
#
# Output seen:
#   inputs: x, lengths; read by some node: x
#   a row of 2 of 5 steps, in Paddle: zeros behind them
#   in ONNX Runtime: other numbers than zeros
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet paddlepaddle==3.3.1 paddle2onnx==2.1.0 onnx==1.17.0 packaging onnxruntime==1.32.0

cat > "$folder/lengths.py" <<'P'
import numpy as np
import onnx
import onnxruntime
import paddle
from paddle.static import InputSpec


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.gru = paddle.nn.GRU(3, 4)

    def forward(self, x, lengths):
        return self.gru(x, None, lengths)[0]


paddle.seed(0)
net = Net()
net.eval()
spec = [InputSpec([None, None, 3], "float32", "x"), InputSpec([None], "int64", "lengths")]
paddle.onnx.export(net, "gru", input_spec=spec, opset_version=17)

graph = onnx.load("gru.onnx").graph
read = {name for node in graph.node for name in node.input}
names = [value.name for value in graph.input]
print(f"inputs: {', '.join(names)}; read by some node: {', '.join(n for n in names if n in read)}")

x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
lengths = np.array([5, 2])
there = net(paddle.to_tensor(x), paddle.to_tensor(lengths)).numpy()
session = onnxruntime.InferenceSession("gru.onnx")
given = {"x": x, "lengths": lengths}
(here,) = session.run(None, {value.name: given[value.name] for value in session.get_inputs()})
print(f"a row of 2 of 5 steps, in Paddle: {'zeros' if not there[1, 2:].any() else 'numbers'} behind them")
off = abs(here[1, 2:]).max() > 0.05 and abs(here[0] - there[0]).max() < 1e-5
print(f"in ONNX Runtime: {'other numbers than zeros' if off else 'the same'}")
P
cd "$folder"
said=$("$folder/venv/bin/python" lengths.py 2>/dev/null | grep -E '^(inputs:|a row|in ONNX)')
echo "$said"
[ "$said" = "inputs: x, lengths; read by some node: x
a row of 2 of 5 steps, in Paddle: zeros behind them
in ONNX Runtime: other numbers than zeros" ]

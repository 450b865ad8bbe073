#!/usr/bin/env bash
# OpenVINO: sequence_lens of an ONNX RNN counts at fixed sizes, and is ignored at dynamic ones
#
# OpenVINO 2026.4.1 (CPU), onnxruntime 1.23.2 for comparison, seen on 2026-11-28. Two files with one
# valid RNN node, the same weights and `sequence_lens`; in the second, time and batch have names for
# sizes. The last state of a row of 2 steps out of 5 is right in the first, and that after 5 steps in
# the second, without a word. (Rounding of up to 0.02 is that of the precision that OpenVINO chooses.)
#
# Output seen:
#   fixed sizes:   right
#   dynamic sizes: off by 1.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.19.1 onnxruntime==1.23.2 numpy==2.3.5

cat > "$folder/lengths.py" <<'P'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
weights = {
    "W": random.standard_normal((1, 4, 3)).astype(np.float32),
    "R": random.standard_normal((1, 4, 4)).astype(np.float32),
}
x = random.standard_normal((5, 2, 3)).astype(np.float32)  # [time, batch, input]
lengths = np.array([5, 2], np.int32)


def write(path, time, batch):
    node = helper.make_node("RNN", ["x", "W", "R", "", "lengths"], ["y", "h"], hidden_size=4)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "lengths",
        [
            info("x", TensorProto.FLOAT, [time, batch, 3]),
            info("lengths", TensorProto.INT32, [batch]),
        ],
        [info("h", TensorProto.FLOAT, [1, batch, 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


for title, time, batch in (("fixed sizes:  ", 5, 2), ("dynamic sizes:", "time", "batch")):
    write("rnn.onnx", time, batch)
    given = {"x": x, "lengths": lengths}
    wanted = onnxruntime.InferenceSession("rnn.onnx").run(["h"], given)[0]
    compiled = openvino.Core().compile_model("rnn.onnx", "CPU")
    error = np.abs(wanted - compiled(given)[compiled.output(0)]).max()
    print(title, "right" if error < 0.02 else f"off by {error:.1f}")
P
cd "$folder"
seen=$("$folder/venv/bin/python" -W ignore lengths.py)
echo "$seen"
[ "$seen" = "fixed sizes:   right
dynamic sizes: off by 1.5" ]

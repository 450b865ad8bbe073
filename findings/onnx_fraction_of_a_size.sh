#!/usr/bin/env bash
# torch.onnx: `int(n * 0.7)` of a dynamic length is written as the traced number, where torch.export refuses
#
# torch 2.13.0 (CPU), onnxscript 0.7.2, onnxruntime 1.32.0, seen on 2026-11-28. A module cuts its input at
# `int(x.shape[1] * 0.7)`, as code for relative lengths does. `torch.export.export` says that the declared
# range of the dimension is violated. `torch.onnx.export(dynamo=True)`, which calls it, reports success with
# the same `dynamic_shapes`, and the file cuts at 14 for every length: its output is `Min(14, time)`.
#
# Output seen:
#   torch.export: Constraints violated (time)!
#   eager: [3, 14, 62] steps of 5, 20 and 90; ONNX: [5, 14, 14]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0

cat > "$folder/cut.py" <<'P'
import numpy as np
import onnxruntime
import torch


class Cut(torch.nn.Module):
    def forward(self, x):
        return x[:, : int(x.shape[1] * 0.7)] * 1.0


given = (torch.zeros(1, 20),)
shapes = {"x": {1: torch.export.Dim("time", min=2, max=4096)}}
try:
    torch.export.export(Cut(), given, dynamic_shapes=shapes)
    refused = "accepted"
except Exception as error:
    refused = str(error).partition(" For more")[0]
program = torch.onnx.export(Cut(), given, dynamo=True, dynamic_shapes=shapes, verbose=False)
program.save("cut.onnx")
session = onnxruntime.InferenceSession("cut.onnx", providers=["CPUExecutionProvider"])
inputs = [np.zeros((1, n), np.float32) for n in (5, 20, 90)]
eager = [Cut()(torch.from_numpy(x)).shape[1] for x in inputs]
onnx = [session.run(None, {"x": x})[0].shape[1] for x in inputs]
print("torch.export:", refused)
print(f"eager: {eager} steps of 5, 20 and 90; ONNX: {onnx}")
P
cd "$folder"
seen=$("$folder/venv/bin/python" -W ignore cut.py 2>/dev/null | grep -E "^(torch.export|eager):")
echo "$seen"
[ "$seen" = "torch.export: Constraints violated (time)!
eager: [3, 14, 62] steps of 5, 20 and 90; ONNX: [5, 14, 14]" ]

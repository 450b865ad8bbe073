#!/usr/bin/env bash
# The ONNX of a forward in torch.autocast, by either exporter, is valid and loads in no CPU session
#
# torch 2.13.0, onnx 1.23.2 and onnxruntime 1.32.0 on Python 3.11, seen on 2026-11-29. A forward
# that opens `torch.autocast("cpu", dtype=torch.bfloat16)` around one nn.Linear runs on any CPU. Both
# of torch's ONNX exporters write it without an error: the casts to bfloat16 and a MatMul of bfloat16.
# onnx.checker passes it, and ONNX says that MatMul takes bfloat16 from opset 13 on. ONNX Runtime's
# CPU provider has no kernel for it: the session cannot be made, and the message names a Gemm that
# is not in the file (a fusion of its own). Rounding in float32 gives the same numbers: a Cast to
# bfloat16 and one back, which it has, around a MatMul of floats.
#
# Output seen:
#   dynamo=True: valid, MatMul of BFLOAT16: NotImplemented: no implementation for Gemm(13)
#   dynamo=False: valid, MatMul of BFLOAT16: NotImplemented: no implementation for Gemm(13)
#   rounded in float32: off by less than 1e-6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 \
    onnxruntime==1.32.0

cat > "$folder/autocast.py" <<'P'
import re

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

BFLOAT16 = torch.bfloat16


class Front(nn.Module):
    def __init__(self, spelled):
        super().__init__()
        self.spelled, self.linear = spelled, nn.Linear(4, 8)

    def forward(self, x):
        if self.spelled:
            x, w, b = (t.to(BFLOAT16).float() for t in (x, self.linear.weight, self.linear.bias))
            return (x @ w.t() + b).to(BFLOAT16).float()
        with torch.autocast("cpu", dtype=BFLOAT16):
            y = self.linear(x)
        return y.float()


def written(spelled, dynamo):
    torch.manual_seed(0)
    module = Front(spelled).eval()
    torch.onnx.export(module, (x,), "front.onnx", dynamo=dynamo, input_names=["x"], verbose=False)
    model = onnx.shape_inference.infer_shapes(onnx.load("front.onnx"))
    onnx.checker.check_model(model, full_check=True)
    return module, model


torch.manual_seed(1)
x = torch.randn(2, 5, 4)
for dynamo in (True, False):
    module, model = written(False, dynamo)
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    product = next(n for n in model.graph.node if n.op_type == "MatMul")
    kind = onnx.TensorProto.DataType.Name(types[product.output[0]])
    try:
        onnxruntime.InferenceSession("front.onnx", providers=["CPUExecutionProvider"])
        said = "loaded"
    except Exception as error:
        lacking = re.search(r"Could not find an (implementation for \w+\(\d+\))", str(error))
        said = f"{type(error).__name__}: no {lacking[1] if lacking else error}"
    print(f"dynamo={dynamo}: valid, MatMul of {kind}: {said}")
    with torch.no_grad():
        expected = module(x).numpy()
written(True, True)
session = onnxruntime.InferenceSession("front.onnx", providers=["CPUExecutionProvider"])
off = np.abs(session.run(None, {"x": x.numpy()})[0] - expected).max()
print(f"rounded in float32: off by {'less' if off < 1e-6 else 'more'} than 1e-6")
P
cd "$folder"
found=$("$folder/venv/bin/python" autocast.py 2> log | grep "^dynamo=\|^rounded") || { cat log; exit 1; }
echo "$found"
[ "$found" = "dynamo=True: valid, MatMul of BFLOAT16: NotImplemented: no implementation for Gemm(13)
dynamo=False: valid, MatMul of BFLOAT16: NotImplemented: no implementation for Gemm(13)
rounded in float32: off by less than 1e-6" ]

#!/usr/bin/env bash
# IREE: MatMulInteger of one row of uint8 with a zero point is wrong; of int8 without one, and of several rows, right
#
# iree-base-compiler and iree-base-runtime 3.13.0, onnx 1.23.2, onnxruntime 1.32.0, seen on 2026-11-30. A row is divided
# by a number of its own and rounded (as dynamic quantisation does), 128 is added, and it is multiplied as uint8 with
# zero point 128 by an int8 matrix [40, 32]: the sums are exact whole numbers, so that nothing can be a rounding. For
# x [1, 40] and [1, 1, 40] IREE gives other sums; for [2, 3, 40] it gives the right ones; and so it does of one row
# where the same whole numbers are int8 without a zero point. A step of a stream is one row.
#
# Output seen (the largest difference of a sum; sums are up to 20,000):
#   uint8, zero point 128  (1, 40) 7202  (1, 1, 40) 9824  (2, 3, 40) 0
#   int8                   (1, 40) 0  (1, 1, 40) 0  (2, 3, 40) 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 \
    iree-base-compiler==3.13.0 iree-base-runtime==3.13.0

cat > "$folder/rows.py" <<'P'
import sys

import iree.runtime
import numpy as np
import onnx
import onnxruntime
from iree.compiler import ir, tools
from iree.compiler.extras import onnx_importer
from onnx import TensorProto, helper, numpy_helper

path = f"{sys.argv[1]}/rows.onnx"
rng = np.random.default_rng(0)
held = {
    "w": rng.integers(-63, 64, (40, 32)).astype(np.int8),
    "last": np.array([-1]),
    "level": np.float32(1 / 127),
    "middle": np.float32(128),
    "zero": np.uint8(128),
}
node = helper.make_node
rounded = [
    node("Abs", ["x"], ["size"]),
    node("ReduceMax", ["size", "last"], ["most"]),
    node("Mul", ["most", "level"], ["scale"]),
    node("Div", ["x", "scale"], ["parts"]),
    node("Round", ["parts"], ["whole"]),
]
kinds = {
    "uint8, zero point 128": [
        node("Add", ["whole", "middle"], ["moved"]),
        node("Cast", ["moved"], ["a"], to=TensorProto.UINT8),
        node("MatMulInteger", ["a", "w", "zero"], ["sums"]),
    ],
    "int8": [
        node("Cast", ["whole"], ["a"], to=TensorProto.INT8),
        node("MatMulInteger", ["a", "w"], ["sums"]),
    ],
}
found = {}
for kind, product in kinds.items():
    for shape in ((1, 40), (1, 1, 40), (2, 3, 40)):
        graph = helper.make_graph(
            [*rounded, *product],
            "main",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("sums", TensorProto.INT32, (*shape[:-1], 32))],
            [
                numpy_helper.from_array(np.asarray(array), name)
                for name, array in held.items()
                if any(name in each.input for each in (*rounded, *product))
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        x = rng.standard_normal(shape).astype(np.float32)
        scale = np.abs(x).max(-1, keepdims=True) * np.float32(1 / 127)
        right = np.rint(x / scale).astype(np.int64) @ held["w"].astype(np.int64)
        (theirs,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
        assert np.array_equal(theirs, right)
        info = onnx_importer.ModelInfo(model)
        module = info.create_module(context=ir.Context()).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
        built = tools.compile_str(
            str(module), target_backends=["llvm-cpu"], input_type="auto",
            extra_args=["--iree-llvmcpu-target-cpu=host"],
        )
        context = iree.runtime.SystemContext(config=iree.runtime.Config("local-sync"))
        context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, built))
        sums = np.asarray(context.modules.module["main"](x).to_host())
        found[kind, shape] = int(np.abs(sums - right).max())
    said = "  ".join(f"{shape} {off}" for (of, shape), off in found.items() if of == kind)
    print(f"{kind:21}  {said}")
wrong = {key for key, off in found.items() if off}
assert wrong == {("uint8, zero point 128", (1, 40)), ("uint8, zero point 128", (1, 1, 40))}, found
P
"$folder/venv/bin/python" "$folder/rows.py" "$folder"

#!/usr/bin/env bash
# ONNX Runtime: in the step of a Scan, one product of four gates and a Split is slower than four products
#
# onnxruntime 1.32.0 (CPU, one thread), seen on 2026-11-30. Gates are usually joined to one product, since
# a product of 4 * hidden columns is better than four of hidden. Split is a copy with a price of its own:
# of [1, 16] in four parts it takes as long as five products of [1, 4] by [4, 4], so that a step of four
# products is the faster one, of small layers and of large ones (0.83 to 0.95 of the time of 4 to 256
# units and 1 to 8 rows; the medians below are of calls in turns). Both give the same numbers.
#
# Output seen:
#   4 units: same numbers, four products are faster
#   128 units: same numbers, four products are faster
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.5

cat > "$folder/split.py" <<'P'
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

GATES = 4


def session(units, apart):
    """h' = tanh(a + b + c + d), each a product of h, [batch, units]; x_t is added to the first."""
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((GATES, units, units)) * 0.3 / units**0.5).astype(np.float32)
    zeros = np.zeros(units, np.float32)
    node, value = helper.make_node, helper.make_tensor_value_info
    if apart:
        held = {f"W{n}": w[n] for n in range(GATES)} | {"b": zeros}
        nodes = [node("Gemm", ["h", f"W{n}", "b"], [f"g{n}"], transB=1) for n in range(GATES)]
    else:
        held = {"W": w.reshape(-1, units), "b": np.tile(zeros, GATES)}
        nodes = [node("Gemm", ["h", "W", "b"], ["g"], transB=1)]
        parts = [f"g{n}" for n in range(GATES)]
        nodes.append(node("Split", ["g"], parts, axis=1, num_outputs=GATES))
    sums = ["x_t", *(f"s{n}" for n in range(GATES))]
    nodes += [node("Add", [sums[n], f"g{n}"], [sums[n + 1]]) for n in range(GATES)]
    nodes += [node("Tanh", [sums[-1]], ["h_next"]), node("Identity", ["h_next"], ["y_t"])]
    of = lambda name, *shape: value(name, TensorProto.FLOAT, shape or None)
    body = helper.make_graph(nodes, "step", [of("h"), of("x_t")], [of("h_next"), of("y_t")])
    scan = node("Scan", ["h0", "x"], ["hn", "y"], body=body, num_scan_inputs=1)
    graph = helper.make_graph(
        [scan],
        "net",
        [of("h0", "batch", units), of("x", "time", "batch", units)],
        [of("hn", "batch", units), of("y", "time", "batch", units)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


for units in (4, 128):
    runs = [session(units, apart) for apart in (False, True)]
    x = np.random.default_rng(1).standard_normal((100, 1, units)).astype(np.float32)
    given = {"h0": np.zeros((1, units), np.float32), "x": x}
    results = [run.run(None, given)[1] for run in runs]
    same = np.allclose(*results, atol=1e-5)
    times = [[], []]
    for _ in range(600):
        for run, taken in zip(runs, times):
            start = time.perf_counter()
            run.run(None, given)
            taken.append(time.perf_counter() - start)
    joined, apart = map(np.median, times)
    faster = "four products are" if apart < joined else "one product and a Split is"
    print(f"{units} units: {'same' if same else 'other'} numbers, {faster} faster")
P
cd "$folder"
seen=$("$folder/venv/bin/python" split.py)
echo "$seen"
[ "$seen" = "4 units: same numbers, four products are faster
128 units: same numbers, four products are faster" ]

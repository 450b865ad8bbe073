#!/usr/bin/env bash
# ONNX Runtime: an LSTM and a GRU turn a NaN input into ordinary numbers; an RNN hands it on
#
# onnxruntime 1.32.0 (CPU), seen on 2026-11-29. One layer, one NaN in one feature of one step, the
# first or a later one. By IEEE 754 and in PyTorch that step and all after it are NaN, as they are of
# the RNN operator here. The sigmoid inside of LSTM and GRU is 1 of NaN, and so is the LSTM's tanh:
# the GRU hands on the state before (its update gate is 1), and the LSTM adds 1 to its cell (all of
# its gates are 1) and goes on from there. No value is NaN, and what comes after is off.
#
# Output seen:
#   RNN  step 0: NaN from there on
#   RNN  step 3: NaN from there on
#   GRU  step 0: no NaN, the state before, later steps are off
#   GRU  step 3: no NaN, the state before, later steps are off
#   LSTM step 0: no NaN, 1 more in the cell, later steps are off
#   LSTM step 3: no NaN, 1 more in the cell, later steps are off
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

cat > "$folder/nan_input.py" <<'P'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
HIDDEN, STEPS = 4, 6


def layer(operator):
    """One node over x [time, 1, 3]; its output for each step, and its last states."""
    random, width = np.random.default_rng(0), GATES[operator] * HIDDEN
    shapes = {"W": (1, width, 3), "R": (1, width, HIDDEN), "B": (1, 2 * width)}
    held = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    outputs = ["y", "h", "c"] if operator == "LSTM" else ["y", "h"]
    node = helper.make_node(operator, ["x", "W", "R", "B"], outputs, hidden_size=HIDDEN)
    info = helper.make_tensor_value_info
    sizes = {"y": ["time", 1, 1, HIDDEN], "h": [1, 1, HIDDEN], "c": [1, 1, HIDDEN]}
    graph = helper.make_graph(
        [node],
        "layer",
        [info("x", TensorProto.FLOAT, ["time", 1, 3])],
        [info(name, TensorProto.FLOAT, sizes[name]) for name in outputs],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda x: dict(zip(outputs, session.run(None, {"x": x})))


def said(operator, at):
    run = layer(operator)
    x = np.random.default_rng(1).standard_normal((STEPS, 1, 3)).astype(np.float32)
    sound = run(x)["y"][:, 0, 0]
    x[at, 0, 1] = np.nan
    y = run(x)["y"][:, 0, 0]
    assert np.array_equal(y[:at], sound[:at])
    if np.isnan(y[at:]).all():
        return "NaN from there on"
    before = run(x[:at]) if at else {"y": np.zeros((1, 1, 1, HIDDEN)), "c": np.zeros(1)}
    here = run(x[: at + 1])
    if operator == "GRU":
        kept = np.array_equal(y[at], before["y"][-1, 0, 0])
        what = "the state before" if kept else "another state"
    else:
        added = np.abs(here["c"] - before["c"] - 1).max() < 1e-6
        what = "1 more in the cell" if added else "another cell"
        assert np.allclose(y[at], np.tanh(here["c"]), atol=1e-6)  # the output gate is 1 as well
    nans = int(np.isnan(y).sum())
    later = "off" if np.abs(y[at + 1 :] - sound[at + 1 :]).max() > 1e-2 else "right"
    return f"{nans or 'no'} NaN, {what}, later steps are {later}"


for operator in GATES:
    for at in (0, 3):
        print(f"{operator:<4} step {at}: {said(operator, at)}")
P
cd "$folder"
seen=$("$folder/venv/bin/python" -I -W ignore nan_input.py)
echo "$seen"
[ "$seen" = "RNN  step 0: NaN from there on
RNN  step 3: NaN from there on
GRU  step 0: no NaN, the state before, later steps are off
GRU  step 3: no NaN, the state before, later steps are off
LSTM step 0: no NaN, 1 more in the cell, later steps are off
LSTM step 3: no NaN, 1 more in the cell, later steps are off" ]

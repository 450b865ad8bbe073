"""RNN, GRU and LSTM against torch.nn in float64: directions, states, and lengths by packing."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from rnnbench.inspection.evaluation import Evaluator

ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}  # of PyTorch's gates in ONNX
ROWS, STEPS, SIZE, HIDDEN = 3, 7, 4, 5


def weights(module, kind, which):
    """W, R and B of an ONNX node, in float64."""

    def gates(array):
        return np.concatenate([np.split(array, len(ORDER[kind]))[i] for i in ORDER[kind]])

    found = {name: array.detach().numpy() for name, array in module.named_parameters()}
    sides = ["", "_reverse"] if module.bidirectional else [""]
    w, r, wb, rb = (
        np.stack([gates(found[f"{name}_l0{side}"]) for side in sides])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    if which == "reverse":
        w, r, wb, rb = (array[1:] for array in (w, r, wb, rb))
    return {"W": w, "R": r, "B": np.concatenate([wb, rb], axis=1)}


def model(kind, which, arrays, extra):
    names = ["x", "W", "R", "B", "lengths", "h0", *(["c0"] if kind == "LSTM" else [])]
    outputs = ["y", "hn", "cn"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, names, outputs, hidden_size=HIDDEN, direction=which, **extra)
    types = {"lengths": onnx.TensorProto.INT32}
    given = [
        helper.make_tensor_value_info(name, types.get(name, onnx.TensorProto.DOUBLE), None)
        for name in names
        if name not in arrays
    ]
    made = [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None) for n in outputs]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph([node], "layer", given, made, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("lengths", [[STEPS] * ROWS, [STEPS, 4, 1]], ids=["whole", "ragged"])
@pytest.mark.parametrize("which", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["RNN", "RNN relu", "GRU", "LSTM"])
def test_every_layer(kind, which, lengths):
    kind, *relu = kind.split()
    ways = 1 if which == "forward" else 2
    options = {"nonlinearity": "relu"} if relu else {}
    module = getattr(nn, kind)(SIZE, HIDDEN, bidirectional=ways == 2, **options).double()
    x = torch.randn(STEPS, ROWS, SIZE, dtype=torch.float64)
    states = [
        torch.randn(ways, ROWS, HIDDEN, dtype=torch.float64)
        for _ in range(2 if kind == "LSTM" else 1)
    ]
    with torch.no_grad():
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths))
        y, ends = module(packed, tuple(states) if kind == "LSTM" else states[0])
        y, _ = nn.utils.rnn.pad_packed_sequence(y, total_length=STEPS)
    ends = list(ends) if kind == "LSTM" else [ends]
    y = y.reshape(STEPS, ROWS, ways, HIDDEN).permute(0, 2, 1, 3)
    if which == "reverse":  # PyTorch has it as the second of two
        y, states, ends = y[:, 1:], [s[1:] for s in states], [e[1:] for e in ends]
    extra = {"linear_before_reset": 1} if kind == "GRU" else {}
    if relu:
        extra["activations"] = ["Relu"] * len(y[0])
    got = Evaluator(model(kind, which, weights(module, kind, which), extra))(
        {
            "x": x.numpy(),
            "lengths": np.array(lengths, np.int32),
            **{name: s.numpy() for name, s in zip(["h0", "c0"], states, strict=False)},
        }
    )
    for name, expected in zip(["y", "hn", "cn"], [y, *ends], strict=False):
        np.testing.assert_allclose(got[name], expected.numpy(), rtol=1e-12, atol=1e-12)

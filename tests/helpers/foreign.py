"""Files as others write them: by PyTorch's own exporters, and by hand."""

import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rnnbench.core.known_warnings import torchscript_deprecation


class Streams(nn.Module):
    """x (batch, time, 6), h (1, batch, 8) -> y (batch, time, 3), hn."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x, h):
        y, h = self.rnn(x, h)
        return self.head(y), h


class Wide(nn.Module):
    """An LSTM whose cell begins at 0; h is its other first state."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x, h):
        y, (h, _) = self.rnn(x, (h, torch.zeros_like(h)))
        return self.head(y), h


def stock(path, module=None, names=("x", "h", "y", "hn"), **options):
    """PyTorch's TorchScript exporter, as its documentation says: every axis that moves is named."""
    torch.manual_seed(0)
    module = (module or Streams()).eval()
    x, h, y, hn = names
    axes = {x: {0: "batch", 1: "time"}, y: {0: "batch", 1: "time"}}
    axes |= {h: {1: "batch"}, hn: {1: "batch"}}
    with warnings.catch_warnings(), torchscript_deprecation():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.randn(2, 5, 6), torch.randn(1, 2, 8)),
            str(path),
            input_names=[x, h],
            output_names=[y, hn],
            dynamic_axes=axes,
            dynamo=False,
            **options,
        )
    return module


def scripted(path, module=None):
    """A module as TorchScript."""
    torch.manual_seed(0)
    module = (module or Streams()).eval()
    with warnings.catch_warnings(), torchscript_deprecation():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return module


def graph(path, nodes, inputs, outputs, weights=(), opset=21):
    """A file by hand.

    Args:
        path: where it goes.
        nodes: of onnx.helper.
        inputs: name -> (type of TensorProto, sizes).
        outputs: likewise.
        weights: name -> array.
        opset: of ONNX's own operators.
    """
    made = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info(n, *said) for n, said in inputs.items()],
        [helper.make_tensor_value_info(n, *said) for n, said in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in dict(weights).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    onnx.save(model, str(path))


def tagger(path):
    """ids (batch, time) and lengths (batch): a table of 11 rows, an LSTM that stops at lengths."""
    rng = np.random.default_rng(0)
    weights = {
        "table": rng.standard_normal((11, 4)).astype("f"),
        "w": 0.4 * rng.standard_normal((1, 20, 4)).astype("f"),
        "r": 0.4 * rng.standard_normal((1, 20, 5)).astype("f"),
        "axis": np.array([1]),
    }
    graph(
        path,
        [
            helper.make_node("Gather", ["table", "ids"], ["embedded"]),
            helper.make_node("Transpose", ["embedded"], ["steps"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["steps", "w", "r", "", "n"], ["Y"], hidden_size=5),
            helper.make_node("Squeeze", ["Y", "axis"], ["tags"]),
        ],
        {
            "ids": (TensorProto.INT64, ["N", "T"]),
            "n": (TensorProto.INT32, ["N"]),
        },
        {"tags": (TensorProto.FLOAT, ["T", "N", 5])},
        weights,
    )


def _lstm(rng, width, hidden):
    return {
        "w": 0.4 * rng.standard_normal((1, 4 * hidden, width)).astype("f"),
        "r": 0.4 * rng.standard_normal((1, 4 * hidden, hidden)).astype("f"),
    }


def other_names(path):
    """An LSTM with states, whose open sizes have a name each."""
    sizes = {"x": ["D0", "D1", 3], "h": [1, "D2", 4], "c": [1, "D3", 4]}
    graph(
        path,
        [
            helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
            helper.make_node(
                "LSTM", ["steps", "w", "r", "", "", "h", "c"], ["Y", "hn", "cn"], hidden_size=4
            ),
            helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        ],
        {name: (TensorProto.FLOAT, size) for name, size in sizes.items()},
        {
            "y": (TensorProto.FLOAT, ["D1", "D0", 4]),
            "hn": (TensorProto.FLOAT, [1, "D4", 4]),
            "cn": (TensorProto.FLOAT, [1, "D5", 4]),
        },
        _lstm(np.random.default_rng(0), 3, 4) | {"one": np.array([1])},
    )


def written_state(path, rows):
    """An LSTM that starts from numbers for so many rows."""
    rng = np.random.default_rng(0)
    states = {n: rng.standard_normal((1, rows, 4)).astype("f") for n in ("h0", "c0")}
    graph(
        path,
        [
            helper.make_node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["Y"], hidden_size=4),
            helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, ["time", "batch", 3])},
        {"y": (TensorProto.FLOAT, ["time", "batch", 4])},
        _lstm(rng, 3, 4) | states | {"one": np.array([1])},
    )


def wrapped_ids(path):
    """A table of 11 rows, whose ids below 0 count from its end."""
    rng = np.random.default_rng(0)
    graph(
        path,
        [
            helper.make_node("Less", ["ids", "zero"], ["below"]),
            helper.make_node("Cast", ["below"], ["wraps"], to=TensorProto.INT32),
            helper.make_node("Mul", ["wraps", "rows"], ["more"]),
            helper.make_node("Add", ["ids", "more"], ["places"]),
            helper.make_node("Gather", ["table", "places"], ["x"]),
            helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["steps", "w", "r"], ["Y"], hidden_size=4),
            helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        ],
        {"ids": (TensorProto.INT32, ["batch", "time"])},
        {"y": (TensorProto.FLOAT, ["time", "batch", 4])},
        _lstm(rng, 3, 4)
        | {
            "table": rng.standard_normal((11, 3)).astype("f"),
            "zero": np.array(0, np.int32),
            "rows": np.array(11, np.int32),
            "one": np.array([1]),
        },
    )

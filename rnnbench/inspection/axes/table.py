"""What each operator does with one dimension of a value that it reads.

A rule takes the node and the place, and gives what is read there and where the dimension goes on.
ONNX's and PyTorch's operators share rules.
"""

from __future__ import annotations

from rnnbench.inspection.axes import keeping, moving, picking
from rnnbench.inspection.axes.layers import through_layer
from rnnbench.inspection.axes.place import WHOLE, Place, Rule, Step
from rnnbench.inspection.axes.reshaping import reshape
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.operators import BROADCAST
from rnnbench.inspection.program import Node
from rnnbench.inspection.recurrences import FoundRecurrence


def step(flow: Flow, node: Node, place: Place, layer: FoundRecurrence | None) -> Step:
    """What a node does with a dimension of a value that it reads."""
    if layer is not None:
        return through_layer(node, place, layer)
    rule = _RULES.get(node.op)
    if rule is None:
        return Step([WHOLE])
    try:
        return rule(flow, node, place)
    except (ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError):
        return Step([WHOLE])  # of a damaged file, whose attributes do not fit its sizes


def _torch(*names: str) -> list[str]:
    return [f"aten.{name}" for name in names]


_KEEPS = (
    *("Identity", "Cast", "CastLike", "Relu", "Tanh", "Sigmoid", "Neg", "Abs", "Exp", "Log"),
    *("Sqrt", "Reciprocal", "Erf", "Elu", "Selu", "LeakyRelu", "Softplus", "Softsign", "Not"),
    *("HardSigmoid", "HardSwish", "Dropout", "Floor", "Ceil", "Round", "Sin", "Cos", "Sign"),
    *("Gelu", "Mish", "Celu", "ThresholdedRelu", "Clip", "BatchNormalization", "Swish", "IsNaN"),
    *("QuantizeLinear", "DequantizeLinear"),
    *_torch("relu", "tanh", "sigmoid", "neg", "abs", "exp", "log", "sqrt", "erf", "elu", "gelu"),
    *_torch("leaky_relu", "silu", "dropout", "clone", "contiguous", "alias", "to", "_to_copy"),
    *_torch("detach", "clamp", "hardtanh", "batch_norm", "lift_fresh_copy", "floor", "ceil"),
)
_REDUCES = (
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSumExp", *_torch("sum", "mean", "amax", "amin")),
)
_SIZES = (
    *("Shape", "Size", "ConstantOfShape", *_torch("size", "sym_size", "dim", "new_zeros")),
    *_torch("zeros_like", "ones_like", "new_ones", "full_like", "new_full"),
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_KEEPS, keeping.same),
    **dict.fromkeys(
        ("Shape", "Size", *_torch("size", "sym_size", "new_zeros", "dim")), keeping.nothing
    ),
    **dict.fromkeys(("ConstantOfShape", *_torch("zeros_like", "ones_like")), keeping.nothing),
    **dict.fromkeys(("Pad", *_torch("pad", "constant_pad_nd")), keeping.changed),
    **dict.fromkeys(("CumSum", *_torch("cumsum", "softmax", "log_softmax")), keeping.mixed),
    "aten.flip": keeping.turned,
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool", "ConvTranspose"), keeping.convolution),
    **dict.fromkeys(_torch("conv1d", "conv2d", "max_pool1d", "avg_pool1d"), keeping.convolution),
    **dict.fromkeys(BROADCAST, keeping.elementwise),
    **dict.fromkeys(("MatMul", "Gemm", *_torch("linear", "matmul", "mm")), keeping.product),
    **dict.fromkeys(("LayerNormalization", "Softmax", "LogSoftmax"), keeping.over_axis),
    **dict.fromkeys(("Concat", "aten.cat"), keeping.join),
    **dict.fromkeys(_REDUCES, keeping.reduce),
    **dict.fromkeys(("Transpose", *_torch("transpose", "permute", "t")), moving.transpose),
    **dict.fromkeys(("Squeeze", "aten.squeeze"), moving.squeeze),
    **dict.fromkeys(("Unsqueeze", "aten.unsqueeze"), moving.unsqueeze),
    **dict.fromkeys(("Expand", "aten.expand"), moving.expand),
    **dict.fromkeys(("Reshape", "aten.view", "aten.reshape"), reshape),
    **dict.fromkeys(("Gather", "aten.index_select"), picking.gather),
    **dict.fromkeys(("GatherElements", "aten.gather"), picking.gather_elements),
    "GatherND": picking.gather_nd,
    "aten.index": picking.index,
    "aten.embedding": picking.embedding,
    "aten.select": picking.select,
    **dict.fromkeys(("Slice", "aten.slice"), picking.slice_),
    **dict.fromkeys(("Split", *_torch("split", "split_with_sizes")), picking.split),
    "aten.unbind": picking.unbind,
}
"""Operator -> its rule; one without may read everything."""

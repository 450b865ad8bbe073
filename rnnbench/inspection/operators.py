"""What operators do, by their names in ONNX and in PyTorch: tables, one place for each."""

from rnnbench.inspection.program import Program, walk

FUSED = {
    **{"RNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"},
    **{"aten.rnn_tanh": "rnn_tanh", "aten.rnn_relu": "rnn_relu"},
    **{"aten.gru": "gru", "aten.lstm": "lstm"},
}
# An LSTM whose inputs are quantised with one scale for a call. ONNX Runtime's has W (directions,
# input, 4 * hidden); PyTorch's take the weights as objects of their own.
QUANTISED = {
    "com.microsoft.DynamicQuantizeLSTM": "lstm",
    "aten.quantized_lstm": "lstm",
    "aten.quantized_gru": "gru",
}
CELLS = {
    **{"aten.rnn_tanh_cell": "rnn_tanh", "aten.rnn_relu_cell": "rnn_relu"},
    **{"aten.gru_cell": "gru", "aten.lstm_cell": "lstm"},
}
LOOPS = ("Scan", "Loop", "prim.Loop", "higher_order.scan", "higher_order.while_loop")

SIGMOID = ("Sigmoid", "aten.sigmoid")
TANH = ("Tanh", "aten.tanh")
RELU = ("Relu", "aten.relu")
MULTIPLY = ("Mul", "aten.mul")
MATRIX = ("MatMul", "Gemm", "aten.linear", "aten.matmul", "aten.mm", "aten.addmm")

# One value taken out of a sequence.
PICK = (
    *("Gather", "Slice", "Split", "aten.select", "aten.slice", "aten.__getitem__", "aten.unbind"),
    *("aten.split", "aten.chunk", "aten.index_select", "aten.narrow"),
)
COLLECT = ("Concat", "aten.stack", "aten.cat")

# They hand values on as they are, whatever the shape; the data is the first argument.
PASS = (
    *PICK,
    *COLLECT,
    *("Identity", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Cast", "Expand"),
    *("aten.squeeze", "aten.unsqueeze", "aten.view", "aten.reshape", "aten.transpose", "aten.t"),
    *("aten.permute", "aten.contiguous", "aten.clone", "aten.alias", "aten.to", "aten.detach"),
    "aten.movedim",
    *("aten.expand", "aten.flip", "aten.unsafe_chunk", "aten.unsafe_split", "aten.flatten"),
    *("aten.split_with_sizes", "aten._to_copy", "aten.lift_fresh_copy", "aten.append"),
    *("prim.ListConstruct", "prim.TupleUnpack", "_operator.getitem", "higher_order.cond"),
)
# Values made of no input but its sizes.
MAKERS = (
    *("ConstantOfShape", "Shape", "EyeLike", "aten.zeros", "aten.ones", "aten.full", "aten.empty"),
    *("aten.new_zeros", "aten.new_ones", "aten.new_full", "aten.new_empty", "aten.zeros_like"),
    *("aten.ones_like", "aten.full_like", "aten.sym_size", "aten.size", "aten.arange"),
)
# Element by element, their arguments' sizes aligned at their ends.
BROADCAST = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Where", "Min", "Max", "Sum", "Mean", "Mod", "PRelu"),
    *("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor"),
    *("aten.add", "aten.sub", "aten.mul", "aten.div", "aten.pow", "aten.where", "aten.minimum"),
    *("aten.maximum", "aten.rsub", "aten.lt", "aten.le", "aten.gt", "aten.ge", "aten.eq"),
    *("aten.ne", "aten.logical_and", "aten.logical_or", "aten.bitwise_and", "aten.bitwise_or"),
)

# Arguments of the fused layers, which a file may give by place.
PADDED = (
    *("input", "hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional"),
    "batch_first",
)
PACKED = (
    *("data", "batch_sizes", "hx", "params", "has_biases", "num_layers", "dropout", "train"),
    "bidirectional",
)

_ROUNDING = ("QuantizeLinear", "DynamicQuantize", "QLinear", "Round", "quantize", "quantized_")


def rounding_operators(program: Program) -> tuple[str, ...]:
    """The operators of a file that round what it computes to whole numbers.

    Where a value is near the middle of two of them, runtimes round to one or the other.
    """
    ops = dict.fromkeys(node.op for node in walk(program.graph))
    whole = ("QuantizeLinear",) if program.whole else ()  # of products that are read as floats
    found = tuple(op for op in ops if any(part in op for part in _ROUNDING))
    return tuple(dict.fromkeys((*found, *whole)))

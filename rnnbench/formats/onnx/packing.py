"""The weights of a layer in ONNX's order of gates, made as a file is written.

The operators' definitions: https://onnx.ai/onnx/operators/onnx__LSTM.html (and GRU, RNN).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.core.recurrence import GATES

# ONNX's gates in PyTorch's numbering: i,o,f,c of i,f,g,o; z,r,h of r,z,n.
_ORDER = {"rnn_tanh": (0,), "rnn_relu": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}


def pack(
    weights: Sequence[ir.TensorProtocol], kind: str, directions: int
) -> list[ir.TensorProtocol | None]:
    """PyTorch's weights as ONNX's W, R and B, put in order each time that they are read.

    So those of a large layer are in memory once until the file is written.

    Args:
        weights: `weight_ih` (gates * hidden, input), `weight_hh` (gates * hidden, hidden) and, if
            there are biases, `bias_ih`, `bias_hh` (gates * hidden) of each direction.
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        directions: 1 or 2.

    Returns:
        W (directions, gates * hidden, input), R (directions, gates * hidden, hidden) and
        B (directions, 2 * gates * hidden), or None without biases.
    """
    per = len(weights) // directions

    def packed(*parts: int) -> ir.TensorProtocol:
        first = weights[parts[0]]
        rows, *columns = first.shape.numpy()
        shape = ir.Shape([directions, rows * len(parts), *columns])

        def read() -> ir.TensorProtocol:
            filled = np.empty(shape.numpy(), first.dtype.numpy())
            for d in range(directions):
                each = [weights[d * per + part].numpy() for part in parts]
                gates = [np.split(weight, GATES[kind])[g] for weight in each for g in _ORDER[kind]]
                np.concatenate(gates, out=filled[d])
            return ir.tensor(filled, dtype=first.dtype)

        return ir.LazyTensor(read, first.dtype, shape)

    return [packed(0), packed(1), packed(2, 3) if per == 4 else None]

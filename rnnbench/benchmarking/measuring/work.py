"""What a call must do at least: the weights that it reads, and the operations of its products.

For a recurrent layer with G gates (Elman 1, GRU 3, LSTM 4), input size I and hidden size H, PyTorch
(torch.nn.RNN, GRU, LSTM: "Variables") and ONNX (operators RNN, GRU, LSTM) agree on

    weights:    G H I + G H H, and two biases of G H
    operations: 2 G H (I + H) for each row and step: a multiplication and an addition per weight

Activations and sums of gates are left out: they are O(H), not O(H^2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    import torch

    from rnnbench.core.model import Model

GATES = {"elman": 1, "gru": 3, "lstm": 4}
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Work:
    """Of one call.

    Attributes:
        weight_bytes: that must be read once a call.
        flops: of the matrix products; 0 where they are not known.
        recurrent_flops: of those, what a step needs the step before for.
        input_bytes: of the inputs.
        output_bytes: of the outputs.
    """

    weight_bytes: int
    flops: int
    recurrent_flops: int
    input_bytes: int
    output_bytes: int


def of_layers(cell: str, sizes: dict[str, int], input_size: int) -> tuple[int, int, int]:
    """Bytes of weights, operations, and the recurrent ones among them, by the formulas above.

    Args:
        cell: elman, gru or lstm.
        sizes: `batch`, `time`, `hidden`, `layers`.
        input_size: of the first layer; the others read the hidden state below.
    """
    gates, hidden, layers = GATES[cell], sizes["hidden"], sizes["layers"]
    inputs = [input_size] + [hidden] * (layers - 1)
    weights = sum(gates * hidden * (size + hidden + 2) for size in inputs)
    steps = sizes["batch"] * sizes["time"]
    recurrent = 2 * steps * gates * hidden * hidden * layers
    products = 2 * steps * gates * hidden * sum(inputs)
    return _FLOAT_BYTES * weights, products + recurrent, recurrent


def nbytes(arrays: Arrays) -> int:
    """Of all arrays together."""
    return sum(array.nbytes for array in arrays.values())


def weight_bytes(module: torch.nn.Module, rows: int) -> int:
    """Of the parameters; of an embedding, only as many rows as a call can look up."""
    import torch

    tables = {
        id(part.weight): part.weight
        for part in module.modules()
        if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag)
    }
    total = 0
    for parameter in module.parameters():
        size = parameter.numel() * parameter.element_size()
        if id(parameter) in tables:
            size = min(size, rows * parameter.shape[1] * parameter.element_size())
        total += size
    return total


def count_flops(model: Model, arrays: Arrays) -> int:
    """Operations of a call of any module, counted by PyTorch; 0 where it cannot run so.

    In float64, where PyTorch has no LSTM of oneDNN whose insides the counter would not see.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from rnnbench.models.calls import call_float64, undisturbed

    counter = FlopCounterMode(display=False)
    try:
        with undisturbed(model.module, double=True), counter:
            call_float64(model.module, model.inputs, model.outputs, arrays)
    except Exception:  # a module that insists on float32: an optional figure is no reason to stop
        return 0
    return int(counter.get_total_flops())

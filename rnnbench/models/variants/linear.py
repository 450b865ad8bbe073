"""The Elman network with a cell made by hand: one linear layer over input and state, then tanh.

The same function as `nn.RNNCell` with one weight and one bias instead of two each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rnnbench.models.variants._network import CellLoop, Network, layer_sizes, make_head

if TYPE_CHECKING:
    from rnnbench.models.variants import Options

FORMS = {"linear-loop": "nn.Linear over input and state, then tanh or relu, in a Python loop"}
INPUT = "features"
STATES = {"h0": "hn"}
LAYERS = 1


class LinearCell(nn.Module):
    """h' = tanh(W [x, h] + b)."""

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)
        self.activation = torch.tanh if nonlinearity == "tanh" else torch.relu

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """`x` [batch, input], `h` [batch, hidden] -> the next `h`."""
        return self.activation(self.linear(torch.cat((x, h), dim=1)))


def build(form: str, options: Options) -> nn.Module:
    """The loop; there is one form only."""
    cells = (
        LinearCell(size, options.hidden_size, options.nonlinearity) for size in layer_sizes(options)
    )
    return Network(CellLoop(cells, options.dropout), make_head(options))


def split(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the `elman` network that computes the same.

    W [hidden, input + hidden] is split into its two parts; the second bias is zero.
    """
    converted = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"(.*)linear\.(weight|bias)_l(\d+)", name)
        if match is None:
            converted[name] = tensor
            continue
        prefix, kind, layer = match.groups()
        if kind == "weight":
            inputs = tensor.shape[1] - tensor.shape[0]
            parts = (tensor[:, :inputs].clone(), tensor[:, inputs:].clone())
        else:
            parts = (tensor, torch.zeros_like(tensor))
        for side, part in zip(("ih", "hh"), parts, strict=True):
            converted[f"{prefix}{kind}_{side}_l{layer}"] = part
    return converted


TWINS = {"linear-loop": ("elman", split)}

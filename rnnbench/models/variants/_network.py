"""What the variants are put together from: a loop of cells, and a network around a recurrence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from rnnbench.models.variants import Options


class CellLoop(nn.Module):
    """Runs one cell per layer in a Python loop over time, as `nn.RNN` and `nn.GRU` do in C++."""

    def __init__(self, cells: Iterable[nn.Module], dropout: float) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.dropout = nn.Dropout(dropout)
        name_as_fused(self)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the layers one after the other.

        Args:
            x: [time, batch, input]
            h0: [layer, batch, hidden]

        Returns:
            The last layer's states [time, batch, hidden], and every layer's last one, as `h0`.
        """
        last = []
        for layer, cell in enumerate(self.cells):
            h, steps = h0[layer], []
            for x_t in (x if layer == 0 else self.dropout(x)).unbind(0):
                h = cell(x_t, h)
                steps.append(h)
            x = torch.stack(steps)
            last.append(h)
        return x, torch.stack(last)


class Network(nn.Module):
    """A recurrence with one state, then a head (`nn.Identity`: the hidden state is the output)."""

    def __init__(self, rnn: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """`x` [time, batch, input], `h0` [layer, batch, hidden] -> `y` [time, batch, out], `hn`."""
        y, hn = self.rnn(x, h0)
        return self.head(y), hn


class BidirectionalNetwork(nn.Module):
    """A recurrence in both directions, then a head: it needs whole sequences, so has no state."""

    def __init__(self, rnn: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """`x` [time, batch, input] -> `y` [time, batch, output]."""
        y: Tensor = self.head(self.rnn(x)[0])
        return y


def make_head(options: Options) -> nn.Module:
    """The layer from the hidden state (of both directions) to the output, or none."""
    if options.output_size is None:
        return nn.Identity()
    directions = 2 if options.bidirectional else 1
    return nn.Linear(directions * options.hidden_size, options.output_size)


def layer_sizes(options: Options) -> list[int]:
    """What each layer reads: the input, then the hidden state of the layer below."""
    return [options.input_size, *[options.hidden_size] * (options.num_layers - 1)]


def name_as_fused(loop: nn.Module) -> None:
    """Has `loop.cells` saved and loaded under the names of the fused layer.

    `cells.{k}.weight_ih` is called `weight_ih_l{k}` in the state dict, so that one state dict loads
    strictly into both forms.
    """
    loop.register_state_dict_post_hook(_to_fused)
    loop.register_load_state_dict_pre_hook(_to_cells)


def same(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The conversion between two forms that have the same parameters."""
    return dict(state)


def _names(loop: nn.Module, prefix: str) -> list[tuple[str, str]]:
    pairs = []
    for name, _ in loop.named_parameters():
        if name.startswith("cells."):
            layer, parameter = name.removeprefix("cells.").split(".", 1)
            pairs.append((f"{prefix}{name}", f"{prefix}{parameter}_l{layer}"))
    return pairs


def _to_fused(loop: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for cell_name, fused_name in _names(loop, prefix):
        state[fused_name] = state.pop(cell_name)


def _to_cells(loop: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for cell_name, fused_name in _names(loop, prefix):
        if fused_name in state:
            state[cell_name] = state.pop(fused_name)

"""Stands in for `nn.RNN`, `nn.GRU` and `nn.LSTM` while a module is exported.

The functions that these layers (and the authors who know them) call at the end are intercepted, so
the layers' own code for unbatched input, checks and initial states runs as it is, and nothing of
the module is touched. Packed sequences stay padded: see `_Packing`.

An `nn.GRU` of an x [time, batch, 4] traces as

    zeros = zeros([1, batch, 4])
    recurrence = recurrence(x, None, zeros, None, [weight_ih_l0, ...], 'gru', 'forward')
    y, h_n = recurrence[0], recurrence[1]

where it would be `gru.input(x, zeros, [weight_ih_l0, ...], True, 1, ...)`, its batch a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode

from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.tracing.projection import projected_layer
from rnnbench.capture.tracing.scripted import scripts_standing_in
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.recurrence import KINDS

_FUSED: dict[Any, str] = {getattr(torch, kind): kind for kind in KINDS}
_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_LAYERS: tuple[type[nn.RNNBase], ...] = (nn.RNN, nn.GRU, nn.LSTM)


def run_layers(
    x: Tensor,
    hx: list[Tensor],
    weights: list[Tensor],
    kind: str,
    *,
    bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """A stack of layers as one `rnnbench::recurrence` each.

    Args:
        x: (time, batch, input).
        hx: h0 and, of an LSTM, c0: (num_layers * directions, batch, hidden or projection).
        weights: as in `RNNBase._flat_weights`.
        kind: one of `KINDS`.
        bias: whether `weights` has biases.
        num_layers: how many layers are stacked.
        bidirectional: whether each layer runs both ways.
        lengths: (batch,) valid steps per row, or None.

    Returns:
        y (time, batch, directions * hidden), and the final states, shaped as `hx`.
    """
    directions = 2 if bidirectional else 1
    direction = "bidirectional" if bidirectional else "forward"
    per_layer = len(weights) // num_layers
    projected = per_layer // directions > (4 if bias else 2)  # a weight_hr beside the usual ones
    final: list[list[Tensor]] = []
    for k in range(num_layers):
        # [num_layers * directions, batch, hidden] -> [directions, batch, hidden]
        states = [s[k * directions : (k + 1) * directions] if num_layers > 1 else s for s in hx]
        own = list(weights[k * per_layer : (k + 1) * per_layer])
        if projected:
            x, *after = projected_layer(x, lengths, states[0], states[1], own, directions)
        else:
            h0, c0 = states[0], states[1] if kind == "lstm" else None
            # x [time, batch, directions * hidden] is the input of the next layer
            x, *after = recurrence(x, lengths, h0, c0, own, kind, direction)
        final.append(after)
    # Of each state: [directions, batch, hidden] a layer -> [layers * directions, batch, hidden]
    stacked = [
        torch.cat([layer[i] for layer in final]) if num_layers > 1 else final[0][i]
        for i in range(len(hx))
    ]
    return x, stacked


class Listed:
    """`lengths.tolist()` and `lengths.numpy()`, as `pack_padded_sequence` takes them.

    What is in it is not known while a module is traced.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def _refuse(self, *_: Any) -> Any:
        raise RnnbenchError(
            "what the module does next depends on the values of a tensor (its numbers as a list "
            "or numpy array): keep it a tensor, without .tolist() or .numpy()"
        )

    __iter__ = __len__ = __getitem__ = __contains__ = __array__ = __int__ = __index__ = _refuse


class _Packing:
    """Packed sequences, kept as padded ones.

    `data` of such a `PackedSequence` is the padded input, time first, its first two dimensions
    flattened: what works row by row on `data` works on it, and shapes stay symbolic. The lengths
    are remembered by the identity of `batch_sizes`, which is computed as PyTorch would.
    """

    def __init__(self) -> None:
        self._lengths: dict[int, tuple[Tensor, Tensor]] = {}

    def pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """Stands in for `torch._pack_padded_sequence`."""
        x = x.transpose(0, 1) if batch_first else x  # [time, batch, input]
        longest = lengths.max().item()  # an unknown number, within these bounds
        torch._check(longest >= 1)
        torch._check(longest <= x.shape[0])
        steps = torch.arange(longest, device=lengths.device)  # [longest]
        # [longest, 1] < [1, batch] -> [longest, batch] -> [longest]: the rows that still run
        batch_sizes = (steps.unsqueeze(1) < lengths.unsqueeze(0)).sum(1)
        self._lengths[id(batch_sizes)] = (batch_sizes, lengths)  # kept alive: the id stays its own
        return x.flatten(0, 1), batch_sizes  # [time * batch, input], [longest]

    def lengths(self, batch_sizes: Tensor) -> Tensor:
        """The lengths with which a sequence was packed, in its order."""
        known = self._lengths.get(id(batch_sizes))
        if known is None:
            raise RnnbenchError(
                "a PackedSequence was not made by pack_padded_sequence inside the module: "
                "pack it there, from a padded input and its lengths"
            )
        return known[1]

    def unpack(
        self, data: Tensor, batch_sizes: Tensor, batch_first: bool, padding: float, total: int
    ) -> tuple[Tensor, Tensor]:
        """Stands in for `torch._pad_packed_sequence`."""
        lengths = self.lengths(batch_sizes)  # [batch]
        x = data.unflatten(0, (-1, lengths.shape[0]))  # [time, batch, hidden]
        padded = x.shape[0]
        steps = torch.arange(padded, device=lengths.device)  # [time]
        valid = steps.unsqueeze(1) < lengths.unsqueeze(0)  # [time, batch]
        valid = valid.reshape(valid.shape + (1,) * (x.dim() - 2))  # [time, batch, 1]
        x = torch.where(valid, x, padding)
        # Whether `total` is longer is not known: it is padded as far, and then cut.
        if str(total) not in (str(padded), str(batch_sizes.shape[0])):
            x = torch.cat([x, x.new_full((total, *x.shape[1:]), padding)])
        if str(total) != str(padded):  # as above: two objects may be one size
            x = x[:total]
        return (x.transpose(0, 1) if batch_first else x), lengths

    def layer(
        self, module: nn.RNNBase, packed: PackedSequence, hx: Any
    ) -> tuple[PackedSequence, Any]:
        """Stands in for the forward of a layer on a packed sequence."""
        data, batch_sizes, order, back = packed
        lengths = self.lengths(batch_sizes)  # [batch], in the order in which the rows were packed
        x = data.unflatten(0, (-1, lengths.shape[0]))  # [time, batch, input]
        kind = module.mode.lower()
        lstm = kind == "lstm"
        if hx is None:
            rows = module.num_layers * (2 if module.bidirectional else 1)
            sizes = [module.proj_size or module.hidden_size, module.hidden_size]
            # h0 [rows, batch, projection or hidden], c0 [rows, batch, hidden]
            states = [x.new_zeros(rows, x.shape[1], size) for size in sizes[: 2 if lstm else 1]]
        else:
            states = list(hx) if lstm else [hx]
            # They are given in the order of the rows before packing; so are the final ones.
            if order is not None:
                states = [s.index_select(1, order) for s in states]
        y, final = run_layers(
            x,
            states,
            cast(list[Tensor], module._flat_weights),
            kind,
            bias=module.bias,
            num_layers=module.num_layers,
            bidirectional=module.bidirectional,
            lengths=lengths,
        )
        if back is not None:
            final = [s.index_select(1, back) for s in final]
        # y [time, batch, directions * hidden] -> [time * batch, directions * hidden]
        result = PackedSequence(y.flatten(0, 1), batch_sizes, order, back)
        return result, tuple(final) if lstm else final[0]


class _Intercept(TorchFunctionMode):
    """Sends calls of the fused functions and of packing to their stand-ins."""

    def __init__(self, packing: _Packing) -> None:
        super().__init__()
        self._instead: dict[Any, Callable[..., Any]] = {
            _DATA: torch.Tensor.detach,  # `x.data` leaves the trace; what is written must not
            torch._pack_padded_sequence: packing.pack,
            torch._pad_packed_sequence: packing.unpack,
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        return (self._stand_in(func, args, kwargs) or func)(*args, **kwargs)

    def _stand_in(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[..., Any] | None:
        """What to call in the place of a function; None: itself."""
        if func in _FUSED:
            padded = not kwargs and len(args) == 9 and isinstance(args[3], bool)
            return partial(_padded_call, _FUSED[func]) if padded else None
        if func is torch.Tensor.numpy:
            return None if args[0].is_floating_point() else _listed
        if func is torch.as_tensor:
            return _unlisted if isinstance(args[0], Listed) else None
        return self._instead.get(func)


def _padded_call(
    kind: str,
    x: Tensor,
    hx: Any,
    weights: list[Tensor],
    bias: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """`torch.lstm(...)` and its kin; their arguments, in their order."""
    x = x.transpose(0, 1) if batch_first else x  # [time, batch, input]
    states = list(hx) if kind == "lstm" else [hx]
    y, final = run_layers(
        x,
        states,
        weights,
        kind,
        bias=bias,
        num_layers=num_layers,
        bidirectional=bidirectional,
    )
    return (y.transpose(0, 1) if batch_first else y, *final)


def _pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Its code stands in for that of `pad_packed_sequence`, wherever that was imported to.

    It does not compare `total_length` with the longest row, which a trace does not know.
    """
    from torch import _pad_packed_sequence as pad

    sizes = sequence.batch_sizes  # [longest]
    total = sizes.size(0) if total_length is None else total_length
    x, lengths = pad(sequence.data, sizes, batch_first, padding_value, total)
    order = sequence.unsorted_indices  # [batch]
    if order is None:  # packed as sorted
        return x, lengths
    return x.index_select(0 if batch_first else 1, order), lengths.index_select(0, order)


def _listed(x: Tensor, **_: Any) -> Listed:
    """Stands in for `x.tolist()` and `x.numpy()`."""
    return Listed(x)


def _unlisted(numbers: Listed, **_: Any) -> Tensor:
    """Stands in for `torch.as_tensor`."""
    return numbers.tensor


@contextmanager
def standing_in(root: nn.Module) -> Iterator[None]:
    """While it lasts, recurrent layers trace as `rnnbench::recurrence`; then all is as it was.

    Args:
        root: the module that is traced; scripted modules in it are run as if they were Python.
    """
    packing = _Packing()
    originals = {layer: layer.forward for layer in _LAYERS}
    tolist = FakeTensor.tolist
    unpacking = pad_packed_sequence.__code__

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(module: nn.RNNBase, input: Any, hx: Any = None) -> Any:
            if isinstance(input, PackedSequence):
                return packing.layer(module, input, hx)
            return original(module, input, hx)

        return forward

    try:
        for layer, original in originals.items():
            layer.forward = wrap(original)
        FakeTensor.tolist = _listed  # type: ignore[method-assign, assignment]
        # The name may have been imported anywhere: the function stays, what it does is exchanged.
        pad_packed_sequence.__code__ = _pad_packed_sequence.__code__
        with _Intercept(packing), scripts_standing_in(root):
            yield
    finally:
        pad_packed_sequence.__code__ = unpacking
        FakeTensor.tolist = tolist  # type: ignore[method-assign]
        for layer, original in originals.items():
            layer.forward = original

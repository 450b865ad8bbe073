"""Stands in for `nn.RNN`, `nn.GRU` and `nn.LSTM` while a module is exported.

The functions that these layers (and the authors who know them) call at the end are intercepted, so
the layers' own code for unbatched input, checks and initial states runs as it is, and nothing of
the module is touched. Packed sequences stay padded: see `packing.py`.

An `nn.GRU` of an x [time, batch, 4] traces as

    zeros = zeros([1, batch, 4])
    recurrence = recurrence(x, None, zeros, None, [weight_ih_l0, ...], 'gru', 'forward')
    y, h_n = recurrence[0], recurrence[1]

where it would be `gru.input(x, zeros, [weight_ih_l0, ...], True, 1, ...)`, its batch a number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.distributions import Distribution
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode

from rnnbench.capture.graph_edit import number
from rnnbench.capture.tracing.caches import without_caches
from rnnbench.capture.tracing.constants import ASKED, Constants
from rnnbench.capture.tracing.data_bounds import (
    Window,
    has_data_bounds,
    narrows_to_data,
    select_at,
    write_at,
)
from rnnbench.capture.tracing.data_branches import Answers
from rnnbench.capture.tracing.listed import Listed, is_whole
from rnnbench.capture.tracing.makers import indexed, is_listed_index, maker, making_tensors
from rnnbench.capture.tracing.packing import Packing, padded_again
from rnnbench.capture.tracing.python_numbers import symbolic_numbers
from rnnbench.capture.tracing.rewriting import Rewritten, running_both_ways
from rnnbench.capture.tracing.run_layers import run_layers
from rnnbench.capture.tracing.scripted import scripts_standing_in
from rnnbench.capture.tracing.selected import select_rows, take_as_some
from rnnbench.capture.tracing.spectra import istft
from rnnbench.core.one_thread import exchanged, exchanged_code, exchanged_setting
from rnnbench.core.recurrence import KINDS
from rnnbench.models.own_files import own_files

_NARROW = (torch.narrow, torch.Tensor.narrow)
_FUSED: dict[Any, str] = {getattr(torch, kind): kind for kind in KINDS}
_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_WHOLE = (torch.Tensor.__int__, torch.Tensor.__index__, torch.Tensor.item)
_PAD_PACKED = cast(FunctionType, pad_packed_sequence)
_LAYERS: tuple[type[nn.RNNBase], ...] = (nn.RNN, nn.GRU, nn.LSTM)


class _Intercept(TorchFunctionMode):
    """Sends calls of the fused functions and of packing to their stand-ins."""

    def __init__(self, packing: Packing, constants: Constants, told: Answers) -> None:
        super().__init__()
        self._packing = packing
        self._constants = constants
        self._told = told
        self._instead: dict[Any, Callable[..., Any]] = {
            _DATA: torch.Tensor.detach,  # `x.data` leaves the trace; what is written must not
            torch._pack_padded_sequence: packing.pack,
            torch._pad_packed_sequence: packing.unpack,
            torch.max_pool1d: _max_pool1d,
            nn.functional.max_pool1d: _max_pool1d,
            torch.where: _where,
            torch.linspace: _linspace,
            torch.masked_select: select_rows,
            torch.Tensor.masked_select: select_rows,
            torch.istft: istft,
            torch.Tensor.istft: istft,
            torch.equal: _equal,
            torch.Tensor.equal: _equal,
            torch.allclose: _allclose,
            torch.Tensor.allclose: _allclose,
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in ASKED:
            known, answer = self._answer(func, args[0])
            if known:
                return answer
        given = self._packing.of_rows(func, args)
        if given is not NotImplemented:
            return given
        stand_in = self._stand_in(func, args, kwargs)
        if stand_in is not None:
            return stand_in(*args, **kwargs)
        result = func(*args, **kwargs)
        self._packing.note(func, args, result)
        self._constants.note(func, args, kwargs, result)
        if self._told.rows:
            take_as_some(func, args, result)
        return result

    def _answer(self, func: Callable[..., Any], x: Tensor) -> tuple[bool, Any]:
        """Whether what is asked of a tensor is known or told, and what it is."""
        known, answer = self._constants.ask(func, x)
        if known or number(x.numel()) != 1:
            return known, answer
        if func is torch.Tensor.__bool__:
            answer = self._told.answer(x)
        elif func in _WHOLE and is_whole(x):
            answer = self._told.number(x)
            if answer is None and func is torch.Tensor.item and self._told.rows:
                answer = x.reshape(())  # the number of a row
        return answer is not None, answer

    def _stand_in(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[..., Any] | None:
        """What to call in the place of a function; None: itself."""
        if func in _FUSED:
            padded = not kwargs and len(args) == 9 and isinstance(args[3], bool)
            return partial(_padded_call, _FUSED[func]) if padded else None
        if func is torch.Tensor.numpy:
            return partial(Listed, kind="array", row_by_row=self._told.rows)
        if func is torch.Tensor.__getitem__ and type(args[1]) is int:
            return self._packing.rows_of_a_step(args[0])
        if func in _NARROW and narrows_to_data(args, kwargs):
            return Window
        return maker(func, args) or _at_data(func, args) or self._instead.get(func)


def _at_data(func: Any, args: tuple[Any, ...]) -> Callable[..., Any] | None:
    """What to call where a place in a tensor is a number that is not known."""
    if func is torch.Tensor.__setitem__ and has_data_bounds(args[1]):
        return write_at
    if func is torch.select and isinstance(args[-1], Tensor):  # what `x[number]` becomes
        return select_at
    return indexed if func is torch.Tensor.__getitem__ and is_listed_index(args[1]) else None


def _padded_call(
    kind: str, x: Tensor, hx: Any, weights: list[Tensor], *flags: Any
) -> tuple[Tensor, ...]:
    """Stands in for `torch.lstm(...)` and its kin; these are their arguments, in their order."""
    bias, num_layers, _dropout, _train, bidirectional, batch_first = flags
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


def _where(condition: Tensor, *given: Any, **named: Any) -> Any:
    """`torch.where`, which takes a mask of bytes too, where a trace does not."""
    is_mask = condition.dtype == torch.uint8
    return torch.where(condition.to(torch.bool) if is_mask else condition, *given, **named)


def _equal(a: Tensor, b: Tensor) -> Any:
    """`torch.equal`, which gives a truth of Python: a tensor, which an `if` may ask."""
    return (a == b).all() if a.shape == b.shape else False


def _allclose(a: Tensor, b: Tensor, *given: Any, **named: Any) -> Tensor:
    """`torch.allclose`, likewise."""
    return torch.isclose(a, b, *given, **named).all()


def _linspace(start: Any, end: Any, steps: Any, **options: Any) -> Tensor:
    """`torch.linspace`, which makes a number of a size."""
    if not isinstance(steps, torch.SymInt):
        return torch.linspace(start, end, steps, **options)
    options.setdefault("dtype", torch.get_default_dtype())
    spaces = torch.sym_max(steps - 1, 1)
    at: Tensor = torch.arange(steps, **options)  # type: ignore[call-overload]
    spaced: Tensor = at * ((end - start) / spaces) + start
    return spaced


def _max_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,  # with indices, it is another function
) -> Tensor:
    """Stands in for `torch.max_pool1d`, which makes numbers of sizes: x (batch, channels, time)."""

    def wide(value: Any, other: int) -> list[int]:
        return [other, value[0] if isinstance(value, list | tuple) else value]

    step = kernel_size if stride is None or stride == [] else stride
    # [batch, channels, time] -> [batch, channels, 1, time], and back
    pooled = torch.max_pool2d(
        x.unsqueeze(-2),
        wide(kernel_size, 1),
        wide(step, 1),
        wide(padding, 0),
        wide(dilation, 1),
        ceil_mode,
    )
    return pooled.squeeze(-2)


def _each_row(x: Tensor, packing: Packing, told: Answers) -> Iterator[Any]:
    """Stands in for `Tensor.__iter__`."""
    walked = packing.walked(x)
    if walked is not None:
        return iter(walked)
    if told.rows:
        return Tensor.__iter__(x)  # type: ignore[no-any-return, no-untyped-call]
    return iter(Listed(x)) if _counts_rows(x) else Tensor.__iter__(x)  # type: ignore[no-untyped-call]


def _rows(x: Tensor, packing: Packing, told: Answers) -> int:
    """Stands in for `Tensor.__len__`, which `list(x)` asks first, and makes a number of a size."""
    walked = packing.walked(x)
    if walked is not None:
        return len(walked)
    if _counts_rows(x) and not told.rows:
        raise TypeError("how many rows there are is not known: take x.shape[0]")
    return Tensor.__len__(x)  # type: ignore[no-any-return, no-untyped-call]


def _counts_rows(x: Tensor) -> bool:
    """Whether it has a whole number for each row of a batch that is dynamic."""
    return x.dim() == 1 and not x.dtype.is_floating_point and isinstance(x.shape[0], torch.SymInt)


@contextmanager
def standing_in(
    root: nn.Module,
    told: Answers,
    those: Rewritten,
    sizes: Collection[int],
    whole: int | None = None,
) -> Iterator[Packing]:
    """While it lasts, recurrent layers trace as `rnnbench::recurrence`; then all is as it was.

    Args:
        root: the module that is traced; scripted modules in it are run as if they were Python.
        told: what to answer where the truth of a tensor is asked for.
        those: the functions that run both ways of an `if` on data.
        sizes: the sizes that loops over steps have in this trace.
        whole: how many packed sequences are unpacked with all steps, where rows are counted.
    """
    packing, constants = Packing(those.counts_rows, whole), Constants(root)

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(module: nn.RNNBase, input: Any, hx: Any = None) -> Any:
            if isinstance(input, PackedSequence):
                return packing.layer(module, input, hx)
            return original(module, input, hx)

        return forward

    def truth(x: Tensor) -> bool | None:
        known, answer = constants.ask(torch.Tensor.__bool__, x)
        return bool(answer) if known else None

    def listed(x: Tensor) -> Any:
        known, answer = constants.ask(torch.Tensor.tolist, x)
        walked = packing.walked(x)
        if known or walked is not None:
            return answer if known else walked
        return list(x) if told.rows and x.dim() == 1 else Listed(x)

    with ExitStack() as instead:
        for layer in _LAYERS:
            instead.enter_context(exchanged(layer, "forward", wrap(layer.forward)))
        of_tensors: dict[str, Callable[[Tensor], Any]] = {
            "tolist": listed,
            "__iter__": lambda x: _each_row(x, packing, told),
            "__len__": lambda x: _rows(x, packing, told),
        }
        for name, function in of_tensors.items():
            instead.enter_context(exchanged(FakeTensor, name, function))
        # It asks whether parameters are valid, and raises: what is not would raise in eager mode.
        instead.enter_context(exchanged_setting(Distribution, "_validate_args", False))
        # The name may have been imported anywhere: the function stays, what it does is exchanged.
        instead.enter_context(exchanged_code(_PAD_PACKED, padded_again.__code__))
        with (
            _Intercept(packing, constants, told),
            scripts_standing_in(root),
            making_tensors(),
            without_caches(own_files(root)),
            symbolic_numbers(root),
            running_both_ways(those, truth, sizes, packing),
        ):
            yield packing

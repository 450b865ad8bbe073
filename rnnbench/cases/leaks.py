"""Closed gates that are not quite closed, as in runtimes whose functions are other ones.

    sigmoid(-17) is 4.1e-8, and elsewhere 1.1e-7: of a state of 500 that is 3.5e-5 more

Where a gate is saturated, of trained weights or since inputs and states are hundreds, no rounding
of what goes in moves it: a unit that stays closed gives 7e-8 in PyTorch and 2e-7 elsewhere. What a
runtime lets through is multiplied by a large state, adds up over the gates, and is multiplied again
by what follows. So it is let through here, and followed to the outputs. It is a part of
`Rule.factor` of a rounding of 1, so that the whole of it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.models.precision import LEVELS

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]

_LEAK = 6e-9
"""A tenth of what a float32 function of size 1 is off by where it is well rounded."""

_TIE = 5e-4
"""Of a whole number: how near to the middle of two of them a value is where roundings decide.

Of 127 it is 66 roundings of float32, several times what any value is off by before the first
decision that is another one; where numbers around it are beyond 127, as many of the largest, of
which it may be a sum. The first run decides all of them upwards, and the next downwards, so
that each is made otherwise than in float64 in one of the two, and followed to the outputs.
"""


@contextmanager
def leaking(module: torch.nn.Module, run: int, rng: np.random.Generator) -> Iterator[None]:
    """Sigmoid and tanh are off by a little meanwhile, and layers let some of their states through.

    A function's error is the same at each step, so that it adds up over them, and what it does to
    one gate may cancel what it does to the next. So of several runs, one has both functions off up,
    the next sigmoid up and tanh down, and the next each element by chance.

    Of a file that rounds values to whole numbers, the nearest of two decides otherwise, too.

    Args:
        module: whose fused layers and cells, which call no function of Python, do so.
        run: which of several, 0, 1 ...
        rng: of what is by chance.
    """
    import torch
    from torch import nn

    def signs(function: str, shape: tuple[int, ...]) -> Array:
        if run % 3 == 2:
            return np.asarray(rng.integers(0, 2, shape) * 2.0 - 1)
        return np.asarray(-1.0 if run % 3 == 1 and function != "sigmoid" else 1.0)

    def off(x: torch.Tensor, function: str, size: float = 1.0) -> torch.Tensor:
        if not x.is_floating_point():
            return x
        return _more(x, np.asarray(signs(function, tuple(x.shape)) * (_LEAK * size)))

    def off_array(array: Array, function: str) -> Array:
        size = _tie(array) if function == "round" else np.asarray(_LEAK)
        return np.asarray(array + (signs(function, array.shape) * size).astype(array.dtype))

    def hook(layer: nn.Module, args: Any, named: Any, outputs: Any) -> Any:
        states = args[1] if len(args) > 1 else named.get("hx")
        # A cell is called at each step, and what is called here is neither sigmoid nor tanh.
        with torch._C.DisableTorchFunction():
            most = max((float(s.abs().max()) for s in _tensors(states) if s.numel()), default=0.0)
            return _each(outputs, lambda x: off(x, "layer", max(most, 1.0)))

    with ExitStack() as stack:
        evaluated = getattr(module, "off_by", None)  # of a file, which does all of it itself
        if callable(evaluated):
            stack.enter_context(evaluated(off_array))
            yield
            return
        for part in module.modules():
            is_script = isinstance(part, torch.jit.ScriptModule)
            if isinstance(part, nn.RNNBase | nn.RNNCellBase) and not is_script:
                handle = part.register_forward_hook(hook, with_kwargs=True)
                stack.callback(handle.remove)
        stack.enter_context(_functions(off))
        yield


def _tie(quotients: Array) -> Array:
    """By each of [..., channels] or [..., channels, time]: no other row lends it anything.

    Less than the next decision but one, however large they are.
    """
    sizes = np.where(np.isfinite(quotients), np.abs(quotients), 0)
    most = sizes.max(-1, keepdims=True, initial=0)
    if sizes.ndim > 2:
        most = np.maximum(most, sizes.max(-2, keepdims=True, initial=0))
    return np.asarray(np.minimum(_TIE * np.maximum(1.0, most / LEVELS), 0.5))


def _more(x: torch.Tensor, by: Array) -> torch.Tensor:
    import torch

    if by.ndim == 0 and x.dtype in (torch.float32, torch.float64):
        return x + float(by)  # which is rounded to the dtype first, as below
    return x + torch.from_numpy(by).to(device=x.device, dtype=x.dtype)


def _functions(off: Callable[[Any, str], Any]) -> Any:
    """A mode in which the results of sigmoid and tanh are off."""
    import torch
    from torch.overrides import TorchFunctionMode

    known = {torch.tanh: "tanh", torch.Tensor.tanh: "tanh", torch.nn.functional.tanh: "tanh"}
    sigmoids = (torch.sigmoid, torch.Tensor.sigmoid, torch.special.expit)
    known |= dict.fromkeys((*sigmoids, torch.nn.functional.sigmoid), "sigmoid")

    class Off(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            return off(result, known[func]) if func in known else result

    return Off()


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def _each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The outputs of a layer, each changed: tensors, tuples of them, packed sequences."""
    import torch
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, PackedSequence):
        return value._replace(data=change(value.data))
    return tuple(_each(each, change) for each in value)

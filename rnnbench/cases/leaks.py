"""Closed gates that are not quite closed, as in runtimes whose functions are other ones.

    sigmoid(-17) is 4.1e-8, and elsewhere 1.1e-7: of a state of 500 that is 3.5e-5 more

Where inputs and states are hundreds, gates are saturated and no rounding of what goes in moves
them; what a runtime lets through is multiplied by a large state, adds up over the gates, and is
multiplied again by what follows. So it is let through here, and followed to the outputs. It is a
part of `Rule.factor` of a rounding of 1, so that the whole of it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

_LEAK = 6e-9
"""A tenth of what a float32 function of size 1 is off by where it is well rounded."""


@contextmanager
def leaking(module: torch.nn.Module, rng: np.random.Generator) -> Iterator[None]:
    """Sigmoid and tanh are off by a little meanwhile, and layers let some of their states through.

    Args:
        module: whose fused layers and cells, which call no function of Python, do so.
        rng: of the directions.
    """
    import torch
    from torch import nn

    def hook(layer: nn.Module, args: Any, named: Any, outputs: Any) -> Any:
        states = args[1] if len(args) > 1 else named.get("hx")
        most = max((float(s.abs().max()) for s in _tensors(states) if s.numel()), default=0.0)
        return _each(outputs, lambda x: _off(x, most, rng)) if most > 1 else outputs

    with ExitStack() as stack:
        for part in module.modules():
            is_script = isinstance(part, torch.jit.ScriptModule)
            if isinstance(part, nn.RNNBase | nn.RNNCellBase) and not is_script:
                handle = part.register_forward_hook(hook, with_kwargs=True)
                stack.callback(handle.remove)
        stack.enter_context(_functions(rng))
        yield


def _functions(rng: np.random.Generator) -> Any:
    """A mode in which the results of sigmoid and tanh are off."""
    import torch
    from torch.overrides import TorchFunctionMode

    known = {torch.sigmoid, torch.Tensor.sigmoid, torch.tanh, torch.Tensor.tanh}
    known |= {torch.special.expit, torch.nn.functional.sigmoid, torch.nn.functional.tanh}

    class Off(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            return _off(result, 1.0, rng) if func in known else result

    return Off()


def _off(x: torch.Tensor, size: float, rng: np.random.Generator) -> torch.Tensor:
    """The tensor, each element off by what leaks of so much, up or down."""
    import torch

    if not x.is_floating_point():
        return x
    signs = torch.from_numpy(rng.integers(0, 2, tuple(x.shape)) * 2.0 - 1)
    return x + (signs * (_LEAK * size)).to(device=x.device, dtype=x.dtype)


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

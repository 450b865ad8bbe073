"""The `forward` of a class as it is written, a scripted one too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def written_forward(cls: type[nn.Module]) -> Callable[..., Any] | None:
    """The function; None where a class has none of its own.

    A `torch.jit.ScriptModule` takes its script methods off the class, and keeps what they were
    made of.

    Args:
        cls: the class of a module.
    """
    from torch import nn

    for base in cls.__mro__:
        scripted = vars(base).get("_methods")
        if isinstance(scripted, dict) and "forward" in scripted:
            original: Callable[..., Any] = scripted["forward"].original_method
            return original
        if base is nn.Module:
            return None
        if "forward" in vars(base) and not base.__module__.startswith("torch.jit."):
            own: Callable[..., Any] = vars(base)["forward"]
            return own
    return None

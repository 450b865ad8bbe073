"""One export at a time, in which torch's own patches hold for its thread alone, too.

Every trace of `torch.fx` (`torch.export`, decompositions, the exporters) puts functions of its own
in the place of `nn.Module.__call__` and `nn.Module.__getattr__`, and `torch.export` in the place of
Python's `max` and `min`. A module that runs in another thread meanwhile would be traced along.
Tried on torch 2.11 to 2.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch._export import non_strict_utils
from torch.fx._symbolic_trace import _Patcher

from rnnbench.core.one_thread import by_thread, exchanged, one_at_a_time

_patch_method = _Patcher.patch_method


@contextmanager
def exporting_alone() -> Iterator[None]:
    """Waits until no other thread exports; others run modules as ever."""
    with one_at_a_time(), exchanged(_Patcher, "patch_method", _patch_for_this_thread):
        # Added in torch 2.7 or so; where it is another function, torch's `max` is left alone.
        if not hasattr(non_strict_utils, "_tensor_min_max"):
            yield
            return
        ours = non_strict_utils._tensor_min_max
        with exchanged(non_strict_utils, "_tensor_min_max", ours, otherwise=_python_only):
            yield


def _patch_for_this_thread(
    patcher: Any, cls: type, name: str, new_fn: Callable[..., Any], deduplicate: bool = True
) -> None:
    """`_Patcher.patch_method`, with a function that does what was there for other threads."""
    chosen = by_thread(new_fn, getattr(cls, name))
    _patch_method(patcher, cls, name, chosen, deduplicate)


def _python_only(
    *args: Any, real_callable: Callable[..., Any], tensor_callable: Any, **named: Any
) -> Any:
    """What `max(...)` is in a thread that traces nothing."""
    del tensor_callable
    return real_callable(*args, **named)

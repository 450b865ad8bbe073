"""What is particular to CUDA: it returns before it is done; who does not wait times the launch."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any

_WARM_UP_CALLS = 3
_DRIVERS = ("libcuda.so.1", "libcuda.so") if sys.platform != "win32" else ("nvcuda.dll",)


@cache
def driver_is_here() -> bool:
    """Whether NVIDIA's driver can be loaded on this machine, with or without a device."""
    return any(map(_loads, _DRIVERS))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def synchronised(launch: Callable[[], Any]) -> Callable[[], Any]:
    """The same call, which waits until the device has done it."""
    import torch

    wait = torch.cuda.synchronize

    def run() -> Any:
        returned = launch()
        wait()
        return returned

    return run


def capture_graph(launch: Callable[[], Any]) -> tuple[Callable[[], Any], Any]:
    """A call as a CUDA graph: how to replay it, and the tensors that a replay fills.

    As PyTorch's own notes on CUDA graphs ask, it is warmed up on a stream of its own first.
    """
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(_WARM_UP_CALLS):
            launch()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        returned = launch()
    return graph.replay, returned


def event_seconds(launch: Callable[[], Any], calls: int) -> float:
    """The median of the device's own time for a call, by a pair of events around each."""
    import torch

    pairs = []
    for _ in range(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        launch()
        end.record()
        pairs.append((start, end))
    torch.cuda.synchronize()
    milliseconds = median(start.elapsed_time(end) for start, end in pairs)
    return float(milliseconds) / 1000

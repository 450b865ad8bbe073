"""What is the same for everything that is timed: the threads, and no gradients but in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnnbench.core.known_warnings import scattered_weights
from rnnbench.core.threads import torch_threads


@contextmanager
def inference_mode(threads: int) -> Iterator[None]:
    """The same thread count for everybody, and no gradients (entering it would else be timed)."""
    import torch

    with torch_threads(threads), torch.inference_mode(), scattered_weights():
        yield


@contextmanager
def training_mode(threads: int) -> Iterator[None]:
    """The same thread count for everybody, with gradients."""
    import torch

    with torch_threads(threads), torch.enable_grad(), scattered_weights():
        yield

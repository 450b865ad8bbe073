"""What the runtimes that are PyTorch have in common."""

from __future__ import annotations

CUDNN_COARSENESS = 50.0  # an error of 1.1e-5 was seen
"""cuDNN's tanh is coarser: up to 1.1e-5 was seen in float32 (an H200, torch 2.11)."""


def torch_devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine."""
    import torch

    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("cpu", *(("cuda", *cuda) if cuda else ()))

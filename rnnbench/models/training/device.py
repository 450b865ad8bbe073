"""The devices that networks are trained on."""

from __future__ import annotations

import torch

from rnnbench.core.errors import choices


def find_device(name: str) -> torch.device:
    """A device that can be used on this machine.

    Raises:
        RnnbenchError: it cannot; the message lists those that can.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if accelerator is not None else 0
    kind = accelerator.type if accelerator is not None else ""
    possible = ["cpu", *([kind] if kind else []), *(f"{kind}:{n}" for n in range(count))]
    if name not in possible:
        raise choices("device", name, possible)
    return torch.device(name)

"""What the runtimes that are PyTorch have in common."""

from __future__ import annotations

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

CUDNN_COARSENESS = 50.0  # an error of 1.1e-5 was seen
"""cuDNN's tanh is coarser: up to 1.1e-5 was seen in float32 (an H200, torch 2.11)."""


def torch_devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine; it is imported only where there may be more."""
    if "torch" not in sys.modules and not _has_a_driver():
        return ("cpu",)
    import torch

    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("cpu", *(("cuda", *cuda) if cuda else ()))


def _has_a_driver() -> bool:
    """Whether this build of PyTorch is for a device whose driver can be loaded here."""
    from rnnbench.core.cuda import driver_is_here

    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return True  # it says why it is not here itself
    version = Path(spec.origin).with_name("version.py")
    try:
        built_for = _literals(version.read_text("utf-8"))
    except (OSError, SyntaxError):
        return True
    if built_for.get("hip") is not None or "cuda" not in built_for:
        return True
    return built_for["cuda"] is not None and driver_is_here()


def _literals(text: str) -> dict[str, object]:
    """The names that a module gives constants."""
    found: dict[str, object] = {}
    for node in ast.parse(text).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant):
            found |= {each.id: value.value for each in targets if isinstance(each, ast.Name)}
    return found

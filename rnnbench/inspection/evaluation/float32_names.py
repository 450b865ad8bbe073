"""onnx's reference, where it computes in float32 whatever it is given: copies that do not.

A few of its operators say `np.float32` inside (onnx 1.23: `astype(np.float32)` in LinearAttention).
Each of their modules is loaded a second time, with a `np` whose float32 is float64.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

import numpy as np

_PACKAGE = "onnx.reference.ops."
_MODULES = frozenset(
    _PACKAGE + name
    for name in (
        *("op_affine_grid", "op_causal_conv_with_state", "op_deform_conv", "op_grid_sample"),
        "op_linear_attention",
    )
)


def without_float32(kind: Any) -> Any:
    """The class of an operator, from a copy of its module where that names float32."""
    return getattr(_copy(kind.__module__), kind.__name__) if kind.__module__ in _MODULES else kind


class _Numpy(ModuleType):
    """numpy, but for one name."""

    float32 = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@cache
def _copy(name: str) -> ModuleType:
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["np"] = _Numpy("numpy")
    for key, value in vars(module).copy().items():
        if isinstance(value, ModuleType) and value.__name__ in _MODULES:
            module.__dict__[key] = _copy(value.__name__)
    return module

"""`len(x)` of a tensor stays a size that may change, where Python would make it a number.

    n = len(x)                  n is 5, or sym_size(x, 0)
    x[: n // 2]             ->  slice(x, 0, 0, sym_size(x, 0) // 2)

`len` must return a Python number, so in the model's own files another function bears that name
while the model is traced.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from rnnbench.capture.source_lines import is_library


@contextmanager
def symbolic_len(root: nn.Module) -> Iterator[None]:
    """While it lasts, `len` in the files of the model gives sizes of tensors as they are.

    Args:
        root: the module that is traced.
    """
    changed = []
    try:
        for names in _own_files(root):
            if "len" not in names:  # a file may have a function of that name
                names["len"] = _len
                changed.append(names)
        yield
    finally:
        for names in changed:
            del names["len"]


def _len(x: Any) -> Any:
    # `range` takes numbers alone, and asks for one.
    return x.shape[0] if isinstance(x, Tensor) and x.dim() else builtins.len(x)


def _own_files(root: nn.Module) -> list[dict[str, Any]]:
    """The global names of the files that the model's classes are in."""
    classes = {base for module in root.modules() for base in type(module).__mro__}
    found = {}
    for cls in classes:
        file = sys.modules.get(cls.__module__)
        path = getattr(file, "__file__", None)
        if file is not None and path and not is_library(path):
            found[cls.__module__] = vars(file)
    return list(found.values())

"""PyTorch's library of ONNX functions, without what an export makes of it and never reads.

An export asks each of some 500 functions for its domain, and each parses its own source to say it
(tried: onnxscript 0.7.2): a tenth of the CPU seconds that exporting a small model takes. And it
reads the signatures of all of them anew (tried: torch 2.13 and 2.14), which never change.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnnbench.core.one_thread import replaced

_read: dict[Any, Any] = {}  # the library, by the operator set


@contextmanager
def read_once() -> Iterator[None]:
    """Exports after the first of a process get a copy of the library that it made."""
    read: Any = None
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        if isinstance(ONNXRegistry().functions, dict):
            read = ONNXRegistry.from_torchlib
    except (ImportError, AttributeError, TypeError):  # another release of torch
        pass
    if read is None:
        yield
        return

    def copied(cls: Any, /, **options: Any) -> Any:
        key = (cls, *options.items())
        if key not in _read:
            _read[key] = read(**options)
        made = copy.copy(_read[key])
        made.functions = {name: [*known] for name, known in made.functions.items()}
        return made

    with replaced(ONNXRegistry, "from_torchlib", classmethod(copied)):
        yield


@contextmanager
def parsed_when_needed() -> Iterator[None]:
    """The functions say their domain at once, and parse their source for whatever else is asked."""
    from onnxscript import TracedOnnxFunction

    whole = vars(TracedOnnxFunction).get("function_ir")
    if not isinstance(whole, property) or whole.fget is None:
        yield
        return
    get = whole.fget
    with replaced(TracedOnnxFunction, "function_ir", property(lambda self: _Parsed(self, get))):
        yield


class _Parsed:
    """What a function is in ONNX, which is parsed once more than its domain is wanted."""

    def __init__(self, function: Any, parse: Any) -> None:
        self._function, self._parse = function, parse

    @property
    def domain(self) -> str:
        return str(self._function.opset.domain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parse(self._function), name)

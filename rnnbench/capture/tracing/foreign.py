"""Operators of other libraries than torch: no file can hold them."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.capture.source_lines import source_line
from rnnbench.core.errors import RnnbenchError

# Those that come with torch, and ours, which are lowered.
_KNOWN = ("aten", "prim", "prims", "rnnbench", "quantized", "quantized_decomposed", "mkldnn")
_NO_DATA = ("Cannot access data pointer", "data is not allocated yet")


def refuse_foreign(graph: fx.Graph, name: str) -> None:
    """Refuses a traced model that calls an operator of a library of its own.

    Args:
        graph: the trace.
        name: the model's.

    Raises:
        RnnbenchError: it does.
    """
    for node in graph.nodes:
        called = _foreign(node.target)
        if called:
            place = source_line(node)
            at = f" at {place}" if place else ""
            raise RnnbenchError(f"model {name!r} cannot be captured{at}: {_said(called)}")


def said_of_foreign(error: BaseException) -> str:
    """What is said of an error that such an operator raised in a trace; empty of others."""
    traceback = error.__traceback__
    while traceback is not None:
        called = _foreign(traceback.tb_frame.f_locals.get("self"))
        if called:
            return _said(called)
        traceback = traceback.tb_next
    return _said("C++ or CUDA code of its own") if any(w in str(error) for w in _NO_DATA) else ""


def _foreign(target: Any) -> str:
    """`library::operator`; empty where it is torch's or none."""
    if isinstance(target, torch._ops.OpOverload):
        target = target.overloadpacket
    if not isinstance(target, torch._ops.OpOverloadPacket):
        return ""
    name = str(target._qualified_op_name)
    return "" if name.split("::", 1)[0] in _KNOWN else name


def _said(called: str) -> str:
    return (
        f"it calls {called}, which is not part of torch, and no file can hold it: write it in "
        "torch's operations (a library often has such a form for the CPU, or a switch for it)"
    )

"""Operators that an engine takes and computes wrong, whatever stands around them: refused at once.

What a *layer* may have and an engine does not compute is in its `gaps` (`core/gaps.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rnnbench.core.errors import RnnbenchError

Refusals = Mapping[str, tuple[Callable[[Any], bool], str]]
"""Operator -> which nodes of it, and what the engine makes of them, after "which"."""


def refuse_operators(path: object, graph: Any, refusals: Refusals) -> None:
    """Refuses a file with an operator that would be computed wrong.

    Args:
        path: the file.
        graph: its GraphProto.
        refusals: of the engine.

    Raises:
        RnnbenchError: it has one.
    """
    for node in _nodes(graph):
        which, said = refusals.get(node.op_type, (None, ""))
        if which is not None and not node.domain and which(node):
            raise RnnbenchError(
                f"{path} has the {node.op_type} {node.name or node.output[0]!r}, which {said}: "
                "export with --precision int8-weights, or run it in another engine"
            )


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)

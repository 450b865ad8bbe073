"""Operators that an engine takes and computes wrong, wherever they stand: records in its adapter.

A file with one is refused: by the adapter, and by `--for`. What a *layer* may have and an engine
does not compute is in its `gaps` (`gaps.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rnnbench.core.errors import RnnbenchError

_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class WrongOperator:
    """One operator that an engine computes wrong, without a word.

    Attributes:
        op: its name, of ONNX's own domain.
        version: the engine that was seen doing it, with its version.
        says: what it does with it, behind "which".
        inputs: only where it has so many inputs at least.
    """

    op: str
    version: str
    says: str
    inputs: int = 0

    def is_in(self, op: str, domain: str, inputs: int) -> bool:
        """Whether a node is such a one."""
        return op == self.op and domain in _STANDARD and inputs >= self.inputs

    def about(self, name: str) -> str:
        """What of a node of that name is wrong."""
        return f"the {self.op} {name!r}, which {self.version} {self.says}"


REMEDY = "run it in another engine, or export the model with --precision int8-weights"


def refuse_operators(path: object, proto: Any, wrong: Iterable[WrongOperator]) -> None:
    """Refuses a file with an operator that would be computed wrong.

    Args:
        path: the file.
        proto: its ModelProto.
        wrong: of the engine.

    Raises:
        RnnbenchError: it has one.
    """
    known = tuple(wrong)
    for node in _nodes(proto):
        given = sum(bool(name) for name in node.input)
        for each in known:
            if each.is_in(node.op_type, node.domain, given):
                about = each.about(node.name or node.output[0])
                raise RnnbenchError(
                    f"{path} is not ONNX that {each.version} computes right ({about}): {REMEDY}"
                )


def _nodes(proto: Any) -> Iterator[Any]:
    for graph in (proto.graph, *proto.functions):
        yield from nodes_of(graph)


def nodes_of(graph: Any) -> Iterator[Any]:
    """The nodes of a GraphProto and of its bodies, each before those in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from nodes_of(body)

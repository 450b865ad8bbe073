"""A graph made ready once, and computed node by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.inspection.evaluation.nodes import (
    Body,
    Control,
    Node,
    Operation,
    Values,
    read_attributes,
)
from rnnbench.inspection.evaluation.operators import find_control, find_operation
from rnnbench.inspection.evaluation.precision import Precision
from rnnbench.inspection.evaluation.weights import constants_in, dense
from rnnbench.inspection.whole import rounded_for_products


@dataclass(frozen=True)
class Step:
    """A node, what computes it, and what nobody reads after it.

    Attributes:
        decides: whether it rounds values to the whole numbers that are multiplied.
    """

    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operation: Operation | None
    control: Control | None
    bodies: Mapping[str, Graph]
    released: tuple[str, ...]
    decides: bool = False

    def run(self, values: dict[str, Any]) -> None:
        """Adds its outputs to the values."""
        given = [values[name] if name else None for name in self.inputs]
        off = self.node.precision.off
        if off is not None and self.decides:
            given = [off(np.asarray(value), "round") for value in given]
        try:
            if self.operation is not None:
                results = self.operation(self.node, given)
            else:
                assert self.control is not None
                bodies = {name: Body(graph, values) for name, graph in self.bodies.items()}
                results = self.control(self.node, given, bodies)
        except RnnbenchError as error:
            raise error if self.bodies else self._failed(error) from None
        except Exception as error:
            raise self._failed(error) from error
        if off is not None and self.node.op in ("Sigmoid", "Tanh"):
            results = [off(value, self.node.op.lower()) for value in results]
        for name, value in zip(self.outputs, results, strict=False):
            if name:
                values[name] = value
        for name in self.released:
            values.pop(name, None)

    def _failed(self, error: Exception) -> RnnbenchError:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        return RnnbenchError(f"{self.node.op} {self.node.name!r} fails: {one_line(cause)}")


class Graph:
    """The outermost graph, or a body.

    Attributes:
        inputs: the names of its inputs, in order.
        outputs: likewise.
        constants: its initializers, and the floating ones of its Constants, by name.
        captured: names of the graphs around it that it reads.
    """

    def __init__(self, proto: Any, opsets: Mapping[str, int], precision: Precision) -> None:
        self.proto = proto
        self.inputs = tuple(value.name for value in proto.input)
        self.outputs = tuple(value.name for value in proto.output)
        self.constants: dict[str, Any] = {t.name: precision.array(t) for t in proto.initializer}
        for sparse in proto.sparse_initializer:
            self.constants[sparse.values.name] = dense(sparse, precision.array(sparse.values))
        bodies = [_bodies(node, opsets, precision) for node in proto.node]
        self.captured = self._captured(bodies)
        last = self._last_reads(bodies)
        constants = {n: precision.cast(a) for n, a in constants_in(proto).items()}
        deciding = rounded_for_products(proto)
        self.constants |= constants
        self._steps = [
            replace(
                _step(node, inner, tuple(last.get(i, ())), opsets, precision),
                decides=bool(deciding.intersection(node.output)),
            )
            for i, (node, inner) in enumerate(zip(proto.node, bodies, strict=True))
            if not (node.op_type == "Constant" and {*node.output} & constants.keys())
        ]

    def every(self) -> Iterator[Graph]:
        """It, and the bodies in it."""
        yield self
        for step in self._steps:
            for body in step.bodies.values():
                yield from body.every()

    def run(self, inputs: Values, outer: Mapping[str, Any]) -> list[Any]:
        """Its outputs, in order.

        Args:
            inputs: the values of its inputs, in order.
            outer: the values of the graphs around it.
        """
        values = {name: outer[name] for name in self.captured}
        values.update(self.constants)
        values.update(zip(self.inputs, inputs, strict=True))
        return self.compute(values)

    def compute(self, values: dict[str, Any]) -> list[Any]:
        """Its outputs from the values of its inputs, initializers and the graphs around it."""
        for step in self._steps:
            step.run(values)
        return [values[name] for name in self.outputs]

    def _captured(self, bodies: list[dict[str, Graph]]) -> tuple[str, ...]:
        known = {*self.inputs, *self.constants, ""}
        found: dict[str, None] = {}
        for node, inner in zip(self.proto.node, bodies, strict=True):
            found.update(dict.fromkeys(n for n in _reads(node, inner) if n not in known))
            known.update(node.output)
        found.update(dict.fromkeys(n for n in self.outputs if n not in known))
        return tuple(found)

    def _last_reads(self, bodies: list[dict[str, Graph]]) -> dict[int, list[str]]:
        """The index of a node -> the names that no later one reads."""
        last: dict[str, int] = {}
        for i, (node, inner) in enumerate(zip(self.proto.node, bodies, strict=True)):
            last.update(dict.fromkeys(_reads(node, inner), i))
            last.update(dict.fromkeys(node.output, i))
        released: dict[int, list[str]] = {}
        for name in last.keys() - {*self.outputs, ""}:
            released.setdefault(last[name], []).append(name)
        return released


def _reads(node: Any, bodies: Mapping[str, Graph]) -> list[str]:
    return [*node.input, *(name for graph in bodies.values() for name in graph.captured)]


def _bodies(node: Any, opsets: Mapping[str, int], precision: Precision) -> dict[str, Graph]:
    return {
        attribute.name: Graph(attribute.g, opsets, precision)
        for attribute in node.attribute
        if attribute.HasField("g")
    }


def _step(
    proto: Any,
    bodies: dict[str, Graph],
    released: tuple[str, ...],
    opsets: Mapping[str, int],
    precision: Precision,
) -> Step:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    node = Node(
        op=proto.op_type,
        domain=domain,
        version=opsets.get(domain, 1),
        name=proto.name or next(filter(None, proto.output), ""),
        attributes=read_attributes(proto, precision),
        precision=precision,
        proto=proto,
    )
    control = find_control(node)
    return Step(
        node=node,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        operation=None if control else find_operation(node),
        control=control,
        bodies=bodies,
        released=released,
    )

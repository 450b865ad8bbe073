"""Where an ONNX artifact goes wrong: the first node whose values are not the captured program's.

Both compute every value on the way, for the same inputs: ONNX Runtime without graph optimisation,
and the captured program in float64 and in its own precision, so that each value has its noise
floor. They are matched by name, which the exporter keeps. Without a captured program, ONNX Runtime
is compared with itself, graph optimisation off and on: that finds faults of the optimiser alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.cases.tolerance import Difference, compare
from rnnbench.checking.bisect.intermediates import Reference, Values, find_reference
from rnnbench.checking.bisect.onnx_values import RECURRENT, Node, every_value, list_nodes, read
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import Unavailable, choices, one_line
from rnnbench.core.model import Arrays
from rnnbench.runtimes.worker import Job, Worker


@dataclass(frozen=True)
class Location:
    """The first node that is off, or that there is none.

    Attributes:
        model: the bundle's name.
        node: its name in the ONNX graph; empty where no value is off.
        kind: its operator.
        value: the value of it that was compared.
        error: the largest absolute difference; infinite where shapes differ or a value is missing.
        reason: what is off, in words; or why no node can be named.
        weights: the weights that the node reads.
        module: the submodule's path in the model.
        source: `file:line` of the model's code.
        layer: which recurrent layer of the graph it is, from 1; 0 where it is none.
        layers: how many there are.
        suspects: nodes before it without a counterpart, which may be the cause instead.
        compared: how many values were right before it.
        reference: what was compared with.
    """

    model: str
    node: str = ""
    kind: str = ""
    value: str = ""
    error: float = 0.0
    reason: str = ""
    weights: tuple[str, ...] = ()
    module: str = ""
    source: str = ""
    layer: int = 0
    layers: int = 0
    suspects: tuple[str, ...] = ()
    compared: int = 0
    reference: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite error is the string "inf"."""
        return {k: "inf" if v == float("inf") else v for k, v in asdict(self).items()}


def locate(
    bundle: Bundle,
    inputs: Arrays,
    *,
    path: Path | None = None,
    reference: Reference | None = None,
) -> Location:
    """Names the first node of a bundle's ONNX artifact that is off.

    Args:
        bundle: what was exported.
        inputs: of a case that fails.
        path: another ONNX file than the bundle's own.
        reference: the captured program, where the caller has it already.

    Raises:
        RnnbenchError: there is no ONNX artifact, or it does not load.
    """
    if path is None:
        if "onnx" not in bundle.artifacts:
            raise choices("artifact", "onnx", bundle.artifacts)
        path = bundle.artifacts["onnx"].path
    proto = read(path)
    nodes = list_nodes(proto)
    with every_value(proto) as probe:
        given = _run(probe, "disabled", inputs)
        try:
            reference = reference or find_reference(bundle)
        except Unavailable as error:
            optimised = _run(probe, "", inputs) | _run(path, "", inputs)
            return _without_program(bundle, nodes, given, optimised, one_line(error))
    values = reference.run(inputs)
    found = _first_off(nodes, given, values, reference)
    layers = [node for node in nodes if node.kind in RECURRENT]
    if found is None:
        why = (
            "every value is right with ONNX Runtime's graph optimisation off: its optimiser is at "
            "fault, or the failure is not of these inputs"
        )
        return Location(bundle.name, reason=why, layers=len(layers), reference=reference.origin)
    node, value, difference, suspects, compared = found
    module, source = reference.places.get(value, ("", ""))
    return Location(
        model=bundle.name,
        node=node.name,
        kind=node.kind,
        value=value,
        error=difference.error,
        reason=difference.reason,
        weights=node.weights,
        module=node.module or module,
        source=source or node.source,
        layer=1 + layers.index(node) if node in layers else 0,
        layers=len(layers),
        suspects=tuple(suspects),
        compared=compared,
        reference=reference.origin,
    )


def format_location(found: Location) -> str:
    """A short text: the node, the submodule, the line."""
    if not found.node:
        return f"{found.model}: no node can be named: {found.reason}"
    layer = f", recurrent layer {found.layer} of {found.layers}" if found.layer else ""
    lines = [
        f"{found.model}: the first node that is off is {found.node} ({found.kind}{layer})",
        f"  value      {found.value}: {found.reason}",
    ]
    for label, text in (
        ("module", found.module),
        ("source", found.source),
        ("weights", ", ".join(found.weights)),
        ("or one of", ", ".join(found.suspects)),
    ):
        if text:
            lines.append(f"  {label:<9}  {text}")
    lines.append(f"  before it  {found.compared} values are right")
    lines.append(f"  reference  {found.reference}")
    return "\n".join(lines)


def _run(path: Path, mode: str, inputs: Arrays) -> Arrays:
    with Worker(Job("onnxruntime", "onnx", path, None, mode)) as worker:
        return worker(inputs)


_Found = tuple[Node, str, Difference, list[str], int]


def _first_off(
    nodes: list[Node], given: Arrays, values: Values, reference: Reference
) -> _Found | None:
    """The first value that is off, the node to blame for it, and the nodes that may be it instead.

    A value without a counterpart is judged by the next one that has one: the nodes between are
    suspects, and the recurrent one among them is the one to blame, as are those with weights
    before those that only move numbers.
    """
    pending: dict[str, Node] = {}  # value without a counterpart -> its node
    compared = 0
    for node in nodes:
        for name in node.outputs:
            difference = _judge(name, given, values, reference)
            if difference is None:
                pending[name] = node
                continue
            if not difference.reason:
                compared += 1
                continue
            between = [*_unmatched_before(node, pending), node]
            blamed = max(between, key=lambda n: (n.kind in RECURRENT, bool(_floats(n)), n is node))
            return blamed, name, difference, [n.name for n in between if n is not blamed], compared
    return None


def _judge(name: str, given: Arrays, values: Values, reference: Reference) -> Difference | None:
    """How a value compares; None where it has no counterpart."""
    if name not in given or name not in values.own:
        return None
    actual, own = given[name], values.own[name]
    if actual.size == 0 and own.size == 0:
        return None
    if not reference.precise and (actual.dtype.kind != "f" or actual.shape != own.shape):
        return None  # a name that means something else in the other program
    if actual.dtype.kind in "iub" and own.dtype.kind in "iub":
        actual = actual.astype(own.dtype)  # ONNX has int64 where PyTorch has int32, and bool masks
    if actual.size == own.size == 1:
        actual = actual.reshape(own.shape)  # sizes are tensors of one element, or scalars
    return compare(actual, values.exact[name], own)


def _unmatched_before(node: Node, pending: dict[str, Node]) -> list[Node]:
    """The nodes without a counterpart that lead to a node, in the order of computation."""
    found: list[Node] = []
    front = [node]
    while front:
        for name in front.pop().inputs:
            before = pending.get(name)
            if before is not None and before not in found:
                found.append(before)
                front.append(before)
    order = list(dict.fromkeys(pending.values()))
    return sorted(found, key=order.index)


def _floats(node: Node) -> tuple[str, ...]:
    """The weights of a node whose names come from the model, not from the exporter."""
    return tuple(w for w in node.weights if not w.startswith(("val_", "node_")))


def _without_program(
    bundle: Bundle, nodes: list[Node], plain: Arrays, optimised: Arrays, why: str
) -> Location:
    """ONNX Runtime with itself, node by node; it fuses less where every value is an output."""
    origin = f"ONNX Runtime without graph optimisation, for want of the captured program ({why})"
    compared = 0
    for node in nodes:
        for name in node.outputs:
            if name not in optimised:
                continue
            reference = plain[name]
            if reference.dtype.kind == "f":
                reference = reference.astype(np.float64)
            difference = compare(optimised[name], reference, plain[name])
            if difference.reason:
                reason = f"{difference.reason}, optimised against not"
                return Location(
                    model=bundle.name,
                    node=node.name,
                    kind=node.kind,
                    value=name,
                    error=difference.error,
                    reason=reason,
                    weights=node.weights,
                    module=node.module,
                    source=node.source,
                    compared=compared,
                    reference=origin,
                )
            compared += 1
    reason = f"graph optimisation changes nothing, and there is no captured program: {why}"
    return Location(bundle.name, reason=reason, reference=origin)

"""If, Loop, Scan and SequenceMap: operators with bodies, which see the names around them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.nodes import Body, Control, Node, Values, padded

Array = np.ndarray
Bodies = Mapping[str, Body]


def truth(value: Any) -> bool:
    """A condition: a scalar, or an array of one element.

    Raises:
        ValueError: it has another number of elements.
    """
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"a condition has {array.size} elements, and must have one")
    return bool(array.reshape(())[()])


def run_if(node: Node, inputs: Values, bodies: Bodies) -> list[Any]:
    """The outputs of the branch that is taken."""
    return bodies["then_branch" if truth(inputs[0]) else "else_branch"](())


def run_loop(node: Node, inputs: Values, bodies: Bodies) -> list[Any]:
    """What is carried, after the last iteration, and what was collected: (iterations, ...).

    Without a condition as its input, what the body says of it is ignored, as the table of the
    specification says.
    """
    body = bodies["body"]
    most, condition, *carried = padded(inputs, 2)
    limit = None if most is None else int(np.asarray(most).reshape(-1)[0])
    going = condition is None or truth(condition)
    collected: list[list[Array]] = [[] for _ in body.graph.outputs[1 + len(carried) :]]
    for i in count():
        if not going or (limit is not None and i >= limit):
            break
        going, carried = _iterate(body, i, carried, collected)
        going = going or condition is None
    if collected and not collected[0]:
        return [*carried, *_empty(body, [_index(0), np.array(True), *carried], 1 + len(carried))]
    return [*carried, *(np.stack(values) for values in collected)]


def _iterate(
    body: Body, i: int, carried: list[Any], collected: list[list[Array]]
) -> tuple[bool, list[Any]]:
    going, *rest = body([_index(i), np.array(True), *carried])
    for into, value in zip(collected, rest[len(carried) :], strict=True):
        into.append(value)
    return truth(going), rest[: len(carried)]


def _index(i: int) -> Array:
    return np.array(i, np.int64)


def _empty(body: Body, inputs: list[Any], skip: int) -> list[Array]:
    """What a body would have collected, of no iterations: its first iteration says the shapes."""
    return [np.zeros((0, *value.shape), value.dtype) for value in body(inputs)[skip:]]


def run_scan(node: Node, inputs: Values, bodies: Bodies) -> list[Any]:
    """The states after the last step, and what was collected along the axis of each output."""
    if node.version < 9:
        return _scan_8(node, inputs, bodies["body"])
    scanned = node.get("num_scan_inputs")
    states = list(inputs[: len(inputs) - scanned])
    sequences = inputs[len(states) :]
    axes = node.get("scan_input_axes") or [0] * scanned
    moved = [np.moveaxis(s, axis, 0) for s, axis in zip(sequences, axes, strict=True)]
    backward = node.get("scan_input_directions") or [0] * scanned
    states, collected = _scan(bodies["body"], states, _directed(moved, backward))
    out_axes = node.get("scan_output_axes") or [0] * len(collected)
    prepended = node.get("scan_output_directions") or [0] * len(collected)
    return [
        *states,
        *(
            np.moveaxis(value[::-1] if first else value, 0, axis)
            for value, axis, first in zip(collected, out_axes, prepended, strict=True)
        ),
    ]


def _directed(sequences: Values, backward: list[int]) -> list[Array]:
    return [s[::-1] if back else s for s, back in zip(sequences, backward, strict=True)]


def _scan(body: Body, states: list[Any], sequences: list[Array]) -> tuple[list[Any], list[Array]]:
    """Runs a body over the first axis of each sequence."""
    steps = {len(sequence) for sequence in sequences}
    if len(steps) != 1:
        raise ValueError(f"the scanned inputs have {sorted(steps)} steps, which must be the same")
    kept = len(states)
    collected: list[list[Array]] = [[] for _ in body.graph.outputs[kept:]]
    for t in range(steps.pop()):
        results = body([*states, *(sequence[t] for sequence in sequences)])
        states = results[:kept]
        for into, value in zip(collected, results[kept:], strict=True):
            into.append(value)
    if collected and not collected[0]:
        zeros = [np.zeros(sequence.shape[1:], sequence.dtype) for sequence in sequences]
        return states, _empty(body, [*states, *zeros], kept)
    return states, [np.stack(values) for values in collected]


def _scan_8(node: Node, inputs: Values, body: Body) -> list[Any]:
    """Scan of opset 8: the first axis is the batch's, the second is scanned, rows have lengths.

    What is collected beyond a row's length is undefined; it is 0 here.
    """
    lengths, *given = inputs
    scanned = node.get("num_scan_inputs")
    backward = node.get("directions") or [0] * scanned
    states, sequences = given[: len(given) - scanned], given[len(given) - scanned :]
    batch, steps = sequences[0].shape[:2]
    rows = []
    for row in range(batch):
        length = steps if lengths is None else int(lengths[row])
        cut = _directed([sequence[row, :length] for sequence in sequences], backward)
        ends, collected = _scan(body, [state[row] for state in states], cut)
        rows.append([*ends, *(_padded(value, steps) for value in collected)])
    return [np.stack(values) for values in zip(*rows, strict=True)]


def _padded(value: Array, steps: int) -> Array:
    return np.concatenate([value, np.zeros((steps - len(value), *value.shape[1:]), value.dtype)])


def run_sequence_map(node: Node, inputs: Values, bodies: Bodies) -> list[Any]:
    """A sequence for each output of the body: tensors are the same for every element."""
    body = bodies["body"]
    results: list[list[Any]] = [[] for _ in body.graph.outputs]
    for i in range(len(inputs[0])):
        given = [value[i] if isinstance(value, list) else value for value in inputs]
        for into, value in zip(results, body(given), strict=True):
            into.append(value)
    return results


CONTROL: dict[str, Control] = {
    "If": run_if,
    "Loop": run_loop,
    "Scan": run_scan,
    "SequenceMap": run_sequence_map,
}

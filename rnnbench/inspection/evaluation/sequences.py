"""Sequences and optionals: a sequence is a list, an optional without an element None."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded


def _position(sequence: list[Any], index: Any, end: int) -> int:
    """An index of a sequence, which may count from its end.

    Args:
        sequence: the sequence.
        index: an integer, or an array of one.
        end: the first that is beyond.

    Raises:
        ValueError: there is no such element.
    """
    i = int(np.asarray(index).reshape(-1)[0])
    if not -len(sequence) <= i < end:
        raise ValueError(f"element {i} of a sequence of {len(sequence)}")
    return i + len(sequence) if i < 0 else i


def _at(node: Node, inputs: Values) -> list[Any]:
    sequence, index = inputs
    return [sequence[_position(sequence, index, len(sequence))]]


def _construct(node: Node, inputs: Values) -> list[Any]:
    return [list(inputs)]


def _empty(node: Node, inputs: Values) -> list[Any]:
    return [[]]


def _erase(node: Node, inputs: Values) -> list[Any]:
    sequence, index = padded(inputs, 2)
    i = len(sequence) - 1 if index is None else _position(sequence, index, len(sequence))
    return [[*sequence[:i], *sequence[i + 1 :]]]


def _insert(node: Node, inputs: Values) -> list[Any]:
    sequence, tensor, index = padded(inputs, 3)
    i = len(sequence) if index is None else _position(sequence, index, len(sequence) + 1)
    return [[*sequence[:i], tensor, *sequence[i:]]]


def _length(node: Node, inputs: Values) -> list[Any]:
    return [np.array(len(inputs[0]), np.int64)]


def _optional(node: Node, inputs: Values) -> list[Any]:
    return [inputs[0] if inputs else None]


def _get_element(node: Node, inputs: Values) -> list[Any]:
    if inputs[0] is None:
        raise ValueError("the optional has no element")
    return [inputs[0]]


def _has_element(node: Node, inputs: Values) -> list[Any]:
    return [np.array(bool(inputs) and inputs[0] is not None)]


def _identity(node: Node, inputs: Values) -> list[Any]:
    return [inputs[0]]


SEQUENCES: dict[str, Operation] = {
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "Optional": _optional,
    "OptionalGetElement": _get_element,
    "OptionalHasElement": _has_element,
    "Identity": _identity,
}

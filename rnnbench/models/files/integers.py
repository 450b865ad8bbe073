"""Inputs of whole numbers: how many valid steps a row has, or places in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rnnbench.core.dims import names_of
from rnnbench.inspection.dataflow import Flow, data_of
from rnnbench.inspection.operators import PASS
from rnnbench.inspection.program import Node, Port, refs_in
from rnnbench.inspection.recurrences import FoundRecurrence
from rnnbench.models.files.shapes import Sizes

_LENGTH = re.compile(r"len", re.I)
_ANY = 8
_ARITHMETIC = ("Add", "Sub", "Mul", "Where", "Min", "Max", "Mod")
_TABLES = {"Gather": (0, 1), "aten.embedding": (0, 1)}  # the places of the table and of the ids


def is_length(
    port: Port,
    shape: tuple[int | str, ...],
    flow: Flow,
    recurrences: tuple[FoundRecurrence, ...],
    sizes: Sizes,
) -> bool:
    """Whether an input says how many steps of each row are valid.

    It does where a recurrence takes it as its lengths, and where it is called so and has a number
    for each row.
    """
    if port.dtype not in ("int64", "int32", "") or len(shape) != 1:
        return False
    layers = [r.node for r in recurrences if r.lengths and r.node is not None]
    given = [node.arg(4) for node in layers if node.op in ("RNN", "GRU", "LSTM")]
    if any(("input", port.name) in flow.origins(value) for value in given):
        return True
    per_row = isinstance(shape[0], int) or sizes.batch_dim in names_of(shape[0])
    return per_row and bool(_LENGTH.search(port.name))


def highest(flow: Flow, name: str) -> int | None:
    """The exclusive bound of an input's numbers: the rows of the smallest table that it picks of.

    Args:
        flow: the file's edges.
        name: of the input.

    Returns:
        None where it picks of no table of a known size. Where nothing reads it, any will do.
    """
    if not flow.readers.get(name):
        return _ANY
    found = []
    for value, node in _readers(flow, name):
        places = _TABLES.get(node.op)
        if places is None or node.arg(places[1]) != value:
            continue
        table = flow.weight_shape(node.arg(places[0]))
        axis = int(node.attributes.get("axis") or 0)
        if table and -len(table) <= axis < len(table) and isinstance(table[axis], int):
            found.append(int(table[axis] or 0))
    return min(found, default=None)


def _readers(flow: Flow, name: str) -> Iterator[tuple[str, Node]]:
    """Every node that reads an input, or what is made of it alone, with the value that it reads.

    TensorFlow counts ids below 0 from the end before it picks: `id + rows * (id < 0)`.
    """
    waiting, seen = [name], set[str]()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        for node in flow.readers.get(value, ()):
            yield value, node
            if node.op in _ARITHMETIC or (node.op in PASS and value in refs_in(data_of(node))):
                waiting += filter(None, node.outputs)

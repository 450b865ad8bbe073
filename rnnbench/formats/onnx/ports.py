"""Inputs, outputs and dimensions of a finished ONNX graph under other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from rnnbench.formats.onnx.graph import make_room

Sizes = Sequence[int | str | None]


def rename_ports(
    model: ir.Model,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    shapes: Mapping[str, Sizes],
    dims: Mapping[str, str],
    output_axes: Mapping[str, Mapping[int, str]],
) -> None:
    """Gives the ports of a graph names that need not be Python's.

    Args:
        model: the file, which is changed.
        inputs: present name -> wanted name.
        outputs: present name -> wanted name.
        shapes: of the inputs, by their present names.
        dims: present name of a dimension -> wanted name.
        output_axes: present name of an output -> names for its axes; a size that is a number stays.
    """
    graph = model.graph
    # An input that nothing uses may be gone.
    ports = [(value, inputs[str(value.name)]) for value in graph.inputs]
    for value in graph.inputs:
        value.shape = ir.Shape(list(shapes[str(value.name)]))
    for value in graph.outputs:
        ports.append((value, outputs[str(value.name)]))
        if value.shape is not None:
            named = output_axes.get(str(value.name), {})
            value.shape = ir.Shape(
                [_renamed(size, dims, named.get(i)) for i, size in enumerate(value.shape)]
            )
    make_room(graph, {wanted for _, wanted in ports}, [value for value, _ in ports])
    for value, wanted in ports:
        value.name = wanted


def _renamed(size: Any, dims: Mapping[str, str], wanted: str | None) -> int | str | None:
    if isinstance(size, int):
        return size
    name = getattr(size, "value", None)
    return wanted or (None if name is None else dims.get(str(name), str(name)))

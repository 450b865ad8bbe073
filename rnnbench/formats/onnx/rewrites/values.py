"""Constants, shapes and slices, written so that every engine reads them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, all_nodes, constant_of, replace
from rnnbench.formats.onnx.rewrites._pass import rewrite

_THE_START = -(2**31) + 1
"""No further than this, a slice that goes backwards ends before the first element."""


@rewrite()
def make_explicit_values(model: ir.Model) -> int:
    """The value of each ConstantOfShape is written down, also where it is 0.

    ConstantOfShape(shape)  ->  ConstantOfShape(shape, value=[0.0])
    """
    silent = [
        node
        for node in all_nodes(model)
        if node.op_type == "ConstantOfShape" and "value" not in node.attributes
    ]
    for node in silent:
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, np.float32)))
    return len(silent)


@rewrite()
def gather_backward_slices(model: ir.Model) -> int:
    """A slice that goes backwards picks its elements by number.

        Slice(x [5, ...], start=-1, end=-inf, axis=0, step=-1)
            ->  Gather(x, [4, 3, 2, 1, 0], axis=0)

    Of a length that is not known yet, only one that reverses the whole (see `backwards`).
    """
    places = 0
    for node in list(all_nodes(model)):
        x = node.inputs[0] if node.inputs else None
        if node.op_type != "Slice" or x is None or len(node.inputs) < 5:
            continue
        given = [constant_of(value) for value in node.inputs[1:5]]
        if any(array is None or array.size != 1 for array in given):
            continue
        start, end, axis, step = (int(array.item()) for array in given if array is not None)
        size = x.shape[axis] if x.shape is not None else None
        add = Adder(node)
        if step < 0 and isinstance(size, int):
            index = add.constant(np.array(range(size)[start:end:step], np.int64))
            found = add("Gather", [x, index], axis=axis)
        elif (start, step) == (-1, -1) and end <= _THE_START and axis >= 0:
            found = backwards(add, x, axis)
        else:
            continue
        replace(node.outputs[0], found)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
        places += 1
    return places


def backwards(add: Adder, value: ir.Value | None, axis: int = 0) -> ir.Value:
    """A value of any length, from its end to its beginning, without a slice that goes backwards.

    x [time, ...]  ->  Gather(x, time - 1 - Range(0, time))
    """
    zero, one, first = (add.constant(np.array(n)) for n in (0, 1, [0]))
    size = add("Squeeze", [add("Shape", [value], start=axis, end=axis + 1), first])
    last = add("Sub", [size, one])
    return add("Gather", [value, add("Sub", [last, add("Range", [zero, size, one])])], axis=axis)


@rewrite()
def forget_shapes(model: ir.Model) -> int:
    """No shapes but those of inputs and outputs: stale ones stop engines (tract).

    Add(a, b) -> c [s27, 4]  ->  Add(a, b) -> c
    """
    own = {*model.graph.inputs, *model.graph.outputs}
    values = [value for node in all_nodes(model) for value in node.outputs if value not in own]
    known = [value for value in values if value.shape is not None]
    for value in known:
        value.shape = None
    return len(known)

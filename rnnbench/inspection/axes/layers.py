"""What a recurrence does with a dimension of the sequence that it reads."""

from __future__ import annotations

from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.program import Node, Ref
from rnnbench.inspection.recurrences import FoundRecurrence


def through_layer(node: Node, place: Place, layer: FoundRecurrence) -> Step:
    """A recurrence reads its whole sequence; its results have the same time and batch.

    ONNX's Y is (time, directions, batch, hidden) or, with `layout=1`, (batch, time, directions,
    hidden); PyTorch's is (time, batch, directions * hidden), or batch first.
    """
    kinds = dict(zip(layer.axes, ("time", "batch"), strict=True))
    if layer.source != place.value or place.axis not in kinds:
        return Step([WHOLE])
    kind = kinds[place.axis]
    if layer.representation != "fused" or place.rank != 3:
        return Step([(kind, ())])
    torch = node.op.startswith("aten.")
    batch_first = layer.axes == (1, 0)
    axis = place.axis if torch or batch_first or kind == "time" else 2
    places = on(node, axis, 3 if torch else 4)
    if kind == "batch":
        last = 0 if batch_first and not torch else 1
        places += [Place(Ref(o), last, 3) for o in node.outputs[1:] if o]
    return Step([(kind, ())], places)

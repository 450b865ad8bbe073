"""What values always are: constants, and what is worked out from constants alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.graph import Array, Graph, attribute, is_standard

_FOLDED = (
    *("Transpose", "Identity", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Split"),
    *("Gather", "Cast", "Add", "Sub", "Mul", "Neg", "Expand", "ConstantOfShape", "Flatten"),
    *("Div", "Equal", "Where", "Shape", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
    *("And", "Or", "Not", "Xor"),
)
_MOST = 2**26  # numbers in what is worked out
_ZERO_STAYS = (
    *("Expand", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Transpose", "Slice", "Gather"),
    *("Cast", "Split", "Flatten", "Tile"),
)


class Constants:
    """The numbers of a graph's values, where they do not depend on its inputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[str, Array | None] = {}
        self._fixed: dict[str, bool] = {}

    def is_fixed(self, name: str) -> bool:
        """Whether a value is worked out from constants alone, by operators that are known here."""
        waiting = [name]
        while waiting:
            at = waiting[-1]
            if at in self._fixed:
                waiting.pop()
                continue
            node = self.graph.makers.get(at)
            if self.graph.is_constant(at) or self._size(node) is not None:
                self._fixed[at] = True
            elif node is None or not is_standard(node, *_FOLDED):
                outer = self.graph.outer
                inside = node is not None or at in self.graph.inputs
                self._fixed[at] = bool(outer and not inside and Constants(outer).is_fixed(at))
            else:
                unknown = [i for i in node.input if i and i not in self._fixed]
                if unknown:
                    waiting += unknown
                    continue
                self._fixed[at] = all(self._fixed[i] for i in node.input if i)
        return self._fixed[name]

    def value(self, name: str) -> Array | None:
        """The numbers; None of what depends on an input, or is too large."""
        if not name or not self.is_fixed(name):
            return None
        if name not in self._known:
            self._known[name] = self._work_out(name)
        return self._known[name]

    def numbers(self, name: str) -> list[int] | None:
        """The whole numbers that a value always is; None of others."""
        found = self.value(name)
        return None if found is None or found.dtype.kind not in "iu" else found.ravel().tolist()

    def _work_out(self, name: str) -> Array | None:
        if self.graph.is_constant(name):
            return self.graph.array(name)
        node = self.graph.makers.get(name)
        if node is None:
            return Constants(self.graph.outer).value(name) if self.graph.outer else None
        size = self._size(node)
        if size is not None:
            return size
        given = [self.value(i) if i else None for i in node.input]
        if any(g is None for g, i in zip(given, node.input, strict=True) if i):
            return None
        return evaluate(node, given, self.graph.opset)[list(node.output).index(name)]

    def _size(self, node: Any) -> Array | None:
        """Sizes of a value that the file says, or that were inferred: Shape, and Gather of it."""
        if node is None or not is_standard(node, "Shape", "Gather"):
            return None
        shaped = self.graph.makers.get(node.input[0]) if node.op_type == "Gather" else node
        if shaped is None or not is_standard(shaped, "Shape") or len(shaped.attribute):
            return None
        sizes = self.graph.shape(shaped.input[0])
        if sizes is None:
            return None
        picked = np.arange(len(sizes))
        if node.op_type == "Gather":
            index = self.graph.array(node.input[1])
            if index is None or (index.size and np.abs(index).max() > len(sizes)):
                return None
            picked = picked[index]
        known = [sizes[i] for i in np.atleast_1d(picked)]
        if any(not isinstance(n, int) for n in known):
            return None
        return np.array(known, np.int64).reshape(np.shape(picked))

    def is_zero(self, name: str) -> bool:
        """Whether a value is zeros, of whatever shape."""
        for _ in range(64):
            if self.graph.is_constant(name):
                array = self.graph.array(name)
                return array is not None and array.dtype.kind == "f" and not array.any()
            node = self.graph.makers.get(name)
            if node is None:
                outer = self.graph.outer
                known = outer is not None and name not in self.graph.inputs
                return bool(known and outer and Constants(outer).is_zero(name))
            if is_standard(node, "ConstantOfShape"):
                value = attribute(node, "value")
                return value is None or not _to_array(value).any()
            if is_standard(node, "Concat"):
                return all(self.is_zero(i) for i in node.input)
            if not is_standard(node, *_ZERO_STAYS):
                return False
            name = node.input[0]
        return False


def evaluate(node: Any, given: list[Array | None], opset: int) -> list[Array | None]:
    """The results of one node; None where they are too large, or it refuses."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = [n for n in node.input if n]
    inputs = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in dict.fromkeys(names)]
    outputs = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in node.output if n]
    graph = onnx.helper.make_graph([node], "one", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    feeds = {n: g for n, g in zip(node.input, given, strict=True) if n}
    if sum(g.size for g in feeds.values() if g is not None) > _MOST:
        return [None] * len(node.output)
    try:
        found = iter(ReferenceEvaluator(model).run(None, feeds))
    except Exception:  # it raises types of its own
        return [None] * len(node.output)
    return [np.asarray(next(found)) if n else None for n in node.output]


def _to_array(tensor: Any) -> Array:
    from onnx import numpy_helper

    made: Array = numpy_helper.to_array(tensor)
    return made

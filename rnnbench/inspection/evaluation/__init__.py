"""rnnbench's own evaluation of an ONNX file: exact rather than fast, and in float64.

docs/evaluation.md says what it computes and where the formulas are from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.inspection.evaluation.graphs import Graph
from rnnbench.inspection.evaluation.loading import load_model
from rnnbench.inspection.evaluation.precision import Precision
from rnnbench.inspection.evaluation.weights import FLOATING, unused, weights_in

__all__ = ["Evaluator"]


class Evaluator:
    """An ONNX file, computed as its specification says, for exactness and not for speed.

    Attributes:
        inputs: the inputs of the graph that are no initializers, in order.
        outputs: its outputs, in order.
        weights: its floating initializers and Constants by name, as the file has them, and those of
            its bodies; what has the name of another one gets a number behind it.
    """

    def __init__(self, model: onnx.ModelProto | str | Path, dtype: str = "float64") -> None:
        """Reads a model and finds what computes each of its nodes.

        Args:
            model: a ModelProto, or the path of a file.
            dtype: what stands for float32 (and float16, bfloat16) in the whole graph: "float64",
                or "float32" for the file's own precision.

        Raises:
            RnnbenchError: it is no ONNX, is damaged, lacks a file of its weights, or has an
                operator that nobody knows.
        """
        if dtype not in ("float64", "float32"):
            raise choices("dtype", dtype, ("float64", "float32"))
        proto = load_model(model)
        self._precision = Precision(dtype)
        opsets = {_domain(entry.domain): entry.version for entry in proto.opset_import}
        self._graph = Graph(proto.graph, opsets, self._precision)
        if lacking := self._graph.captured:
            raise RnnbenchError(
                f"the graph reads {lacking[0]!r}, which nothing before it gives: it is no valid "
                "ONNX (nodes must be in order)"
            )
        self._types = {value.name: value.type for value in proto.graph.input}
        self.inputs = tuple(n for n in self._graph.inputs if n not in self._graph.constants)
        self.outputs = self._graph.outputs
        self._places: dict[str, tuple[Graph, str]] = {}  # name of a weight -> where it is
        self.weights: dict[str, np.ndarray] = {}
        for graph in self._graph.every():
            for name, array in weights_in(graph.proto).items():
                known = unused(name, self._places)
                self._places[known], self.weights[known] = (graph, name), array

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
            inputs: an array for each input; floating ones are cast to the dtype.
            weights: those that are others for this call, by name; cast likewise.

        Raises:
            RnnbenchError: an input lacks or is not known, or a node fails, which is named.
        """
        others = {name: self._weight(name, array) for name, array in (weights or {}).items()}
        self._refuse("input", set(inputs) - {*self._graph.inputs}, self._graph.inputs)
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise RnnbenchError(f"no value for {', '.join(missing)}: give {', '.join(self.inputs)}")
        given = {name: self._input(name, value) for name, value in inputs.items()}
        with np.errstate(all="ignore"), self._with(others):
            results = self._graph.compute(self._graph.constants | given)
        return dict(zip(self.outputs, results, strict=True))

    @contextmanager
    def off_by(self, change: Callable[[np.ndarray, str], np.ndarray]) -> Iterator[None]:
        """What sigmoid, tanh and the functions of layers give is changed so meanwhile.

        Args:
            change: an array, and the function's name in lower case -> what stands for the array.
        """
        self._precision.off = change
        try:
            yield
        finally:
            self._precision.off = None

    @contextmanager
    def _with(self, weights: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Weights are others meanwhile."""
        places = {self._places[name]: array for name, array in weights.items()}
        own = {(graph, name): graph.constants[name] for graph, name in places}
        try:
            for (graph, name), array in places.items():
                graph.constants[name] = array
            yield
        finally:
            for (graph, name), array in own.items():
                graph.constants[name] = array

    def _weight(self, name: str, array: Any) -> np.ndarray:
        self._refuse("weight", {name} - {*self.weights}, self.weights)
        graph, there = self._places[name]
        given, own = np.asarray(array), graph.constants[there]
        if given.shape != own.shape:
            raise RnnbenchError(
                f"weight {name!r} is {own.shape} in the file, and {given.shape} here"
            )
        return given.astype(own.dtype)

    def _input(self, name: str, value: Any) -> Any:
        if value is None:
            return None  # an optional without an element
        if isinstance(value, list):
            return [self._precision.cast(np.asarray(one)) for one in value]
        array = np.asarray(value)
        tensor = self._types[name].tensor_type
        if self._types[name].HasField("tensor_type") and tensor.elem_type:
            return self._typed(name, array, tensor.elem_type)
        return self._precision.cast(array)

    def _typed(self, name: str, array: np.ndarray, elem_type: int) -> np.ndarray:
        code = self._precision.type_code(elem_type)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(code)
        if code in FLOATING and array.dtype.kind not in _NO_NUMBERS:
            return array.astype(dtype)
        if array.dtype != dtype and dtype != np.dtype(object):
            raise RnnbenchError(f"input {name!r} is {dtype} in the file, and {array.dtype} here")
        return array

    @staticmethod
    def _refuse(what: str, unknown: Iterable[str], known: Iterable[str]) -> None:
        for name in unknown:
            raise choices(what, name, known)


_NO_NUMBERS = frozenset("bcOSUmM")  # of numpy's kinds; V are those of ml_dtypes


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name

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

__all__ = ["Evaluator"]


class Evaluator:
    """An ONNX file, computed as its specification says, for exactness and not for speed.

    Attributes:
        inputs: the inputs of the graph that are no initializers, in order.
        outputs: its outputs, in order.
        weights: its floating initializers by name, as the file has them.
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
        self.weights: dict[str, np.ndarray] = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in proto.graph.initializer
            if tensor.data_type in _FLOATING
        }

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
            inputs: an array for each input; floating ones are cast to the dtype.
            weights: initializers that are others for this call, by name; cast likewise.

        Raises:
            RnnbenchError: an input lacks or is not known, or a node fails, which is named.
        """
        values = dict(self._graph.constants)
        for name, array in (weights or {}).items():
            values[name] = self._weight(name, array)
        self._refuse("input", set(inputs) - {*self._graph.inputs}, self._graph.inputs)
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise RnnbenchError(f"no value for {', '.join(missing)}: give {', '.join(self.inputs)}")
        values.update({name: self._input(name, value) for name, value in inputs.items()})
        with np.errstate(all="ignore"):
            results = self._graph.compute(values)
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

    def _weight(self, name: str, array: Any) -> np.ndarray:
        self._refuse("weight", {name} - {*self.weights}, self.weights)
        given, own = np.asarray(array), self._graph.constants[name]
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
        if code in _FLOATING and array.dtype.kind not in _NO_NUMBERS:
            return array.astype(dtype)
        if array.dtype != dtype and dtype != np.dtype(object):
            raise RnnbenchError(f"input {name!r} is {dtype} in the file, and {array.dtype} here")
        return array

    @staticmethod
    def _refuse(what: str, unknown: Iterable[str], known: Iterable[str]) -> None:
        for name in unknown:
            raise choices(what, name, known)


_FLOATING = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    | {onnx.TensorProto.DOUBLE}
)
_NO_NUMBERS = frozenset("bcOSUmM")  # of numpy's kinds; V are those of ml_dtypes


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name

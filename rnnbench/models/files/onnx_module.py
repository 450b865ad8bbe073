"""An ONNX file in the place of a module: its weights are parameters, its graph is evaluated.

Weights are the floating initializers and Constants of the graph, and those in branches and bodies.

So that everything that is done with a module, to know what is right and how far roundings move it,
is done with a file: a reference in float64, runs with moved weights, weights that are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator


class OnnxModule(torch.nn.Module):
    """Takes the tensors of the file's inputs, in their order, and returns those of its outputs.

    Args:
        path: the file, with its external data beside it.

    Raises:
        RnnbenchError: it is damaged, or has an operator that nobody knows.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        own = Evaluator(path, "float32")
        self._evaluators = {torch.float32: own}
        self._names = own.inputs, own.outputs
        self._weights: dict[str, str] = {}  # of the file -> of the parameter
        for name, array in own.weights.items():
            self._weights[name] = self._add(name, torch.nn.Parameter(_tensor(array), False))
        self.register_buffer("_kind", torch.zeros((), dtype=torch.float32), persistent=False)

    def _add(self, name: str, parameter: torch.nn.Parameter) -> str:
        """Registers a parameter; the name as the file has it, where a module can have such."""
        unique, number = name.replace(".", "/") or "weight", 1
        while hasattr(self, unique):
            unique, number = f"{name.replace('.', '/')}_{number}", number + 1
        self.register_parameter(unique, parameter)
        return unique

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One evaluation, in the precision that the module is in."""
        kind: torch.dtype = self.get_buffer("_kind").dtype
        inputs, outputs = self._names
        arrays = {n: t.detach().numpy() for n, t in zip(inputs, tensors, strict=True)}
        weights = {n: _array(getattr(self, own)) for n, own in self._weights.items()}
        found = self._evaluator(kind)(arrays, weights)
        return tuple(_result(name, found[name]) for name in outputs)

    @contextmanager
    def off_by(
        self, change: Callable[[np.ndarray[Any, Any], str], np.ndarray[Any, Any]]
    ) -> Iterator[None]:
        """What sigmoid, tanh and the functions of layers give is changed so meanwhile."""
        with ExitStack() as stack:
            for evaluator in self._evaluators.values():
                stack.enter_context(evaluator.off_by(change))
            yield

    def _evaluator(self, kind: torch.dtype) -> Evaluator:
        if kind not in self._evaluators:
            self._evaluators[kind] = Evaluator(self._path, str(kind).removeprefix("torch."))
        return self._evaluators[kind]


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """A weight as a tensor of its own."""
    if array.dtype.name == "bfloat16":  # which numpy has not, and PyTorch has
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _array(weight: torch.Tensor) -> np.ndarray[Any, Any]:
    wide = weight.float() if weight.dtype is torch.bfloat16 else weight
    return np.asarray(wide.detach().numpy())


def _result(name: str, value: Any) -> torch.Tensor:
    try:
        return torch.from_numpy(np.array(value, order="C"))  # a copy: strides may be below 0
    except TypeError:
        kind = getattr(value, "dtype", type(value).__name__)
        raise RnnbenchError(
            f"output {name!r} of the file is {kind}: outputs of numbers alone can be compared"
        ) from None

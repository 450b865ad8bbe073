"""Runs a file, to compare it with another: the judge of every rewrite."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rnnbench.core.errors import one_line
from rnnbench.formats.onnx.optimizing.graph import Array

_EXACT = "rnnbench.inspection.evaluation"


class Runner(Protocol):
    """A file that can be run.

    Attributes:
        tolerance: how far two results that are the same may be apart: `|a - b| <= t (1 + |b|)`.
    """

    tolerance: float

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name."""


class _Exact:
    """rnnbench's own evaluation, in float64."""

    tolerance = 1e-9

    def __init__(self, proto: Any, folder: Path) -> None:
        module = importlib.import_module(_EXACT)
        self._evaluator = module.Evaluator(proto, dtype="float64")

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = self._evaluator(dict(feeds))
        return found


class _OnnxRuntime:
    """ONNX Runtime on one thread, nothing of the graph rewritten."""

    tolerance = 1e-4

    def __init__(self, proto: Any, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.resolve())
        )
        self._session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [o.name for o in self._session.get_outputs()]

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        found = self._session.run(self._names, dict(feeds))
        return dict(zip(self._names, found, strict=True))


class CannotRunError(Exception):
    """A file that no evaluator here runs; the message says why."""


def runner(proto: Any, folder: Path) -> Runner:
    """Makes a file ready to be run.

    Raises:
        CannotRunError: it cannot be run.
    """
    try:
        return _OnnxRuntime(proto, folder)
    except Exception as error:  # it raises types of its own
        raise CannotRunError(one_line(error)) from None


def distance(a: Array, b: Array) -> float:
    """The largest `|a - b| / (1 + |b|)`; infinite where shapes or types differ, or one is NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.dtype.kind not in "fc":
        return 0.0 if np.array_equal(a, b) else float("inf")
    if not a.size:
        return 0.0
    wide, other = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(wide - other) / (1 + np.abs(other))
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    apart = np.where(same, 0.0, apart)
    return float(np.where(np.isnan(apart), np.inf, apart).max())

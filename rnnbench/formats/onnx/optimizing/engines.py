"""Runs a file, to compare it with another: the judge of every rewrite is float64."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.formats.onnx.optimizing.graph import Array
from rnnbench.inspection.external import external_tensors

TOLERANCE = 1e-9
"""Of `distance`: what is computed in another order in float64 is not further apart."""


class CannotRunError(Exception):
    """A file that cannot be run; the message says why."""


class Runner:
    """A file in float64, by rnnbench's own evaluation.

    Args:
        proto: ONNX's own form of it.
        folder: where its external data is.

    Raises:
        CannotRunError: it has something that nobody here computes.
    """

    def __init__(self, proto: Any, folder: Path) -> None:
        from rnnbench.inspection.evaluation import Evaluator

        try:
            self._evaluator = Evaluator(_whole(proto, folder))
        except RnnbenchError as error:
            raise CannotRunError(one_line(error)) from None

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name.

        Raises:
            CannotRunError: it does not run with these inputs.
        """
        try:
            found: dict[str, Array] = self._evaluator(feeds)
        except Exception as error:  # of whichever library a node is computed by
            raise CannotRunError(one_line(error)) from None
        return found


def _whole(proto: Any, folder: Path) -> Any:
    """A file with its external data in it."""
    import onnx

    if next(external_tensors(proto), None) is None:
        return proto
    whole = type(proto)()
    whole.CopyFrom(proto)
    onnx.load_external_data_for_model(whole, str(folder))
    return whole


def refusal(proto: Any, folder: Path) -> str:
    """Why ONNX Runtime does not load a file; empty where it does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    providers = ["CPUExecutionProvider"]
    try:
        onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=providers)
    except Exception as error:  # it raises types of its own
        return one_line(error)
    return ""


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

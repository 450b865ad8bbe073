"""The arrays of a plan: what its words for sizes and kinds of values mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.cases.plans import SIZES, Plan
from rnnbench.core.model import Arrays, Model, TensorSpec, sample_inputs

LARGE = 20.0  # standard deviation: gates saturate

Array = np.ndarray[Any, Any]


def make_inputs(model: Model, plan: Plan) -> Arrays:
    """The arrays of a plan; `carried` states are random here, and come from a call elsewhere.

    Where a model has its own `sample`, that decides the values of data and lengths.
    """
    arrays = sample_inputs(
        model,
        plan.dims,
        plan.seed,
        scale=LARGE if plan.inputs == "large" else SIZES.get(plan.inputs, 1.0),
        zero_state=plan.state == "zero",
    )
    if plan.state == "zero":  # `sample` knows nothing of it
        zero = {s.name: np.zeros_like(arrays[s.name]) for s in model.inputs if s.role == "state"}
        arrays |= zero
    if model.sample is not None:
        return arrays
    made = {s.name: _valued(s, arrays[s.name], plan) for s in model.inputs}
    return arrays | made


def _valued(spec: TensorSpec, array: Array, plan: Plan) -> Array:
    if spec.value is not None:
        return array
    if spec.role == "lengths":
        return _lengths(array, plan)
    if spec.role == "state":
        floats = spec.dtype.startswith("float")
        times = 2 * SIZES.get(plan.state, 0.5)  # of the usual standard deviation of 0.5
        return np.asarray(array * times, spec.dtype) if floats else array
    if spec.role != "data":
        return array
    if spec.dtype.startswith("float"):
        return _floats(array, plan.inputs)
    return _ids(array, plan.inputs, spec.high or 2)


def _floats(array: Array, kind: str) -> Array:
    if kind == "denormal":
        tiny = float(np.finfo(array.dtype).smallest_normal)
        small = np.clip(array, -3, 3).astype(np.float64) * tiny / 4
        return np.asarray(small, array.dtype)
    constant = {"zero": 0.0, "constant": 0.5}.get(kind)
    return array if constant is None else np.full_like(array, constant)


def _ids(array: Array, kind: str, high: int) -> Array:
    if kind == "every":
        return np.asarray((np.arange(array.size) % high).reshape(array.shape), array.dtype)
    constant = {"zero": 0, "constant": high - 1}.get(kind)
    return array if constant is None else np.full_like(array, constant)


def _lengths(array: Array, plan: Plan) -> Array:
    if plan.lengths == "one":
        return np.ones_like(array)
    full = int(array.max(initial=0))  # `sample_inputs` makes one row full
    if plan.lengths == "full":
        return np.full_like(array, full)
    if plan.lengths == "equal":
        return np.full_like(array, max(full // 2, min(full, 1)))
    if plan.lengths == "tail":
        shorter = np.minimum(array, max(full - 1, min(full, 1)))
        return np.asarray(shorter, array.dtype)
    array = array.copy()
    if array.size > 1:
        array.reshape(-1)[-1] = min(1, full)
    return array

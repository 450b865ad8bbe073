"""`input.json`: one sequence for a project to try itself on, from the start of a stream."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.markdown import code
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.models.task import encode_text

HEADER = "input.json"
TEXT = "The function returns"


def sample_inputs(bundle: Bundle) -> tuple[Arrays, str]:
    """One sequence whose states are zero, and what it is in words, in Markdown.

    A model that reads text gets a text; another the numbers of its smallest golden case of several
    steps.
    """
    data = [spec for spec in bundle.inputs if spec.role == "data"]
    if len(data) == 1 and letters_of(bundle, data[0]):
        return _text(bundle, data[0])
    cases = [case for case in read_cases(bundle) if not case.empty and not case.feed_mode.chunks]
    case = min(cases, key=lambda c: _size(bundle, c.dims))
    zero = {s.name: np.zeros_like(case.inputs[s.name]) for s in bundle.inputs if s.role == "state"}
    steps = case.dims.get(bundle.time_dim)
    return case.inputs | zero, f"{steps} steps of made-up numbers" if steps else "made-up numbers"


def _size(bundle: Bundle, dims: Mapping[str, int]) -> tuple[int, bool, int]:
    """Few sequences first, then a few steps, but not one."""
    steps = dims.get(bundle.time_dim, 0)
    return dims.get(bundle.batch_dim, 0), steps == 1, steps


def letters_of(bundle: Bundle, spec: TensorSpec) -> str:
    """The alphabet, where an input is text: ids of its characters, or one-hot over them."""
    alphabet = bundle.metadata.get("alphabet")
    if not isinstance(alphabet, str) or bundle.time_dim not in spec.shape:
        return ""
    whole = spec.dtype.startswith("int")
    sizes = spec.shape if whole else spec.shape[:-1]
    one_hot = whole or spec.shape[-1] == len(alphabet)
    return alphabet if one_hot and set(sizes) <= {bundle.batch_dim, bundle.time_dim} else ""


def _text(bundle: Bundle, spec: TensorSpec) -> tuple[Arrays, str]:
    alphabet = letters_of(bundle, spec)
    wanted = str(bundle.metadata.get("question") or TEXT)
    text = wanted if set(wanted) <= set(alphabet) else alphabet[:20]
    ids = encode_text(bundle.metadata, text)
    dims: dict[str, int] = {bundle.batch_dim: 1, bundle.time_dim: len(ids)}
    made: Arrays = {}
    for port in bundle.inputs:
        shape = [size if isinstance(size, int) else dims.get(size, 1) for size in port.shape]
        fill = len(ids) if port.role == "lengths" else 0
        made[port.name] = np.full(shape, fill, dtype=port.dtype)
    steps = np.moveaxis(made[spec.name], spec.shape.index(bundle.time_dim), 0)
    for t, place in enumerate(ids):
        steps[t, ...] = place if spec.dtype.startswith("int") else np.eye(len(alphabet))[place]
    return made, f"the text {code(text)}, a character a step"

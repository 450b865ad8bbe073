"""Which way through a module a trace took, where the sizes of the inputs decide."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rnnbench.capture.tracing.prove import Unproved, holds, runs_at
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.capture.tracing.trace import trace_module
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.models.own_files import is_library

_FURTHEST = 5000
_TIMES = 8  # past what is 1, what follows it is soon 1 again
_SIGNS = {"Eq": "==", "Ne": "!="}


def explain_unproved(model: Model, error: Unproved) -> RnnbenchError:
    """Names the condition on a size that holds in the trace, and not where the results differ.

    Args:
        model: the declaration.
        error: what the proof found.

    Returns:
        The error to raise: another one, where the module has several ways.
    """
    try:
        trace = trace_module(model, traced_sizes(model))
    except RnnbenchError:
        return error
    broken = [(e, at) for e, at in trace.conditions if not holds(e, error.sizes)]
    # The model's own condition, before one of the library that follows from it.
    own = [(e, at) for e, at in broken if at and not is_library(at)]
    if broken:
        expression, place = (own or broken)[0]
        where = f" at {place}" if place and not is_library(place) else ""
        text, multiple = (
            _in_python(str(expression)),
            re.search(r"Mod\((\w+), (\d+)\)", str(expression)),
        )
        or_declare = (
            f", or declare the sizes that it takes: dims={{{multiple[1]!r}: "
            f"Dim(multiple_of={multiple[2]})}}"
            if multiple
            else ", or export one model for each"
        )
        return RnnbenchError(
            f"model {model.name!r} computes in another way{where} where not ({text}), and an "
            "artifact holds one way alone: use tensor operations that are right for both "
            f"(torch.where){or_declare}"
        )
    return RnnbenchError(
        f"{error}: a module that does something else at some sizes (an `if` on a length, a step of "
        "its own) has no one form; use tensor operations that are right for any size, or report "
        "the model where it does not"
    )


def sizes_beyond(model: Model, error: Unproved, dims: Mapping[str, int]) -> dict[str, int] | None:
    """Larger sizes, where something is 1 at the traced ones that is not 1 elsewhere.

    Of six convolutions with stride 2, the last ones give one frame at 5 steps and at 64.

    Args:
        model: the declaration.
        error: what the proof found.
        dims: the traced sizes.

    Returns:
        Sizes at which none of that is 1; None where nothing was, or the module does not run there.
    """
    import sympy

    try:
        conditions = trace_module(model, dims).conditions
    except RnnbenchError:
        return None
    ones = [
        e for e, _ in conditions
        if isinstance(e, sympy.Eq) and e.rhs == 1 and not holds(e, error.sizes)
    ]  # fmt: skip
    larger = dict(dims)
    for expression in ones:
        for dim in {str(s) for s in expression.free_symbols} - {model.batch_dim}:
            past = (
                n for n in range(dims[dim], _FURTHEST) if not holds(expression, larger | {dim: n})
            )
            larger[dim] = max(larger[dim], _TIMES * next(past, 0) + dims[dim])
    larger = model.fit(larger)
    return larger if larger != dims and runs_at(model, larger) else None


def _in_python(expression: str) -> str:
    """`Ne(Mod(time, 2), 0)` as `time % 2 != 0`."""
    text = re.sub(r"Mod\((\w+), (\d+)\)", r"\1 % \2", expression)
    return re.sub(r"^(Eq|Ne)\((.+), (.+)\)$", lambda m: f"{m[2]} {_SIGNS[m[1]]} {m[3]}", text)

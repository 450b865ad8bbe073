"""Which way through a module a trace took, where the sizes of the inputs decide."""

from __future__ import annotations

from rnnbench.capture.source_lines import is_library
from rnnbench.capture.tracing.prove import Unproved, holds
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.capture.tracing.trace import trace_module
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model


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
        return RnnbenchError(
            f"model {model.name!r} computes in another way{where} where not ({expression}), and an "
            "artifact holds one way alone: use tensor operations that are right for both "
            "(torch.where), or export one model for each"
        )
    return RnnbenchError(
        f"{error}: a module that does something else at some sizes (an `if` on a length, a step of "
        "its own) has no one form; use tensor operations that are right for any size, or report "
        "the model where it does not"
    )

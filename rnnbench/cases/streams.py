"""Which cases are also fed in chunks: first the module itself has to give the same that way.

A network that looks ahead (a backward direction), or that normalises over time, works on whole
sequences and is wrong in chunks, whatever it declares: it is told so, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.cases.feeding import CHUNKS, FeedMode, StreamLayout, feed
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import call_float64, undisturbed

if TYPE_CHECKING:
    from rnnbench.cases.cases import Case

_TOLERANCE = 1e-7  # of the reference's size, in float64: rounding stays below 1e-12
_LONG, _LONG_FULL = "long", "long-full-lengths"


def plan_streams(
    model: Model, layout: StreamLayout, cases: Mapping[str, Case]
) -> list[dict[str, Any]]:
    """What the manifest says of the cases that are fed in chunks.

    Args:
        model: its module is run in float64, and left as it was.
        layout: of the model.
        cases: those that there are, with a float64 reference.

    Returns:
        an entry each; one alone, with `skipped`, where the module itself is wrong in chunks.
    """
    ragged = any(spec.role == "lengths" for spec in model.inputs)
    whole = cases.get(_LONG_FULL if ragged else _LONG)
    if whole is None or not any(model.time_dim in spec.shape for spec in model.inputs):
        return []
    if not model.dims[model.time_dim].allows(1):  # no chunk is as short as streams are
        return []
    entries = []
    with torch_threads(1), undisturbed(model.module, double=True):
        for name, chunks in sorted(CHUNKS.items(), key=lambda item: item[0] != "stream-7"):
            why = _wrong(model, layout, whole, FeedMode(chunks))
            if why:
                said = f"the model itself {why}: {_remedy(model)}"
                return [_entry(name, whole, FeedMode(chunks)) | {"skipped": said}]
            entries.append(_entry(name, whole, FeedMode(chunks)))
        if not model.states:
            return []  # it remembers nothing, so that there is nothing to hand on
        turns = FeedMode((7,), interleaved=True)
        why = _wrong(model, layout, whole, turns)
        skipped = {"skipped": f"the model itself, row by row, {why}"} if why else {}
        entries.append(_entry("interleaved", whole, turns) | skipped)
    if "zero-state" in cases:
        entries.append(_entry("reset", cases["zero-state"], FeedMode(reset=True)))
    return entries


def plan_alone(
    model: Model, layout: StreamLayout, cases: Mapping[str, Case]
) -> list[dict[str, Any]]:
    """What the manifest says of a case whose rows are given alone, one call each.

    Args:
        model: its module is run in float64, and left as it was.
        layout: of the model.
        cases: those that there are, with a float64 reference.
    """
    several = [case for case in cases.values() if case.dims.get(model.batch_dim, 0) > 1]
    if not several or not layout.batch_axes or not model.dims[model.batch_dim].allows(1):
        return []
    whole = max(several, key=lambda case: case.dims.get(model.time_dim, 0))
    mode = FeedMode(interleaved=True)
    with torch_threads(1), undisturbed(model.module, double=True):
        why = _wrong(model, layout, whole, mode)
    skipped = {"skipped": f"the model itself, row by row, {why}"} if why else {}
    note = f"`{whole.name}`, each row alone"
    return [_entry("alone", whole, mode) | {"note": note} | skipped]


def _entry(name: str, whole: Case, mode: FeedMode) -> dict[str, Any]:
    note = f"`{whole.name}` in chunks" if mode.chunks else f"`{whole.name}` after another sequence"
    return {
        "name": name,
        "of": whole.name,
        "dims": whole.dims,
        "seed": whole.seed,
        "note": note,
        **asdict(mode),
        "chunks": list(mode.chunks),
    }


def _wrong(model: Model, layout: StreamLayout, whole: Case, mode: FeedMode) -> str:
    """What is wrong with the module's outputs in chunks; empty where they are the same."""

    def run(arrays: Arrays) -> Arrays:
        return call_float64(model.module, model.inputs, model.outputs, arrays)

    try:
        outputs = feed(run, whole.inputs, mode, layout)
    except RnnbenchError as error:
        return f"cannot be fed in chunks ({one_line(error)})"
    except Exception as error:  # a user's module may raise anything
        return f"fails in chunks ({one_line(error)})"
    for name, exact in whole.reference.items():
        if outputs[name].shape != exact.shape:
            return (
                f"gives {name!r} of shape {list(outputs[name].shape)} in chunks, "
                f"and {list(exact.shape)} at once"
            )
        difference = np.abs(outputs[name].astype(np.float64) - exact.astype(np.float64))
        size = max(1.0, float(np.abs(exact[np.isfinite(exact)]).max(initial=0.0)))
        if difference.size and not float(np.nanmax(difference)) <= _TOLERANCE * size:
            return f"gives another {name!r} in chunks (off by {np.nanmax(difference):.1e})"
    return ""


def _remedy(model: Model) -> str:
    if not model.states:
        return "it has no states to hand on, so feed whole sequences"
    return "it looks ahead, or at the whole sequence, or keeps more than its states; do not stream"

"""What a bundle says of itself, whatever it was made of: its manifest, and its cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from importlib import metadata as packages
from typing import TYPE_CHECKING, Any

import rnnbench
from rnnbench.core.bundle import describe_spec
from rnnbench.core.model import Dims, Model
from rnnbench.core.recurrence import Recurrence

if TYPE_CHECKING:
    from rnnbench.cases.plans import Plan

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def planned(model: Model, pin: Mapping[str, int]) -> tuple[Plan, ...]:
    """The cases that are to be, and one with the sizes that a file has fixed."""
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.cases import count_outputs
    from rnnbench.cases.plans import Plan, plan_cases
    from rnnbench.cases.room import STORED, room_for

    traced = traced_sizes(model)
    plans = plan_cases(model, traced, room_for(model, count_outputs(model), traced, STORED))
    if any(pin.items() <= plan.dims.items() for plan in plans):
        return tuple(plans)
    dims = plans[0].dims | dict(pin)
    return (*plans, Plan("pinned", dims, len(plans), "the sizes that a file has fixed"))


def possible(plans: Sequence[Plan], traced: Dims, frozen: Collection[str]) -> list[Plan]:
    """The plans that have the sizes at which some dimensions are frozen."""
    fixed = {dim: traced[dim] for dim in frozen}
    return [plan for plan in plans if fixed.items() <= plan.dims.items()]


def found_out(declared: Model, model: Model) -> list[str]:
    """What was found out of dimensions by running the module, a sentence each."""
    return [
        f"{name!r} is {dim}, as running the module showed: dims={{{name!r}: {dim!r}}} declares it"
        for name, dim in model.dims.items()
        if dim != declared.dims[name]
    ]


def describe(
    model: Model,
    traced: Dims,
    frozen: Collection[str],
    recurrences: Sequence[Recurrence],
    found: Sequence[str],
) -> dict[str, Any]:
    """What the manifest says of the declaration and of what was captured.

    Args:
        model: the declaration.
        traced: a size of each dynamic dimension.
        frozen: the dimensions that have no other.
        recurrences: that it holds.
        found: sentences that are to be known.
    """
    import torch

    from rnnbench.core.model import sample_inputs
    from rnnbench.models.calls import left_out_notes, training_notes

    arrays = sample_inputs(model, traced, 0)
    tensors = [torch.from_numpy(array) for array in arrays.values()]
    said = [field.name for field in fields(Recurrence)]
    return {
        "name": model.name,
        "inputs": [describe_spec(spec) for spec in model.inputs],
        "outputs": list(model.outputs),
        "states": dict(model.states),
        "batch_dim": model.batch_dim,
        "time_dim": model.time_dim,
        "frames_per_second": model.frames_per_second,
        "traced": dict(traced),
        "dims": {name: asdict(dim) for name, dim in model.dims.items()},
        "frozen": list(frozen),
        "notes": [*training_notes(model.module), *left_out_notes(model, tensors), *found],
        "recurrences": [{name: getattr(r, name) for name in said} for r in recurrences],
        "versions": _versions(),
    }


def metadata_of(model: Model, given: Mapping[str, Any], digest: str) -> dict[str, str]:
    """What every file says of itself."""
    said = {"producer": "rnnbench", "version": rnnbench.__version__, "name": model.name}
    said |= {key: str(given[key]) for key in ("task", "variant") if key in given}
    return said | {"weights_sha256": digest}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return found

"""The cases of a bundle as they are stored: `cases.npz`, and what the manifest says of them.

The arrays may come from anywhere: nothing is unpickled, and what an array claims to be is compared
with the file and with the declaration before any memory is taken for it.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.cases.cases import Case, CaseSet, Rounded, layout_of, make_cases
from rnnbench.cases.feeding import FeedMode
from rnnbench.cases.inputs import make_inputs
from rnnbench.cases.plans import Plan, plan_empty
from rnnbench.cases.rounded import with_rounded
from rnnbench.cases.streams import plan_alone, plan_streams
from rnnbench.core.bundle import CASES, Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model

if TYPE_CHECKING:
    import torch

_Array = np.ndarray[Any, Any]
_MOST = 2**34  # bytes of all arrays
_KINDS = {np.dtype(name) for name in ("bool", "float16", "float32", "float64")} | {
    np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)
}
"""What modules give: in this machine's own order of bytes."""
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)


def write_cases(
    model: Model, folder: Path, plans: Sequence[Plan], file: torch.nn.Module | None = None
) -> list[dict[str, Any]]:
    """Runs the module on every plan, on nothing at all, and in chunks; writes cases.npz.

    A case at which the module itself fails (a convolution that needs five steps), or in which it
    gives something else in chunks, is listed with the reason, and not compared.

    Args:
        model: the declaration and its module.
        folder: of the bundle.
        plans: a case each.
        file: the evaluation of a file that rounds values to whole numbers, where there is one.

    Returns:
        what the manifest says of the cases: name, dims, seed, note; `of` where a case has the
        arrays of another.
    """
    empty = plan_empty(plans, (model.batch_dim, model.time_dim))
    empty = tuple(plan for plan in empty if _has_inputs(model, plan))
    made = make_cases(model, (*plans, *empty))
    made = replace(made, cases=with_rounded(made.cases, model, file))
    arrays = {
        f"{case.name}/{part}/{name}": array
        for case in made.cases
        for part, source in _parts(case)
        for name, array in source.items()
    }
    np.savez_compressed(folder / CASES, **arrays)  # type: ignore[arg-type]
    entries = [
        _entry(p, made) for p in (*plans, *empty) if p in plans or p.name not in made.skipped
    ]
    full = {case.name: case for case in made.cases if case.name not in made.narrow}
    layout = layout_of(model, made.cases)
    alone = plan_alone(model, layout, full) if file is not None else []
    return entries + plan_streams(model, layout, full) + alone


_ROUNDED = (("rounded-ref", "reference"), ("rounded-eager", "eager"), ("rounded-noise", "noise"))


def _parts(case: Case) -> tuple[tuple[str, Arrays], ...]:
    """What is stored of a case, under which names."""
    return (
        ("in", case.inputs),
        ("ref", case.reference),
        ("eager", case.eager),
        ("noise", case.noise),
        *((part, getattr(case.rounded, what)) for part, what in _ROUNDED if case.rounded),
    )


def _has_inputs(model: Model, plan: Plan) -> bool:
    """Whether `sample`, which owes inputs at sizes from 1 on, has some for none as well."""
    try:
        make_inputs(model, plan)
    except RnnbenchError:
        return False
    return True


def read_cases(bundle: Bundle) -> list[Case]:
    """The cases of a bundle; nothing in the file is unpickled.

    Raises:
        RnnbenchError: cases.npz is missing or damaged, or lacks what the manifest promises.
    """
    file = bundle.path / CASES
    cases: list[Case] = []
    try:
        if not file.resolve().is_relative_to(bundle.path.resolve()):
            raise ValueError("it links to outside of the bundle")
        _look_at(file)
        with np.load(file, allow_pickle=False) as stored:
            for entry in bundle.manifest["cases"]:
                if "skipped" not in entry:
                    cases.append(_case(bundle, entry, stored, cases))
    except _DAMAGED as error:
        raise RnnbenchError(
            f"{file} cannot be read ({one_line(error)}): export the model again"
        ) from None
    if not cases:
        raise RnnbenchError(f"{bundle.path} has no cases to compare at: export the model again")
    return cases


def _look_at(file: Path) -> None:
    """Raises ValueError where an array is not as large as it says, or all are too large."""
    with zipfile.ZipFile(file) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > _MOST:
            raise ValueError(f"its arrays take {total / 2**30:.0f} GiB")
        for member in archive.infolist():
            with archive.open(member) as array:
                version = np.lib.format.read_magic(array)
                read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    version, np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(array)
                bytes_ = math.prod(shape) * dtype.itemsize
                if dtype.hasobject:  # a pickle, which would run code
                    raise ValueError(f"{member.filename} holds objects")
                if bytes_ != member.file_size - array.tell():
                    raise ValueError(f"{member.filename} is not as large as it says")


def _fit(bundle: Bundle, case: Case) -> None:
    """Raises ValueError where an input is not as it is declared, or an output not as the others."""
    for spec in bundle.inputs:
        array = case.inputs[spec.name]
        if array.dtype != spec.dtype:
            raise ValueError(f"{case.name}: {spec.name} is {array.dtype} instead of {spec.dtype}")
        wanted = spec.resolve(case.dims)
        if array.shape != wanted:
            raise ValueError(
                f"{case.name}: {spec.name} is {list(array.shape)} instead of {list(wanted)}"
            )
    for name, exact in case.reference.items():
        eager, noise = case.eager[name], case.noise.get(name)
        arrays = [array for array in (eager, noise) if array is not None]
        if any(other.shape != exact.shape for other in arrays):
            raise ValueError(f"{case.name}: the arrays of {name} have several shapes")
        wrong = _wrong_kind(exact, eager, noise)
        if wrong:
            raise ValueError(f"{case.name}: {wrong} of {name}")


def _wrong_kind(exact: _Array, eager: _Array, noise: _Array | None) -> str:
    """Which of an output's arrays no module has given, and why; nothing where all are possible.

    Args:
        exact: in float64, or as the module itself gave it.
        eager: as it gave it.
        noise: of its floats.
    """
    if eager.dtype not in _KINDS:
        return f"{eager.dtype.str} is no dtype"
    floats = eager.dtype.kind == "f"
    if exact.dtype != eager.dtype and not (floats and exact.dtype == np.float64):
        return f"the reference is {exact.dtype.str} beside {eager.dtype.str}"
    if noise is None:
        return ""
    if not floats or noise.dtype not in _KINDS or noise.dtype.kind != "f":
        return f"the noise is {noise.dtype.str} beside {eager.dtype.str}"
    # Where the module itself gives NaN, and float64 does not, its error is NaN.
    unknown = np.isnan(eager) | np.isnan(exact)
    return (
        "" if bool(np.all((noise >= 0) | unknown)) else "there is no size of an error in the noise"
    )


def _entry(plan: Plan, made: CaseSet) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": plan.name,
        "dims": plan.dims,
        "seed": plan.seed,
        "note": plan.note,
    }
    if plan.name in made.skipped:
        entry["skipped"] = f"the model itself fails: {made.skipped[plan.name]}"
    if plan.name in made.narrow:
        why = made.narrow[plan.name]
        entry["reference"] = f"its own precision, because float64 fails: {why}"
    return entry


def _case(bundle: Bundle, entry: dict[str, Any], stored: Any, before: list[Case]) -> Case:
    name = str(entry["name"])
    if "of" in entry:
        whole = next((case for case in before if case.name == entry["of"]), None)
        if whole is None:
            raise KeyError(f"there is no case {entry['of']!r}, of which {name!r} is made")
        feed_mode = FeedMode(
            tuple(map(int, entry["chunks"])), bool(entry["interleaved"]), bool(entry["reset"])
        )
        return replace(whole, name=name, feed_mode=feed_mode, of=whole.name)

    def read(part: str, names: Sequence[str]) -> Arrays:
        return {n: stored[f"{name}/{part}/{n}"] for n in names}

    noisy = [n for n in bundle.outputs if f"{name}/noise/{n}" in stored]

    case = Case(
        name=name,
        dims=dict(entry["dims"]),
        inputs=read("in", [spec.name for spec in bundle.inputs]),
        reference=read("ref", bundle.outputs),
        eager=read("eager", bundle.outputs),
        noise=read("noise", noisy),
        seed=int(entry["seed"]),
    )
    _fit(bundle, case)
    if f"{name}/rounded-ref/{bundle.outputs[0]}" not in stored:
        return case
    noisy = [n for n in bundle.outputs if f"{name}/rounded-noise/{n}" in stored]
    own = read("rounded-ref", bundle.outputs), read("rounded-eager", bundle.outputs)
    case = replace(case, rounded=Rounded(own[0], own[1], read("rounded-noise", noisy)))
    _fit(bundle, case.as_rounded())
    return case

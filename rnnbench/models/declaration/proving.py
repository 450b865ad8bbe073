"""A draft on trial: it is exported before it is written, and others in its place where it is not.

export refuses the likeliest   ->   without what has a default, with fewer outputs, another call ...
none of them is exported       ->   the likeliest, and what export says of it
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rnnbench.core.dims import Dim, names_of, value_of
from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.calling import ports_in
from rnnbench.models.declaration.guesses import Guess, Sampling
from rnnbench.models.declaration.inference import Inference
from rnnbench.models.declaration.ports import DEFAULT

Attempt = Callable[[Guess, float], str | None]
"""Exports a draft in so many seconds: why it is refused, None where it is not.

A `TimeoutError` says that there was no answer in time."""

_LEAST = 4.0  # seconds without which a trial is not begun
_SEARCH = 6.0  # seconds for other calls
_FIXED = {"batch": 1, "time": 16}
_OWN_INPUTS = re.compile(r"fails on inputs of its own declaration|sample\(\)")
_SMALL = re.compile(r"=1\b|\bone (row|step)")

Change = tuple[str, Guess]


def proved(best: Guess, inference: Inference, attempt: Attempt, until: float) -> Guess:
    """The first of some drafts that is exported, the likeliest first.

    Args:
        best: the likeliest.
        inference: how it was found.
        attempt: exports a draft.
        until: when no other is begun, of `time.monotonic()`.
    """
    try:
        why = attempt(best, max(until - time.monotonic(), _LEAST))
    except TimeoutError:
        return best
    if why is None:
        return replace(best, exported=True)
    first = why
    changes = _changes(best, inference, why, until)
    while until - time.monotonic() > _LEAST:
        said, found = next(changes, ("", best))
        if not said:
            break
        try:
            why = attempt(found, max(until - time.monotonic(), _LEAST))
        except TimeoutError:
            break
        if why is None:
            remarks = (f"{said}: without that, export says:", first)
            return replace(found, exported=True, remarks=remarks)
    return replace(best, doubts=(*best.doubts, f"export refuses it: {first}"))


def _changes(best: Guess, inference: Inference, why: str, until: float) -> Iterator[Change]:
    """What is tried in the place of a draft that is refused, each with what was done, in words."""
    if _OWN_INPUTS.search(why):
        yield from _other_samples(best)
    yield from _least_of_two(best, why)
    yield from _without_the_optional(best, inference)
    yield from _without_lifting(best)
    yield from _fewer_outputs(best)
    for other in inference.others(best, min(_SEARCH, (until - time.monotonic()) / 3)):
        yield "the module is called in another way", other
    if not _OWN_INPUTS.search(why):
        yield from _other_samples(best)
    yield from _fixed(best, why)


def _other_samples(best: Guess) -> Iterator[Change]:
    """Masks of first steps, and rows that have all steps."""
    masks = tuple(spec.name for spec in best.inputs if _is_mask(spec))
    if masks:
        order = Sampling(falling=True, least=best.sampling.least, prefixes=masks)
        yield f"{' and '.join(masks)} of the first steps alone", replace(best, sampling=order)
    if masks or any(spec.role == "lengths" for spec in best.inputs):
        full = replace(best.sampling, full=True, prefixes=masks)
        yield "all rows have all steps", replace(best, sampling=full)


def _is_mask(spec: TensorSpec) -> bool:
    axes = tuple(d for d in spec.shape if d != 1)
    two = len(axes) == 2 and axes[0] == "batch" and isinstance(axes[1], str)
    last = len(spec.shape) > 1 and spec.shape[-1] != 1
    return two and last and (spec.dtype == "bool" or "mask" in spec.name.lower())


def _least_of_two(best: Guess, why: str) -> Iterator[Change]:
    """Two rows or steps at least, where something is wrong at one."""
    for dim in ("batch", "time"):
        usual = best.dims.get(dim, Dim())
        if dim in best.sizes and usual.fit(1) == 1 and (f"{dim}=1" in why or _SMALL.search(why)):
            dims = {**best.dims, dim: Dim(min=2)}
            yield f"{dim} is 2 or more", replace(best, dims=dims)


def _without_the_optional(best: Guess, inference: Inference) -> Iterator[Change]:
    """Without the inputs that the module can do without: states first, then all."""
    if best.called is None:
        return
    arguments, values = best.called.arguments, best.called.values
    states = {spec.name for spec in best.inputs if spec.role == "state"}
    for only_states in (True, False):
        left = [
            argument.name
            for argument, value in zip(arguments, values, strict=True)
            if argument.optional and (given := {p.name for p in ports_in((value,))})
            and (given <= states or not only_states)
        ]  # fmt: skip
        if not left:
            continue
        fewer = tuple(
            DEFAULT if argument.name in left else value
            for argument, value in zip(arguments, values, strict=True)
        )
        found = inference.with_values(fewer, states=False)
        if found is not None and len(found.inputs) < len(best.inputs):
            yield f"{' and '.join(left)} left at the default", found


def _without_lifting(best: Guess) -> Iterator[Change]:
    if best.lift_state:
        yield "what it keeps between calls is no state", replace(best, lift_state=False)


def _fewer_outputs(best: Guess) -> Iterator[Change]:
    """The first output, and those that states become."""
    keep = [
        i
        for i, name in enumerate(best.outputs)
        if not i or name in best.states.values()
    ]  # fmt: skip
    for kept in dict.fromkeys((tuple(keep), (0,))):
        if len(kept) == len(best.outputs) or len(best.parts) != len(best.outputs):
            continue
        names = tuple(best.outputs[i] for i in kept)
        states = {k: v for k, v in best.states.items() if v in names}
        fewer: dict[str, Any] = {"outputs": names, "states": states, "caller": best.called}
        fewer["returns"] = tuple(best.parts[i] for i in kept)
        yield f"of the outputs, {' and '.join(names)} alone", replace(best, **fewer)


def _fixed(best: Guess, why: str) -> Iterator[Change]:
    """One dimension with a fixed size: what is tried last."""
    dims = [d for d in best.sizes if d in {n for s in best.inputs for n in _names(s)}]
    named = sorted(dims, key=lambda d: (f"'{d}'" not in why, d != "time" and d != "batch"))
    for dim in named:
        usual = best.dims.get(dim, Dim())
        size = usual.fit(_FIXED.get(dim, best.sizes[dim]))
        inputs = tuple(
            replace(s, shape=tuple(_with(d, dim, size) for d in s.shape)) for s in best.inputs
        )
        left = {d: found for d, found in best.dims.items() if d != dim}
        sizes = {d: n for d, n in best.sizes.items() if d != dim}
        fixed = replace(best, inputs=inputs, dims=left, sizes=sizes, lift_state=best.lift_state)
        doubt = f"{dim} is fixed at {size}: it is exported only so"
        yield f"{dim} is fixed at {size}", replace(fixed, doubts=(*best.doubts, doubt))


def _names(spec: TensorSpec) -> list[str]:
    return [name for size in spec.shape for name in names_of(size)]


def _with(size: int | str, dim: str, value: int) -> int | str:
    """A size where one dimension is known."""
    names = names_of(size)
    if dim not in names:
        return size
    return value_of(size, {dim: value}) if len(names) == 1 else size

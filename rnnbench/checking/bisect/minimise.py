"""The smallest case at which an artifact still fails: batch, time, and the layer that is off."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rnnbench.cases.tolerance import compare
from rnnbench.checking.bisect.intermediates import Reference, find_reference
from rnnbench.checking.bisect.locate import Location, format_location, locate
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Arrays, sample_inputs
from rnnbench.models.rebuild import declared
from rnnbench.runtimes.worker import Job, Worker

_ROUNDS = 3  # a smaller time may allow a smaller batch, and so on; it settles in two


@dataclass(frozen=True)
class Minimal:
    """A failing case that no smaller one was found for.

    Attributes:
        model: the bundle's name.
        format: of the artifact.
        runtime: what ran it.
        dims: the smallest sizes of the dynamic dimensions that still fail.
        seed: of the inputs.
        reason: which output is off, and how; empty where nothing fails.
        tried: how many cases were run.
        command: runs the case again.
        location: the first node that is off (ONNX alone).
    """

    model: str
    format: str
    runtime: str
    dims: dict[str, int]
    seed: int
    reason: str
    tried: int
    command: str = ""
    location: Location | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        location = self.location.to_json() if self.location else None
        return asdict(self) | {"location": location}


def minimise(
    bundle: Bundle,
    format: str,
    runtime: str,
    dims: Mapping[str, int] | None = None,
    *,
    seed: int = 0,
    mode: str = "",
    reference: Reference | None = None,
) -> Minimal:
    """Makes a failing case as small as it still fails.

    Args:
        bundle: what was exported.
        format: of the artifact that fails.
        runtime: in which it fails.
        dims: the sizes of the case; unless given, twice the traced ones and one more.
        seed: of its inputs, which are made anew for each size.
        mode: of the runtime.
        reference: the captured program, where the caller has it already.

    Raises:
        Unavailable: there is nothing to compare with, neither the model's code nor a model.pt2.
        RnnbenchError: the bundle has no such artifact, or it does not load.
    """
    if format not in bundle.artifacts:
        raise choices("artifact", format, bundle.artifacts)
    reference = reference or find_reference(bundle)
    model = reference.model or declared(bundle)
    start = dict(dims or {d: 2 * n + 1 for d, n in bundle.traced.items()})
    tried: dict[tuple[tuple[str, int], ...], str] = {}
    path, trust_code = bundle.artifacts[format].path, bundle.trust_code
    job = Job(runtime, format, path, bundle.path, mode, trust_code=trust_code)
    with Worker(job) as worker:

        def fails(sizes: dict[str, int]) -> str:
            key = tuple(sizes.items())
            if key not in tried:
                inputs = sample_inputs(model, sizes, seed)
                tried[key] = _failure(worker, reference, bundle, inputs)
            return tried[key]

        small = _smallest(start, fails) if fails(start) else start
        reason = fails(small)
    found = Minimal(bundle.name, format, runtime, small, seed, reason, len(tried))
    if not reason:
        return found
    location = None
    if format == "onnx":
        location = locate(bundle, sample_inputs(model, small, seed), reference=reference)
    case = ",".join(f"{d}={n}" for d, n in {**small, "seed": seed}.items())
    words = ["rnnbench", "check", str(bundle.path), "--runtime", runtime, "--case", case]
    return Minimal(**{**vars(found), "command": shlex.join(words), "location": location})


def format_minimal(found: Minimal) -> str:
    """The case, the command that runs it again, and the node."""
    sizes = ", ".join(f"{d}={n}" for d, n in found.dims.items()) or "its fixed shape"
    what = f"{found.model}: {found.format} in {found.runtime}"
    if not found.reason:
        return f"{what} is right at {sizes} with ordinary inputs: nothing to minimise"
    lines = [
        f"{what}: the smallest of {found.tried} cases that fails is {sizes}",
        f"  output     {found.reason}",
        f"  again      {found.command}",
    ]
    return "\n".join([*lines, *([format_location(found.location)] if found.location else [])])


def _smallest(start: dict[str, int], fails: Callable[[dict[str, int]], str]) -> dict[str, int]:
    """Each dimension in turn gets the smallest size that still fails, until none gets smaller."""
    small = dict(start)
    for _ in range(_ROUNDS):
        before = dict(small)
        for dim in small:
            tries = (small | {dim: size} for size in _sizes(small[dim]))
            small = next((sizes for sizes in tries if fails(sizes)), small)
        if small == before:
            break
    return small


def _sizes(below: int) -> Iterator[int]:
    """1 to 8, then powers of two: a failure need not be monotone (a frozen length is one size)."""
    yield from range(1, min(below, 9))
    size = 16
    while size < below:
        yield size
        size *= 2


def _failure(
    run: Callable[[Arrays], Arrays], reference: Reference, bundle: Bundle, inputs: Arrays
) -> str:
    """What is wrong with the outputs; nothing where the model itself cannot run the case."""
    try:
        values = reference.run(inputs)
    except RnnbenchError:
        raise
    except Exception:  # a convolution longer than its input
        return ""
    try:
        outputs = run(inputs)
    except RnnbenchError as error:
        return f"it fails: {one_line(error)}"
    for name in bundle.outputs:
        if name not in outputs:
            return f"there is no output {name!r}"
        if name in values.own:
            reason = compare(outputs[name], values.exact[name], values.own[name]).reason
            if reason:
                return f"{name!r} {reason}"
    return ""

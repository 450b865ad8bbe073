"""Which artifacts run in which runtimes: `NAME`, `NAME:MODE` or `NAME:DEVICE`, and what that means.

check, drift    the artifacts of one bundle, in every runtime that is wanted
conform         engines, in every form of the file that they read (checking/conformance)
bench           forms of a network, in every way of a runtime to be timed (benchmarking/plan)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from rnnbench import runtimes
from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import choices
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.runtime import Cost

DEVICES = ("cpu", "cuda")
_NO_MODULE = "the bundle is of a file, and there is no module: give the runtimes of its format"
QUICK: tuple[Cost, ...] = ("usual",)
FAST: tuple[Cost, ...] = ("usual", "extra")
FULL: tuple[Cost, ...] = ("usual", "extra", "slow")


def parse(
    text: str, known: Collection[str], *, what: str = "runtime", devices: bool = True
) -> tuple[str, str, str]:
    """`onnxruntime:basic` -> (`onnxruntime`, `basic`, ``), `eager:cuda` -> (`eager`, ``, `cuda`).

    Args:
        text: `NAME`, `NAME:MODE` or `NAME:DEVICE`.
        known: the names that there are.
        what: they are called.
        devices: whether a device may be named.

    Raises:
        RnnbenchError: there is no such name, mode or device.
    """
    name, _, how = text.partition(":")
    name = plugins.canonical("runtimes", name)
    if name not in known:
        raise choices(what, name, known)
    modes = runtimes.get(name).modes
    if not how or how in modes:
        return name, how, ""
    if devices and how.partition(":")[0] in DEVICES:
        return name, "", how
    possible = (*modes, *DEVICES) if devices else modes or ("none",)
    raise choices(f"mode of {name}", how, possible)


def find_jobs(
    bundle: Bundle, wanted: Sequence[str] | None, *, costs: Sequence[Cost] = QUICK
) -> list[Job]:
    """What there is to run of a bundle.

    Args:
        bundle: whose artifacts run.
        wanted: `NAME`, `NAME:MODE` or `NAME:DEVICE`; every runtime of these costs where it is None.
        costs: with FULL come every mode and every device as well.

    Raises:
        RnnbenchError: one that is wanted does not exist. Unavailable: it is not installed.
    """
    full = costs == FULL
    if wanted is not None:
        return [job for text in wanted for job in _named(bundle, text, full=full)]
    jobs = []
    for name, runtime in runtimes.every().items():
        if runtime.cost in costs:
            jobs += _jobs(bundle, name, modes=("", *runtime.modes) if full else ("",), full=full)
    for format in bundle.artifacts:
        if not runtimes.running(format):
            why = f"no runtime here runs {format}: update rnnbench"
            jobs.append(Job("-", format, missing=why))
    if not full:
        jobs += _jobs(bundle, "eager", modes=("twin",), full=False)
    return [job for job in jobs if not (bundle.of_file and job.format == "eager")]


def _named(bundle: Bundle, text: str, *, full: bool) -> list[Job]:
    """The jobs of `NAME`, `NAME:MODE` or `NAME:DEVICE`."""
    name, mode, device = parse(text, runtimes.names())
    runtime = runtimes.get(name)
    runtime.require(name)
    if device:
        return [replace(job, device=device) for job in _jobs(bundle, name, modes=("",), full=False)]
    if mode:
        return _jobs(bundle, name, modes=(mode,), full=False)
    modes = ("", *runtime.modes) if full else ("",)
    twin = ("twin",) if name == "eager" else ()
    return _jobs(bundle, name, modes=tuple(dict.fromkeys((*modes, *twin))), full=full)


def _jobs(bundle: Bundle, name: str, *, modes: tuple[str, ...], full: bool) -> list[Job]:
    from rnnbench.models.rebuild import twin_of

    runtime = runtimes.get(name)
    missing = runtime.missing() or ""
    if missing:
        modes = ("",)
    if "twin" in modes and twin_of(bundle) is None:
        modes = tuple(mode for mode in modes if mode != "twin")
    plain = [_job(bundle, format, name, missing) for format in _formats(bundle, name)]
    jobs = [replace(job, mode=mode) for job in plain for mode in modes]
    if full and not missing and "cuda" in runtime.devices():
        jobs += [replace(job, device="cuda") for job in plain]
    return jobs


def _job(bundle: Bundle, format: str, name: str, missing: str) -> Job:
    """A format in a runtime; with the dimensions that the artifact has fixed, or the runtime."""
    if bundle.of_file and format == "eager":
        missing = _NO_MODULE
    if format not in bundle.artifacts:
        return Job(name, format, None, bundle.path, missing=missing, trust_code=bundle.trust_code)
    artifact = bundle.artifacts[format]
    fixed = runtimes.get(name).own_sizes(bundle.batch_dim)
    fixed |= artifact.details.get("pinned") or {}
    sizes = tuple(sorted((str(dim), int(size)) for dim, size in fixed.items()))
    return Job(
        name,
        format,
        artifact.path,
        bundle.path,
        sizes=sizes,
        missing=missing,
        trust_code=bundle.trust_code,
    )


def _formats(bundle: Bundle, name: str) -> list[str]:
    """What a runtime runs of a bundle: not what was written for another one."""
    artifacts = bundle.artifacts
    found = [f for f in runtimes.get(name).formats if f == "eager" or f in artifacts]
    everyone = ("portable", name)
    return [
        f
        for f in found
        if f != "portable"
        or name == "onnxruntime"
        or artifacts[f].details.get("profile", "portable") in everyone
    ]

"""One artifact in one runtime, called with numpy arrays by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench import runtimes
from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.dims import Dim, names_of, value_of
from rnnbench.core.errors import RnnbenchError, Unavailable, choices, one_line
from rnnbench.core.model import Arrays, Dims, TensorSpec
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker

_SECONDS, _MEMORY = 600.0, 8 * 2**30  # of the process of one answer


@dataclass(frozen=True)
class Session:
    """Outputs by name from inputs by name; every input is validated first.

    Attributes:
        bundle: what was loaded.
        format: of the artifact that runs; `eager` for the module itself.
        runtime: the plugin in `rnnbench/runtimes/adapters/` that runs it.
        device: where it runs.
        threads: inside one operation; None where the runtime decides.
        run: the runtime's function without validation, for those who measure.
    """

    bundle: Bundle
    format: str
    runtime: str
    device: str
    threads: int | None
    run: Callable[[Arrays], Arrays] = field(repr=False)

    def __call__(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Runs the artifact.

        Raises:
            RnnbenchError: an input is missing, unknown, or of a wrong dtype, shape or value; or
                the runtime failed.
        """
        arrays = validated(self.bundle, inputs)
        try:
            return self.run(arrays)
        except RnnbenchError:
            raise
        except Exception as error:  # each runtime raises types of its own
            raise RnnbenchError(
                f"{self.bundle.name}: {self.format} fails in {self.runtime} ({one_line(error)})"
            ) from error

    def zero_states(self, dims: Dims) -> Arrays:
        """The states at the start of a stream; `dims` gives the dynamic dimensions' sizes."""
        return {
            spec.name: np.zeros(spec.resolve(dims), spec.dtype)
            for spec in self.bundle.inputs
            if spec.role == "state"
        }


def load(
    bundle: Bundle | str | Path,
    format: str,
    runtime: str | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> Session:
    """Loads one artifact of a bundle into a runtime.

    Args:
        bundle: what `export` returned, or its folder.
        format: one of the bundle's artifacts, or `eager` for the module itself.
        runtime: the first that is installed and runs the format, unless given.
        device: `cpu`, `cuda`, `cuda:1` ...
        threads: inside one operation, the same in every runtime; each runtime's own default
            (which differs between them) unless given.

    Raises:
        RnnbenchError: the format, runtime or device is unknown or cannot be used.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    format = plugins.canonical("formats", format)
    runtime, path = _find(bundle, format, runtime, device, threads)
    run = runtimes.get(runtime).open(runtime, bundle, path, device=device, threads=threads)
    return Session(bundle, format, runtime, device, threads, run)


@contextmanager
def loaded_apart(
    bundle: Bundle,
    format: str,
    runtime: str | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> Iterator[Session]:
    """The same in a process of its own, with a limit of memory, that ends with the block.

    TorchScript and .pt2 files are programs.

    Raises:
        RnnbenchError: as `load`, or the process died.
    """
    format = plugins.canonical("formats", format)
    runtime, path = _find(bundle, format, runtime, device, threads)
    job = Job(runtime, format, path, bundle.path, device=device, threads=threads)
    job = replace(job, trust_code=bundle.trust_code)
    with Worker(job, seconds=_SECONDS, memory=_MEMORY) as run:
        yield Session(bundle, format, runtime, device, threads, run)


def _find(
    bundle: Bundle, format: str, runtime: str | None, device: str, threads: int | None
) -> tuple[str, Path | None]:
    """The runtime and the file.

    Raises:
        RnnbenchError: the format, runtime or device is unknown or cannot be used.
    """
    artifacts = bundle.artifacts
    if format != "eager" and format not in artifacts:
        raise choices("artifact", format, (*artifacts, "eager"))
    if threads is not None and (isinstance(threads, bool) or threads < 1):
        raise RnnbenchError(f"threads={threads}: give 1 or more")
    runtime = _choose(format, runtime)
    runtimes.get(runtime).require(runtime, device)
    return runtime, artifacts[format].path if format in artifacts else None


def validated(bundle: Bundle, inputs: Mapping[str, Any]) -> Arrays:
    """The inputs as contiguous arrays that fit the bundle's declaration.

    Raises:
        RnnbenchError: one does not fit; the message names it.
    """
    names = [spec.name for spec in bundle.inputs]
    for name in inputs:
        if name not in names:
            raise choices("input", name, names)
    arrays: Arrays = {}
    dims: dict[str, int] = {}
    for spec in bundle.inputs:
        if spec.name not in inputs:
            raise RnnbenchError(
                f"input {spec.name!r} is missing: give {spec.dtype}{_shown(spec.shape)}"
            )
        arrays[spec.name] = _fitting(spec, np.asarray(inputs[spec.name]), dims)
    for spec in bundle.inputs:  # once more: sums and products of dimensions that came later
        _fitting(spec, arrays[spec.name], dims)
    for name, size in dims.items():
        dim = bundle.dims.get(name, Dim())
        if not dim.allows(size):
            raise RnnbenchError(
                f"dimension {name!r} is {size}, and {bundle.name} takes {dim}: give {dim.fit(size)}"
            )
    for spec in bundle.inputs:
        _check_values(spec, arrays[spec.name], dims.get(bundle.time_dim))
    return arrays


def _choose(format: str, runtime: str | None) -> str:
    """The runtime that was asked for, or the first that is installed."""
    able = runtimes.running(format)
    runtime = runtime if runtime is None else plugins.canonical("runtimes", runtime)
    if runtime is not None and runtime not in able:
        if runtime not in runtimes.names():
            raise choices("runtime", runtime, able)
        possible = f"choose from {', '.join(able)}" if able else "nothing here does"
        raise RnnbenchError(f"runtime {runtime!r} does not run {format}: {possible}")
    missing = []
    for name in (runtime,) if runtime is not None else able:
        why = runtimes.get(name).missing()
        if why is None:
            return name
        missing.append(why)
    raise Unavailable("; ".join(missing) or f"no runtime here runs {format}: update rnnbench")


def _fitting(
    spec: TensorSpec, array: np.ndarray[Any, Any], dims: dict[str, int]
) -> np.ndarray[Any, Any]:
    """The array, where its dtype and shape fit; `dims` collects the dynamic dimensions' sizes."""
    if array.dtype != np.dtype(spec.dtype):
        raise RnnbenchError(
            f"input {spec.name!r} is {array.dtype}, and {spec.dtype} is declared: "
            f"convert it with .astype({spec.dtype!r})"
        )
    fits = array.ndim == len(spec.shape) and all(
        given > 0 and given == _wanted(size, given, dims)
        for given, size in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        known = ", ".join(f"{dim}={size}" for dim, size in dims.items())
        raise RnnbenchError(
            f"input {spec.name!r} has shape {_shown(array.shape)}, and {_shown(spec.shape)} is "
            f"declared{f' ({known})' if known else ''}: give every dimension 1 or more, and each "
            "named one the same size everywhere"
        )
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _wanted(size: int | str, given: int, dims: dict[str, int]) -> int:
    """What a size has to be; one that is a name alone is whatever was given for it first."""
    names = names_of(size)
    if names == (size,):
        return dims.setdefault(names[0], given)
    known = all(name in dims for name in names)
    return value_of(size, dims) if known else given


def _check_values(spec: TensorSpec, array: np.ndarray[Any, Any], time: int | None) -> None:
    """Refuses values that make some runtimes read outside of their memory (onnxruntime#10768)."""
    if spec.role == "lengths":
        low, above = 1, (time or int(array.max())) + 1
    elif spec.high is not None:
        low, above = 0, spec.high
    else:
        return
    least, most = int(array.min()), int(array.max())
    if least < low or most >= above:
        raise RnnbenchError(
            f"input {spec.name!r} holds values from {least} to {most}: "
            f"give values from {low} to {above - 1}"
        )


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"

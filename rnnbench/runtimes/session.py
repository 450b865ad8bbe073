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
from rnnbench.core.errors import RnnbenchError, Unavailable, choices, one_line
from rnnbench.core.fitting import fitting
from rnnbench.core.model import Arrays, Dims
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
        arrays = fitting(self.bundle, inputs)
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

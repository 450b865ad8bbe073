"""One artifact in one runtime: what to load, and loading it in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench import runtimes
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Signature

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


@dataclass(frozen=True)
class Job:
    """What a worker loads.

    Attributes:
        runtime: the plugin in `rnnbench/runtimes/adapters/`.
        format: of the artifact; `eager` is the module itself.
        path: the file; None for the module itself.
        bundle: the bundle's folder; None for a foreign file.
        mode: a runtime's own way to run, one of its modes; empty for its default.
        device: `cpu`, `cuda` ...
        threads: inside one operation.
    """

    runtime: str
    format: str
    path: Path | None
    bundle: Path | None
    mode: str = ""
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        modes = runtimes.get(self.runtime).modes
        if self.mode and self.mode not in modes:
            raise choices(f"mode of {self.runtime}", self.mode, modes or ("none",))


def load(job: Job, bundle: Bundle | None = None) -> Callable[[Arrays], Arrays]:
    """The job's artifact in its runtime, in this process.

    Args:
        job: what to load.
        bundle: the job's bundle, where it is open already.

    Raises:
        RnnbenchError: it cannot be loaded.
        Unavailable: something is not on this machine.
    """
    from rnnbench.core.bundle import Bundle

    runtime = runtimes.get(job.runtime)
    runtime.require(job.runtime, job.device)
    if bundle is None and job.bundle is not None:
        bundle = Bundle.open(job.bundle)
    return runtime.load(bundle, job.path, device=job.device, threads=job.threads, mode=job.mode)


def signature(job: Job) -> Signature:
    """The inputs and outputs as the job's file itself declares them.

    Raises:
        RnnbenchError: files of this kind do not say.
    """
    declared = runtimes.get(job.runtime).signature
    if job.path is None or declared is None:
        raise RnnbenchError(
            f"files that {job.runtime} runs do not declare their inputs: give a bundle"
        )
    return declared(job.path)

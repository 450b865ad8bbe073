"""One artifact in one runtime: what to load, and loading it in this process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench import runtimes
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Run
from rnnbench.core.signature import Signature
from rnnbench.runtimes.held import Array

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle
    from rnnbench.runtimes.accounting import Account, Uses


@dataclass(frozen=True)
class Job:
    """One artifact in one runtime, in one mode, on one device.

    Attributes:
        runtime: its name; `-` where no runtime runs the format.
        format: of the artifact; `eager` is the module itself.
        path: the file; None for the module itself.
        bundle: the bundle's folder; None for a foreign file.
        mode: a runtime's own way to run, one of its `modes`; empty for its default.
        device: `cpu`, `cuda` ...
        threads: inside one operation; None where the runtime decides. For every runtime the same
            where they are compared: small networks gain nothing from more, and a busy machine
            loses much.
        form: of an ONNX file, for those who run several: `plain`, or the profile of its rewrites.
        sizes: the dimensions that the file, or the runtime, has fixed.
        missing: why it cannot run, where that is known before.
        trust_code: as in `Bundle.open`, for the process that opens the bundle again.
    """

    runtime: str
    format: str
    path: Path | None = None
    bundle: Path | None = None
    mode: str = ""
    device: str = "cpu"
    threads: int | None = 1
    form: str = ""
    sizes: tuple[tuple[str, int], ...] = ()
    missing: str = ""
    trust_code: bool = False

    def __post_init__(self) -> None:
        if not self.mode:
            return
        modes = runtimes.get(self.runtime).modes
        if self.mode not in modes:
            raise choices(f"mode of {self.runtime}", self.mode, modes or ("none",))

    @property
    def label(self) -> str:
        """`onnxruntime:basic`: what `--runtime` takes, and tables show."""
        where = "" if self.device == "cpu" else self.device
        return ":".join(filter(None, (self.runtime, self.mode, where)))


def load(job: Job, bundle: Bundle | None = None) -> Run:
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
    runtime.require(job.runtime, job.device)  # before the bundle is opened
    if bundle is None and job.bundle is not None:
        bundle = Bundle.open(job.bundle, trust_code=job.trust_code)
    return runtime.open(
        job.runtime, bundle, job.path, device=job.device, threads=job.threads, mode=job.mode
    )


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


def account(job: Job, uses: Uses | None = None) -> Account:
    """Where each weight of the job's bundle is among the arrays that its file holds.

    Args:
        job: whose file is read.
        uses: what the module makes of weights that are not found without it.

    Raises:
        RnnbenchError: files of this kind do not say, or a file is damaged.
    """
    from rnnbench.models.calls import arrays_of, read_weights
    from rnnbench.runtimes.accounting import account, not_smaller

    runtime = runtimes.get(job.runtime)
    if job.path is None or job.bundle is None or runtime.weights is None:
        raise RnnbenchError(f"the weights in files that {job.runtime} runs cannot be read")
    # The file first: what parses it takes the most memory, and is gone then.
    held = runtime.weights(job.path)
    weights = arrays_of(read_weights(job.bundle))
    said = account(weights, held.values(), uses)
    precision = _precision_of(job)
    if not precision or runtime.kept_small is None:
        return said
    few = runtime.kept_small(job.path)
    rounded = [name for name in said.found if _is_smaller(weights[name], precision)]
    small = account(weights, [array for name, array in held.items() if name in few], uses)
    others = [array for name, array in held.items() if name not in few]
    return replace(said, larger=not_smaller(rounded, small, weights, others))


def _precision_of(job: Job) -> str:
    """What the job's file is to keep its weights in; empty where it is float32."""
    from rnnbench.core.bundle import Bundle

    assert job.bundle is not None
    artifact = Bundle.open(job.bundle).artifacts.get(job.format)
    return str(artifact.details.get("precision", "")) if artifact is not None else ""


def _is_smaller(weight: Array, precision: str) -> bool:
    """Whether a weight was rounded, and takes less room so."""
    import torch

    from rnnbench.models.precision import in_fewer_bits

    return in_fewer_bits(torch.from_numpy(weight), precision) is not None

"""What is timed: a call without arguments, made from a file or a module and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.model import Arrays, TensorSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Source:
    """What is to run: the module itself, or a file that was exported from it.

    Attributes:
        inputs: in the order in which the module takes them.
        outputs: the names of the tensors that it returns.
        module: for those that run it; None where its code is not here.
        path: for those that run a file.
        trust_code: as in `Bundle.open`.
    """

    inputs: Sequence[TensorSpec]
    outputs: Sequence[str]
    module: torch.nn.Module | None = None
    path: Path | None = None
    trust_code: bool = False


@dataclass(frozen=True)
class TimedCall:
    """A call without arguments, ready to be timed.

    Attributes:
        run: computes once, and has done so when it returns.
        read: the outputs by name of what `run` returned.
        launch: the same as `run` without waiting for the device, for CUDA's own events; None where
            there is no such thing.
        gradients: those that `run` left, by the parameter's name; None where it makes none.
    """

    run: Callable[[], Any]
    read: Callable[[Any], Arrays]
    launch: Callable[[], Any] | None = None
    gradients: Callable[[], Arrays] | None = None


def in_torch(call: Callable[..., Any], source: Source, arrays: Arrays, device: str) -> TimedCall:
    """A callable of PyTorch on tensors that are already on the device.

    Who times it is expected to be in `torch.inference_mode()`, which would else be timed with it.
    """
    tensors = to_tensors(source, arrays, device)

    def run() -> Any:
        return call(*tensors)

    if not device.startswith("cuda"):
        return TimedCall(run, lambda returned: to_arrays(source, returned))
    from rnnbench.core.cuda import synchronised

    return TimedCall(synchronised(run), lambda returned: to_arrays(source, returned), run)


def to_tensors(source: Source, arrays: Arrays, device: str) -> list[torch.Tensor]:
    """The inputs in their order, on a device."""
    import torch

    return [torch.from_numpy(arrays[spec.name]).to(device) for spec in source.inputs]


def to_arrays(source: Source, returned: Any) -> Arrays:
    """What a module returned, by the declared names."""
    from rnnbench.models.calls import call

    return call(lambda: returned, (), source.outputs, {})


def module_of(source: Source, device: str) -> torch.nn.Module:
    """The module on a device, ready for inference.

    Raises:
        RnnbenchError: its code is not here.
    """
    from rnnbench.models.calls import evaluated

    if source.module is None:
        raise RnnbenchError("the code of the model is not on this machine: give its FILE.py")
    return evaluated(source.module, device)


def path_of(source: Source) -> Path:
    """The file to run."""
    assert source.path is not None, "whoever prepares a file exports it first"
    return source.path


def one_thread(engine: str, threads: int) -> None:
    """Refuses to time an engine beside others that have more threads.

    Raises:
        Unavailable: more than one is asked for.
    """
    if threads != 1:
        raise Unavailable(f"{engine} is timed in one thread, not {threads}: use --threads 1")

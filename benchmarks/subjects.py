"""What is timed: one recurrence, in one form, in one runtime, as a callable without arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import rnnbench
from rnnbench import variants
from rnnbench._quiet import torchscript_deprecation
from rnnbench.compare import compare
from rnnbench.model import Arrays, Model, sample_inputs
from rnnbench.modules import call, call_float64, undisturbed
from rnnbench.variants import Options

INPUT_SIZE = 40
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FORMATS = {"torchscript": "torchscript", "onnxruntime": "onnx"}


@dataclass(frozen=True)
class Conditions:
    batch: int
    time: int
    hidden: int
    threads: int

    def __str__(self) -> str:
        return f"B{self.batch}-T{self.time}-H{self.hidden}-threads{self.threads}"


@dataclass(frozen=True)
class Subject:
    """`run` is timed; `read` makes arrays by name of what it returned."""

    run: Callable[[], Any]
    read: Callable[[Any], Arrays]


def missing(runtime: str, device: str) -> str | None:
    """Why a runtime cannot use a device here."""
    if device == "cuda" and not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    if runtime == "onnxruntime" and PROVIDERS[device] not in onnxruntime.get_available_providers():
        return f"this build of ONNX Runtime has no {PROVIDERS[device]}"
    return None


def network(cell: str, form: str, hidden: int) -> Model:
    """The loop or the fused layer, both with the weights of the fused one; no head."""
    options = Options(input_size=INPUT_SIZE, hidden_size=hidden)
    fused = variants.build(cell, options)
    if form == "fused":
        return variants.model(cell, options, bundle_name=cell, module=fused.eval())
    loop = variants.build(f"{cell}-loop", options)
    loop.load_state_dict(fused.state_dict(), strict=True)
    return variants.model(f"{cell}-loop", options, bundle_name=f"{cell}-loop", module=loop.eval())


def inputs_for(model: Model, conditions: Conditions) -> Arrays:
    return sample_inputs(model, {"batch": conditions.batch, "time": conditions.time}, seed=0)


def export_artifact(model: Model, form: str, runtime: str, folder: Path) -> Path:
    """The file that `runtime` runs; a `loop` stays one, `exported` becomes what export makes."""
    format_ = FORMATS[runtime]
    bundle = rnnbench.export(
        model, formats=(format_,), out=folder / form, keep_loops=form == "loop"
    )
    return bundle.artifacts[format_].path


def subject(
    model: Model, runtime: str, device: str, arrays: Arrays, path: Path | None, threads: int
) -> Subject:
    """Everything is prepared here, outside of the timer."""
    if runtime == "onnxruntime":
        assert path is not None
        return in_onnxruntime(path, arrays, device, threads, list(model.outputs))
    tensors = [torch.from_numpy(arrays[spec.name]).to(device) for spec in model.inputs]
    if runtime == "eager":
        return in_torch(model.module.to(device), tensors, device, model.outputs)
    with torchscript_deprecation():
        module = torch.jit.load(str(path), map_location=device).eval()
    return in_torch(module, tensors, device, model.outputs)


def in_torch(module: Any, tensors: list[torch.Tensor], device: str, outputs: Any) -> Subject:
    if device == "cuda":

        def run() -> Any:  # CUDA returns before it is done: wait inside of the timer (pitfall 30)
            with torch.inference_mode():
                returned = module(*tensors)
            torch.cuda.synchronize()
            return returned
    else:

        def run() -> Any:
            with torch.inference_mode():
                return module(*tensors)

    def read(returned: Any) -> Arrays:
        return {n: t.cpu().numpy() for n, t in zip(outputs, returned, strict=True)}

    return Subject(run, read)


def in_onnxruntime(
    path: Path, arrays: Arrays, device: str, threads: int, outputs: list[str]
) -> Subject:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, [PROVIDERS[device]])
    used = {i.name for i in session.get_inputs()}
    feeds = {name: array for name, array in arrays.items() if name in used}

    def run() -> Any:  # numpy in, numpy out: ONNX Runtime waits for the device itself
        return session.run(outputs, feeds)

    return Subject(run, lambda returned: dict(zip(outputs, returned, strict=True)))


def warm_up(run: Callable[[], Any]) -> Any:
    """TorchScript compiles again on its second and third call (pitfall 27)."""
    returned = None
    for _ in range(10):
        returned = run()
    return returned


def reference(model: Model, arrays: Arrays) -> tuple[Arrays, Arrays]:
    """The outputs in float64, and those of the module itself in float32."""
    eager = call(model.module, model.inputs, model.outputs, arrays)
    with undisturbed(model.module, double=True):
        return call_float64(model.module, model.inputs, model.outputs, arrays), eager


def assert_right(actual: Arrays, expected: Arrays, eager: Arrays, device: str = "cpu") -> None:
    """What was timed is what `check` would pass; on CUDA, sums in TF32 are allowed for."""
    assert actual.keys() == expected.keys()
    for name, array in actual.items():
        if device == "cpu":
            reason = compare(array, expected[name], eager[name]).reason
            assert not reason, f"{name} {reason}"
        else:
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-2)


def facts(conditions: Conditions, **more: Any) -> dict[str, Any]:
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    return {**asdict(conditions), "input": INPUT_SIZE, "versions": versions, **more}

"""`torch.onnx.export` for recurrent models: the same call, with dynamic batch and time.

    from rnnbench import onnx   # was: from torch import onnx

All other names are those of `torch.onnx`.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.temporary import temporary_folder

if TYPE_CHECKING:
    import torch

    from rnnbench.core.bundle import Bundle
    from rnnbench.models.example.declare import Declared

_IGNORED = {
    "verbose": "nothing is printed",
    "report": "no report is written",
    "profile": "no profile is written",
    "dump_exported_program": "no program is written (rnnbench.pt2.export returns it)",
    "autograd_inlining": "there is nothing to inline",
    "fallback": "there is no other exporter to fall back to",
    "optimize": "the file is optimised, and proved so",
    "do_constant_folding": "constants are folded, and the file is proved so",
    "artifacts_dir": "there are no artifacts",
}
"""Arguments that cannot matter, and why; each but for its default is a warning."""

_REFUSED = {
    "export_params": "weights are in the file; leave it out, and call "
    ".save(path, include_initializers=False) of what is returned",
    "keep_initializers_as_inputs": "weights are no inputs; leave it out, and call "
    ".save(path, keep_initializers_as_inputs=True) of what is returned",
    "custom_translation_table": "operators are translated to ONNX's own alone; leave it out",
    "custom_opsets": "the file has ONNX's own operators alone; leave it out",
    "export_modules_as_functions": "the file has no functions; leave it out",
    "operator_export_type": "the file has ONNX's own operators alone; leave it out",
}
"""Arguments that would change the meaning, and what to do; each but for its default is refused."""

_DEFAULTS: dict[str, Any] = {
    "autograd_inlining": True,
    "optimize": True,
    "do_constant_folding": True,
    "artifacts_dir": ".",
    "export_params": True,
}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import torch.onnx

    return getattr(torch.onnx, name)


def export(  # noqa: PLR0913  (those of torch.onnx.export)
    model: torch.nn.Module,
    args: tuple[Any, ...] | torch.Tensor = (),
    f: str | os.PathLike[str] | Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = True,
    dynamic_shapes: Any = None,
    custom_translation_table: Mapping[Any, Any] | None = None,
    report: bool = False,
    optimize: bool = True,
    verify: bool = False,
    profile: bool = False,
    dump_exported_program: bool = False,
    artifacts_dir: str | os.PathLike[str] = ".",
    fallback: bool = False,
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    dynamic_axes: Mapping[str, Any] | None = None,
    training: Any = None,
    operator_export_type: Any = None,
    do_constant_folding: bool = True,
    custom_opsets: Mapping[str, int] | None = None,
    export_modules_as_functions: bool | Collection[type[torch.nn.Module]] = False,
    autograd_inlining: bool = True,
) -> torch.onnx.ONNXProgram:
    """Exports a module as `torch.onnx.export` does, and proves the file before it is written.

    docs/drop-in.md says of each argument whether it is honoured, warned of or refused.

    Args:
        model: the module; it is exported in evaluation mode, and left as it was.
        args: example arguments: a tensor, or a tuple, which may end with a dict of those by name.
        f: where the file goes: a path, or a binary file that is open; None: it is only returned.
        kwargs: example arguments by name.
        verbose: taken with a warning.
        input_names: names of the inputs, in order.
        output_names: names of the outputs, in order.
        opset_version: 17 to 21; 18 unless given.
        dynamo: taken; where it is not False, the weights go to `<f>.data`, as PyTorch has it.
        external_data: whether the weights go to `<f>.data`; where `dynamo=False` they do not.
        dynamic_shapes: which axes are dynamic, as for `torch.export.export`.
        custom_translation_table: refused.
        report: taken with a warning.
        optimize: taken; False with a warning.
        verify: taken; it is always verified.
        profile: taken with a warning.
        dump_exported_program: taken with a warning.
        artifacts_dir: taken with a warning.
        fallback: taken with a warning.
        export_params: False is refused.
        keep_initializers_as_inputs: True is refused.
        dynamic_axes: which axes are dynamic, by the names of inputs and outputs.
        training: `TrainingMode.EVAL`; what asks for training mode is refused.
        operator_export_type: all but `ONNX` are refused.
        do_constant_folding: taken; False with a warning.
        custom_opsets: refused.
        export_modules_as_functions: refused.
        autograd_inlining: taken; False with a warning.

    Returns:
        The program, as PyTorch has it: `save`, `model_proto`, and a call that runs it.

    Raises:
        RnnbenchError: an argument asks for what cannot be, the module cannot be captured, or the
            file does not compute the same. `f` is then neither created nor touched.
    """
    _judge_options({name: value for name, value in locals().items() if name in _OPTIONS})
    _refuse_training(model, training)
    _refuse_destination(f)

    from rnnbench.capture.this_thread import exporting_alone
    from rnnbench.formats.onnx import check_opset
    from rnnbench.models.as_it_was import left_as_it_was
    from rnnbench.models.example.call import take_call
    from rnnbench.models.example.declare import warn_of_training

    check_opset(opset_version)
    args = args if isinstance(args, tuple | list) else (args,)
    if not kwargs and args and isinstance(args[-1], dict):  # as torch.onnx.export has it
        args, kwargs = args[:-1], args[-1]
    with ExitStack() as until_exported:
        until_exported.enter_context(exporting_alone())
        until_exported.enter_context(left_as_it_was(model))
        call = take_call(model, tuple(args), kwargs or {})
        if dynamo:
            warn_of_training(call, stacklevel=2)
        declared = _declared(call, input_names, output_names, dynamic_axes, dynamic_shapes)
        external = bool(dynamo and external_data)
        return _made(declared, f, opset_version, until_exported, external=external)


_OPTIONS = (*_IGNORED, *_REFUSED)


def _judge_options(given: Mapping[str, Any]) -> None:
    """Warns of what cannot matter, and refuses what would change the meaning."""
    for name, value in given.items():
        usual = _DEFAULTS.get(name)
        if value == usual or (usual is None and not value):
            continue
        if name == "operator_export_type" and getattr(value, "name", "") == "ONNX":
            continue
        if name in _REFUSED:
            raise RnnbenchError(f"{name}={value!r}: {_REFUSED[name]}")
        warnings.warn(f"{name}={value!r} changes nothing: {_IGNORED[name]}", stacklevel=3)


def _refuse_training(model: Any, training: Any) -> None:
    mode = str(getattr(training, "name", "EVAL"))
    if mode == "TRAINING" or (mode == "PRESERVE" and getattr(model, "training", False)):
        raise RnnbenchError(
            f"training={mode}: models are exported in evaluation mode; leave it out, and call "
            "model.eval() first"
        )


def _refuse_destination(f: Any) -> None:
    """Refuses what nothing could be written to, before anything is done."""
    if f is None:
        return
    if hasattr(f, "write"):
        text = isinstance(f, io.TextIOBase)
        if text or getattr(f, "closed", False) or not getattr(f, "writable", lambda: True)():
            what = "a text file" if text else "closed, or not open for writing"
            raise RnnbenchError(f"f is {what}: open it as open(path, 'wb'), or give the path")
        return
    if not isinstance(f, str | os.PathLike):
        raise RnnbenchError(
            f"f is a {type(f).__name__}: give a path, a binary file that is open for writing, or "
            "None and call .save(path) of what is returned"
        )
    path = Path(f)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in a folder that there is not"
        raise RnnbenchError(f"f={str(f)!r} {what}: give the path of a file, as model.onnx")


def _declared(
    call: Any,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
    dynamic_axes: Mapping[str, Any] | None,
    dynamic_shapes: Any,
) -> Declared:
    from rnnbench.models.example.axes import from_dynamic_axes
    from rnnbench.models.example.declare import declare, default_outputs
    from rnnbench.models.example.shapes import from_dynamic_shapes

    inputs = _names("input_names", input_names, call.names)
    outputs = _names("output_names", output_names, default_outputs(call, inputs))
    twice = sorted({n for n in (*inputs, *outputs) if (*inputs, *outputs).count(n) > 1})
    if twice:
        raise RnnbenchError(
            f"{twice[0]!r} is the name of two of the inputs ({', '.join(inputs)}) and outputs "
            f"({', '.join(outputs)}): give each a name of its own in input_names and output_names"
        )
    if dynamic_axes is not None and not isinstance(dynamic_axes, Mapping):
        raise RnnbenchError(
            f"dynamic_axes={dynamic_axes!r}: give a dict, as {{'x': {{0: 'batch', 1: 'time'}}}}"
        )
    if dynamic_shapes is None:
        axes, named = from_dynamic_axes(call, dynamic_axes or {}, inputs, outputs)
        return declare(call, axes, inputs, outputs, named)
    if dynamic_axes:
        warnings.warn("dynamic_axes changes nothing beside dynamic_shapes", stacklevel=3)
    return declare(call, from_dynamic_shapes(call, dynamic_shapes), inputs, outputs)


def _names(what: str, given: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    """The names that were given, and the usual ones for what has none."""
    names = [given] if isinstance(given, str) else list(given or ())
    if not all(isinstance(name, str) and name for name in names):
        raise RnnbenchError(f"{what}={given!r}: give a list of names, as ['x', 'h0']")
    if len(names) > len(default):
        warnings.warn(
            f"{what} has {len(names)} names for {len(default)} ({', '.join(default)}): "
            f"{', '.join(names[len(default) :])} names nothing",
            stacklevel=4,
        )
    return [*names[: len(default)], *default[len(names) :]]


def _made(
    declared: Declared,
    f: Any,
    opset: int | None,
    until_exported: ExitStack,
    *,
    external: bool,
) -> torch.onnx.ONNXProgram:
    """Makes the file in a folder of its own, proves it there, and moves it to its place."""
    from rnnbench.checking.proved import prove
    from rnnbench.exporting import export as export_bundle
    from rnnbench.models.example.call import called_flat

    # A link stays, and the file that it names is written, as PyTorch does.
    beside = None if f is None or hasattr(f, "write") else Path(f).resolve()
    with temporary_folder(beside.parent if beside else None, f"cannot write {f}") as folder:
        with called_flat(declared.call):
            bundle = export_bundle(declared.model, ("onnx",), folder / "proof", opset=opset)
        until_exported.close()  # other threads may export while this proves what is written
        prove(bundle, "onnx", declared)
        program = _program(declared, bundle)
        made = folder / "file" / (beside.name if beside else "model.onnx")
        made.parent.mkdir()
        program.save(made, external_data=external and beside is not None)
        _same(made, bundle)
        try:
            if beside is not None:
                # The weights first: the graph is what says that they are there.
                for file in sorted(made.parent.iterdir(), key=lambda path: path == made):
                    file.replace(beside.parent / file.name)
            elif f is not None:
                f.write(made.read_bytes())
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or one_line(error)
            raise RnnbenchError(f"cannot write {f} ({why}): give another path") from None
    return program


def _program(declared: Declared, bundle: Bundle) -> torch.onnx.ONNXProgram:
    """The proved file under the names that were asked for, as PyTorch's own object."""
    import onnx_ir as ir
    import torch

    from rnnbench.formats.onnx.ports import rename_ports

    model = ir.load(bundle.artifacts["onnx"].path)
    ir.external_data.load_to_model(model)
    own, ports = [spec.name for spec in bundle.inputs], declared.ports
    rename_ports(
        model,
        dict(zip(own, ports.inputs, strict=True)),
        dict(zip(bundle.outputs, ports.outputs, strict=True)),
        dict(zip(own, ports.shapes, strict=True)),
        ports.dims,
        {bundle.outputs[i]: axes for i, axes in ports.output_axes.items()},
    )
    return torch.onnx.ONNXProgram(model, None)


def _same(made: Path, bundle: Bundle) -> None:
    """Runs the file that is to be written beside the one that has been proved: each bit is equal.

    Raises:
        RnnbenchError: it is not.
    """
    import numpy as np

    from rnnbench.cases.stored import read_cases
    from rnnbench.runtimes.job import Job
    from rnnbench.runtimes.worker import Worker

    cases = [case for case in read_cases(bundle) if not case.empty][:2]
    names: list[str] = []
    found = []
    for file in (bundle.artifacts["onnx"].path, made):
        with Worker(Job("onnxruntime", "onnx", file)) as run:
            said = run.signature()
            ports = [port.name for port in said.inputs]
            names = names or ports
            for case in cases:
                given = dict(zip(ports, (case.inputs[name] for name in names), strict=True))
                outputs = run(given)
                found.append([outputs[port.name] for port in said.outputs])
    for proved, written in zip(found[: len(cases)], found[len(cases) :], strict=True):
        equal = (np.array_equal(a, b, equal_nan=True) for a, b in zip(proved, written, strict=True))
        if not all(equal):
            raise RnnbenchError(
                f"model {bundle.name!r}: the file with its names is not the one that was proved: "
                "nothing was written; please report it with the model"
            )

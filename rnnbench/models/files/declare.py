"""A file that somebody wrote as a Model: its inputs, states and sizes, as far as it says them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import DTYPES, Model, Role, TensorSpec
from rnnbench.core.signature import Shape
from rnnbench.inspection import readers
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.operators import rounding_operators
from rnnbench.inspection.program import Port
from rnnbench.inspection.recurrences import FoundRecurrence, find_recurrences
from rnnbench.models.files.inputs import KINDS, FileInputs
from rnnbench.models.files.integers import highest, is_length
from rnnbench.models.files.shapes import Sizes, sizes_of
from rnnbench.models.files.states import states_of

if TYPE_CHECKING:
    import torch

    from rnnbench.core.bundle import Bundle

_NUMBERS = {"int": "int64", "float": "float32", "bool": "bool", "": "float32"}


@dataclass(frozen=True)
class FileModel(Model):
    """A file in the place of a module.

    Attributes:
        path: the file.
        format: `onnx` or `torchscript`.
        recurrences: that were found in it.
        quantised: the operators in it that round what is computed to whole numbers.
    """

    path: Path = Path()
    format: str = ""
    recurrences: tuple[FoundRecurrence, ...] = ()
    quantised: tuple[str, ...] = ()

    def _may_be_called(self, name: str) -> bool:
        return bool(name)  # the file's own names are kept; `TensorSpec` refuses control characters


def model_of(
    path: str | Path,
    *,
    values: Mapping[str, float] | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    high: Mapping[str, int] | None = None,
    states: Mapping[str, str] | None = None,
    name: str = "",
) -> Model:
    """A file that somebody wrote as a Model, which `export` and what follows take as any other.

    What is right is then an evaluation of the file in float64.

    Args:
        path: ONNX or TorchScript.
        values: inputs that are one number, with it: `{"sr": 16000}`.
        shapes: input -> its sizes, where the file leaves them open or does not say: `{"x":
            ("batch", 512)}`; a number is fixed, a name is open.
        high: input of whole numbers -> their exclusive bound, where no table in the file says it.
        states: state input -> the output to feed back as it, where that cannot be told; an empty
            output says that the input is none.
        name: of the bundle; the file's own unless given.

    Raises:
        RnnbenchError: the file is neither, or damaged, or what to feed cannot be told.
    """
    sizes = {key: tuple(shape) for key, shape in (shapes or {}).items()}
    given = FileInputs(dict(values or {}), sizes, dict(high or {}), dict(states or {}), name)
    return declared(path, given)


def declared(path: str | Path, given: FileInputs | None = None) -> FileModel:
    """Declares a file: what it takes and gives, its states, and what may be fed.

    Args:
        path: an ONNX or TorchScript file.
        given: what the user says, where the file does not say enough.

    Raises:
        RnnbenchError: it is neither, or damaged, or what to feed cannot be told.
    """
    path, given = Path(path), given or FileInputs()
    program = readers.read(path)
    if program.format not in KINDS:
        raise RnnbenchError(
            f"{path} is {program.format}, and a file that stands for a module is ONNX or "
            "TorchScript: export the module that it was made of, or `check --against` another"
        )
    if program.format == "torchscript":  # which has no names for outputs, nor says types
        program.outputs = _numbered(program.outputs)
        program.inputs = tuple(
            replace(port, dtype="") if port.dtype == "Tensor" else port for port in program.inputs
        )
    flow = Flow(program)
    recurrences = find_recurrences(flow)
    known = [port.name for port in program.inputs]
    for what in ("values", "shapes", "high"):
        for name in getattr(given, what):
            if name not in known:
                raise choices(f"input of {path}", name, known)
    states = states_of(path, flow, recurrences, given.states)
    shapes = _with_numbers(program.inputs, given)
    sizes = sizes_of(path, flow, recurrences, shapes, states)
    inputs = tuple(_spec(path, p, flow, recurrences, sizes, states, given) for p in program.inputs)
    module = module_of(path, program.format)
    outputs = _outputs(module, program.format, program.outputs, inputs, sizes)
    missing = [name for name in states.values() if name not in outputs]
    if missing:
        raise choices("output for --state", missing[0], outputs)
    return FileModel(
        module,
        inputs,
        outputs,
        states=states,
        name=_name(given.name or path.stem),
        batch_dim=sizes.batch_dim,
        time_dim=_time_of(sizes, inputs, states),
        path=path,
        format=program.format,
        recurrences=recurrences,
        quantised=rounding_operators(program),
    )


def of_bundle(bundle: Bundle) -> FileModel:
    """The model of a bundle that was made of a file: that is in it, and no code.

    Raises:
        RnnbenchError: the file is not there, or damaged.
    """
    format = str(bundle.source.get("format"))
    if format not in KINDS or format not in bundle.artifacts:
        raise RnnbenchError(
            f"bundle {bundle.path} is damaged, it was made of {format!r}, which it does not hold: "
            "export the file again"
        )
    path = bundle.artifacts[format].path
    return FileModel(
        module_of(path, format),
        **bundle.declaration,
        path=path,
        format=format,
        quantised=bundle.quantised,
    )


def module_of(path: Path, format: str) -> torch.nn.Module:
    """What computes a file's outputs in PyTorch's types.

    Raises:
        RnnbenchError: the file is damaged.
    """
    import torch

    from rnnbench.core.errors import one_line
    from rnnbench.core.known_warnings import torchscript_deprecation

    if format == "onnx":
        from rnnbench.models.files.onnx_module import OnnxModule

        return OnnxModule(path)
    try:
        with torchscript_deprecation():
            module: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:  # torch raises several types
        raise RnnbenchError(
            f"{path} is not TorchScript that torch {torch.__version__} loads ({one_line(error)})"
        ) from None
    return module


def _numbered(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    names = ["output"] if len(ports) == 1 else [f"output_{i}" for i in range(len(ports))]
    return tuple(replace(port, name=n, dtype="") for port, n in zip(ports, names, strict=True))


def _with_numbers(ports: tuple[Port, ...], given: FileInputs) -> dict[str, Shape]:
    """The shapes that are given, and those of inputs that are one number."""
    numbers = {p.name: () for p in ports if p.dtype in ("int", "float", "bool")}
    single = {p.name: () for p in ports if p.name in given.values and p.shape is None}
    return numbers | single | dict(given.shapes)


def _spec(
    path: Path,
    port: Port,
    flow: Flow,
    recurrences: tuple[FoundRecurrence, ...],
    sizes: Sizes,
    states: Mapping[str, str],
    given: FileInputs,
) -> TensorSpec:
    """The declaration of one input."""
    name, shape = port.name, sizes.shapes[port.name]
    length = is_length(port, shape, flow, recurrences, sizes)
    whole = name in given.high or length
    dtype = _NUMBERS.get(port.dtype, port.dtype)
    dtype = "int64" if not port.dtype and whole else dtype
    if dtype not in DTYPES:
        raise RnnbenchError(
            f"{path}: input {name!r} is {dtype or 'of no type'}, and inputs can be "
            f"{', '.join(DTYPES)}"
        )
    value = given.values.get(name)
    if value is None and not shape and dtype != "bool":
        raise RnnbenchError(f"{path}: input {name!r} is a number: give it, --set {name}=VALUE")
    role: Role = "state" if name in states else "lengths" if length else "data"
    high = given.high.get(name)
    if dtype.startswith("int") and role == "data" and value is None and high is None:
        high = highest(flow, name)
        if high is None:
            raise RnnbenchError(
                f"{path}: input {name!r} is {dtype}, and which values it may have is not known: "
                f"give --high {name}=N (they are 0 to N - 1), or --set {name}=VALUE"
            )
    return TensorSpec(name, shape, dtype, role, high, value)


def _outputs(
    module: torch.nn.Module,
    format: str,
    ports: tuple[Port, ...],
    inputs: tuple[TensorSpec, ...],
    sizes: Sizes,
) -> tuple[str, ...]:
    """The names of the outputs; those of TorchScript are counted by a call."""
    if format == "onnx":
        return tuple(port.name for port in ports)
    import numpy as np
    import torch

    from rnnbench.core.errors import one_line
    from rnnbench.core.model import sample_inputs
    from rnnbench.models.calls import undisturbed
    from rnnbench.models.kept import tensors_in

    trial = Model(
        module, inputs, ("output",), batch_dim=sizes.batch_dim, time_dim=sizes.time_dim, name="file"
    )
    arrays = sample_inputs(trial, dict.fromkeys(trial.dims, 32), 0)
    try:
        with undisturbed(module), torch.no_grad():
            first, returned = (
                tensors_in(module(*(torch.from_numpy(np.array(a)) for a in arrays.values())))
                for _ in range(2)
            )
    except Exception as error:  # somebody's program
        raise RnnbenchError(
            f"the file fails on inputs of these shapes ({one_line(error)}): correct --shape, --set "
            "or --high"
        ) from None
    pairs = zip(first, returned, strict=True)
    if not all(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in pairs):
        raise RnnbenchError(
            "the file gives something else the second time: it keeps a state from call to call "
            "inside, or draws random numbers, so that no answer is right by itself; compare it "
            "with another, `rnnbench check FILE --against OTHER`, or export the module's code"
        )
    count = len(returned)
    return ("output",) if count == 1 else tuple(f"output_{i}" for i in range(count))


def _time_of(sizes: Sizes, inputs: tuple[TensorSpec, ...], states: Mapping[str, str]) -> str:
    """The name of the time; of a file with states that does not say, the first that they lack."""
    names = list(dict.fromkeys(name for spec in inputs for name in spec.dims))
    if sizes.time_dim in names or not states:
        return sizes.time_dim
    kept = {name for spec in inputs if spec.name in states for name in spec.dims}
    others = [name for name in names if name not in (*kept, sizes.batch_dim)]
    return others[0] if others else sizes.time_dim


def _name(text: str) -> str:
    """A name that a folder may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-") or "file"

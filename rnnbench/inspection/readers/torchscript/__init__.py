"""A TorchScript archive, read as text: `torch.jit.load` is never called.

Its code is a small part of Python, which `ast` parses; its weights' sizes are in pickles, which
are described, not unpickled. Of their numbers NaN is looked for, and a few whole ones are kept.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise
from rnnbench.inspection.program import Body, Port, Program, Ref, Tensor, walk
from rnnbench.inspection.readers._archives import Archive, entries
from rnnbench.inspection.readers.torchscript.code import CONSTANTS, Library, Object
from rnnbench.inspection.readers.torchscript.interpret import interpret
from rnnbench.inspection.readers.torchscript.pickles import Call, Persistent, describe

_DTYPES = {
    **{"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16"},
    **{"Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8"},
    **{"Bool": "bool", "QInt8": "int8", "QUInt8": "uint8", "QInt32": "int32"},
}


def recognises(path: Path) -> bool:
    """An archive with code in it, or one of PyTorch's checkpoints, which `read` then refuses."""
    names = entries(path)
    return "data.pkl" in names and not any(n.startswith("models/") for n in names)


def read(path: Path) -> Program:
    """Reads `forward`, with everything that it calls written out.

    Raises:
        RnnbenchError: the archive is damaged, or a checkpoint without code.
    """
    archive = Archive(path)
    code = [n for n in archive.names if n.startswith("code/") and n.endswith(".py")]
    if not code:
        raise RnnbenchError(
            str(recognise(path) or "")
            or f"{path} holds weights and no code (torch.save of a module or its state_dict): "
            "give a file that torch.jit.save, torch.export.save or torch.onnx.export wrote"
        )
    try:
        return _read(path, archive, code)
    except RnnbenchError as error:
        message = str(error)
        raise error if str(path) in message else RnnbenchError(f"{path}: {message}") from None


def _read(path: Path, archive: Archive, code: list[str]) -> Program:
    program = Program(path, "torchscript", Body([]), size=path.stat().st_size)
    program.producer = _producer(archive)
    library = Library({_module(n): archive.text(n) for n in code})
    root = describe(archive.read("data.pkl"))
    if not isinstance(root, Call) or not root.function.startswith("__torch__"):
        raise RnnbenchError("data.pkl holds no module: it is damaged")
    tree = _object(_Weights(program, archive, "data"), root, "")
    if "constants.pkl" in archive.names:
        constants = describe(archive.read("constants.pkl"))
        weights = _Weights(program, archive, "constants")
        for i, value in enumerate(constants if isinstance(constants, list | tuple) else ()):
            _value(weights, value, f"{CONSTANTS}.c{i}")
    assert isinstance(tree, Object)
    program.graph, inputs = interpret(library, tree, program)
    program.inputs = tuple(Port(name, kind) for name, kind in inputs)
    program.outputs = tuple(Port(str(value)) for value in program.graph.outputs)
    program.nodes = sum(1 for _ in walk(program.graph))
    return program


def _producer(archive: Archive) -> str:
    """TorchScript does not say which torch wrote it; rnnbench's own files say more."""
    version = archive.text("version", "").strip() or archive.text(".data/version", "").strip()
    kind = f"TorchScript {version}".strip()
    with suppress(ValueError, AttributeError):
        said = json.loads(archive.text("extra/rnnbench", "{}"))
        if said.get("version"):
            return f"rnnbench {said['version']} ({kind})"
    return kind


def _module(name: str) -> str:
    return name.removeprefix("code/").removesuffix(".py").replace("/", ".")


@dataclass
class _Weights:
    """Where the tensors of one pickle are put, and where their bytes are.

    Attributes:
        program: gets them as constants.
        archive: has an entry for each storage.
        folder: of those entries.
        seen: what a call of the pickle has become, by its id.
    """

    program: Program
    archive: Archive
    folder: str
    seen: dict[int, Any] = field(default_factory=dict)


def _object(weights: _Weights, call: Call, path: str) -> Any:
    """A module: its class, and its attributes by name."""
    if id(call) in weights.seen:
        return weights.seen[id(call)]
    made = Object(call.function, path)
    weights.seen[id(call)] = made
    state = call.state if isinstance(call.state, dict) else {}
    for name, value in state.items():
        made.attributes[str(name)] = _value(weights, value, f"{path}{name}")
    return made


def _value(weights: _Weights, value: Any, path: str) -> Any:
    """An attribute: a tensor becomes a named constant, a module an `Object`."""
    if isinstance(value, Call):
        return _called(weights, value, path)
    if isinstance(value, list | tuple):
        return [_value(weights, v, f"{path}.{i}") for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {k: _value(weights, v, f"{path}.{k}") for k, v in value.items()}
    return value


def _called(weights: _Weights, call: Call, path: str) -> Any:
    """What a pickle calls something for: a tensor, a typed list, a module; None: for the rest."""
    if call.function.startswith("torch._utils._rebuild"):
        if id(call) not in weights.seen:
            weights.program.constants[path] = _tensor(weights, call)
            weights.seen[id(call)] = Ref(path)
        return weights.seen[id(call)]
    if call.function.startswith("torch.jit._pickle") and call.args:
        return _value(weights, call.args[0], path)
    if call.function.startswith("__torch__"):
        return _object(weights, call, f"{path}.")
    return None


def _tensor(weights: _Weights, call: Call) -> Tensor:
    """`_rebuild_tensor_v2(storage, offset, size, stride, ...)`."""
    nested = call.args[0] if call.args else None
    if isinstance(nested, Call):  # _rebuild_parameter(tensor, ...)
        return _tensor(weights, nested)
    key = nested.key if isinstance(nested, Persistent) else ()
    storage = next((k.name for k in key if hasattr(k, "name")), "")
    kind = storage.rpartition(".")[2].removesuffix("Storage")
    size = call.args[2] if len(call.args) > 2 else ()
    shape = tuple(n for n in size if isinstance(n, int)) if isinstance(size, tuple) else ()
    dtype = _DTYPES.get(kind, kind.lower())
    entry = f"{weights.folder}/{key[2]}" if isinstance(key, tuple) and len(key) > 2 else ""
    offset = call.args[1] if len(call.args) > 1 and isinstance(call.args[1], int) else 0
    stride = call.args[3] if len(call.args) > 3 else ()
    plain = not shape or (len(shape) == 1 and stride == (1,))
    count = math.prod(shape) if plain else 0
    values = weights.archive.whole_numbers(entry, dtype, offset, count)
    return Tensor(dtype, shape, values, nans=weights.archive.nans(entry, dtype))

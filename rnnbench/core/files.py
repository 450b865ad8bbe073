"""What a file is, by its content, and what can be done with it: for messages; nothing is run.

A wrong file that is given to a verb is told what it is, and which verb takes it.
"""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rnnbench.core.protobufs import onnx_state

Kind = Literal[
    "checkpoint",  # of `rnnbench train`
    "damaged",
    "json",
    "module",
    "onnx",
    "openvino-ir",
    "other",
    "pt2",
    "python",
    "safetensors",
    "torchscript",
    "weights",
]

_OWN = "rnnbench-checkpoint-"  # see models/training/checkpoint.py
_LIMIT = 2**22  # bytes of a pickle or of JSON that are looked into
_PLAIN = {"torch", "torch._utils", "torch._tensor", "torch.storage", "torch.serialization"}
_PLAIN |= {"collections", "numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs"}
_BY_TORCH = {name for name in _PLAIN if name.split(".")[0] in ("torch", "numpy")}
_OLD_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # of torch.save before its archives
_COPY = "copy it again"
_BUILT_IN = {"set", "frozenset", "bytearray", "complex", "slice", "range", "Namespace"}
_FIRST_OF_ONNX = b"\x08"  # its version, a number
_ELSEWHERE = {
    ".h5": "a Keras or HDF5 file",
    ".keras": "a Keras model",
    ".mlmodel": "a Core ML model",
    ".npz": "a file of arrays",
    ".pb": "a TensorFlow graph",
    ".tflite": "a LiteRT model",
}


@dataclass(frozen=True)
class GivenFile:
    """What was found.

    Attributes:
        path: of the file.
        kind: what it is.
        what: the same in words: `a checkpoint (weights and no code)`.
        step: what to do with it.
    """

    path: Path
    kind: Kind
    what: str
    step: str

    def __str__(self) -> str:
        return f"{self.path} is {self.what}: {self.step}"


def recognise(path: str | Path) -> GivenFile | None:
    """What a file is; None where there is no such file, or it is of no kind that is known.

    Args:
        path: any file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError):
        return None
    if not head:
        return GivenFile(path, "damaged", "empty", _COPY)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head.startswith(b"\x80") and path.suffix != ".onnx":
        with path.open("rb") as file:
            return _pickled(path, file.read(_LIMIT), archived=_OLD_MAGIC in head)
    if head.lstrip().startswith(b"{"):
        return _json(path)
    return _by_name(path, head)


def _by_name(path: Path, head: bytes) -> GivenFile | None:
    """Files whose first bytes say little."""
    if path.suffix == ".py":
        step = f"`rnnbench export {path}` exports the model that its function build returns"
        return GivenFile(path, "python", "Python code", step)
    if path.suffix == ".safetensors" or head[8:10] == b'{"':
        return GivenFile(path, "safetensors", "weights without code (safetensors)", _draft(path))
    if path.suffix == ".onnx" or head[:1] == _FIRST_OF_ONNX:
        return _as_onnx(path)
    if path.suffix == ".xml" or _is_openvino(head):
        step = (
            f"`rnnbench check OTHER --against {path}` compares it with another file, the ONNX or "
            "TorchScript that it was converted from, say; give that to the other verbs"
        )
        return GivenFile(path, "openvino-ir", "an OpenVINO model (IR)", step)
    if path.suffix in _ELSEWHERE:
        step = "give a module's code to `export`, or .onnx, TorchScript or .pt2 to `inspect`"
        return GivenFile(path, "other", _ELSEWHERE[path.suffix], step)
    return None


def _is_openvino(head: bytes) -> bool:
    """Whether XML begins as OpenVINO's does: `<net name=... version="11">`."""
    return head.lstrip().startswith((b"<net ", b'<?xml version="1.0"?>')) and b"<net " in head


def _as_onnx(path: Path) -> GivenFile | None:
    """A file that begins as ONNX does, or is called so."""
    state = onnx_state(path)
    if state == "whole":
        return _exported(path, "onnx", "an ONNX file")
    if state == "truncated":
        return GivenFile(path, "damaged", "a truncated ONNX file", _COPY)
    if path.suffix != ".onnx":
        return None
    said = "no ONNX file, whatever its name says"
    return GivenFile(path, "damaged", said, f"{_COPY}, or give .onnx, TorchScript or .pt2")


def _archive(path: Path) -> GivenFile | None:
    """PyTorch's archives: which of them, the names in it say."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.split("/", 1)[-1] for name in archive.namelist()]
            data = next((n for n in archive.namelist() if n.split("/", 1)[-1] == "data.pkl"), "")
            if any(name.startswith("models/") for name in names):
                return _exported(path, "pt2", "a program of torch.export (.pt2)")
            if any(name.startswith("code/") for name in names):
                return _exported(path, "torchscript", "a TorchScript file (torch.jit.save)")
            if not data:
                return _by_name(path, b"")
            with archive.open(data) as file:
                return _pickled(path, file.read(_LIMIT), archived=True)
    except zipfile.BadZipFile:  # an archive's index is at its end
        what = "a truncated archive (TorchScript, .pt2 and checkpoints are archives)"
        return GivenFile(path, "damaged", what, _COPY)
    except (OSError, ValueError, RuntimeError, NotImplementedError):
        return None


def _pickled(path: Path, data: bytes, *, archived: bool) -> GivenFile:
    """What torch.save wrote, by the names in its pickle, which is read and not run.

    Args:
        path: of the file.
        data: the pickle.
        archived: whether torch.save wrote it; others write pickles too.
    """
    names: list[tuple[str, ...]] = []
    words: list[str] = []
    for name, value in _operations(data):
        if name in ("GLOBAL", "INST"):
            names.append(tuple(str(value).split(" ", 1)))
        elif name == "STACK_GLOBAL":
            names.append(tuple(words[-2:]))  # nearly always: the two may come from its memo
        elif isinstance(value, str):
            words.append(value)
    if any(word.startswith(_OWN) for word in words):
        step = f"`rnnbench export {path}` exports the model that it is of"
        return GivenFile(path, "checkpoint", "a checkpoint of `rnnbench train`", step)
    classes = [n for n in names if len(n) == 2 and n[0] not in _PLAIN and n[1] not in _BUILT_IN]
    if classes:
        module, name = classes[0]
        said = f"a pickled object of {module}.{name} (torch.save of a whole module)"
        step = (
            f"`rnnbench init my_model.py --from {module}:{name} --weights FILE.pt` drafts a "
            "declaration; FILE.pt is what torch.save(module.state_dict(), 'FILE.pt') writes"
        )
        return GivenFile(path, "module", said, step)
    if not archived and not any({*name[:1]} & _BY_TORCH for name in names):
        step = "give a file that torch.save, torch.jit.save or torch.export.save wrote"
        return GivenFile(path, "other", "a pickle without a tensor", step)
    return GivenFile(path, "weights", "a checkpoint (weights and no code)", _draft(path))


def _operations(data: bytes) -> Iterator[tuple[str, object]]:
    """The operations of a pickle, up to where it is damaged."""
    try:
        for code, value, _ in pickletools.genops(data):
            yield code.name, value
    except Exception:  # pickletools raises whatever the bytes make it raise
        return


def _json(path: Path) -> GivenFile | None:
    try:
        found = json.loads(path.read_text("utf-8")) if path.stat().st_size < _LIMIT else {}
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(found, dict) and "benchmarks" in found:
        step = f"`rnnbench report {path}` says what was fastest"
        return GivenFile(path, "json", "a results file of `rnnbench bench`", step)
    if isinstance(found, dict) and path.name == "manifest.json":
        step = f"give its folder, {path.parent}"
        return GivenFile(path, "json", "the manifest of a bundle", step)
    return None


def _exported(path: Path, kind: Kind, what: str) -> GivenFile:
    if kind == "pt2":
        step = (
            f"`rnnbench inspect {path}` says what is in it, `rnnbench check {path} --against "
            "OTHER` compares two; a bundle is what `rnnbench export` makes of the module's code"
        )
    else:
        step = (
            f"`rnnbench inspect {path}` says what is in it, `rnnbench export {path}` makes a "
            "bundle of it"
        )
    return GivenFile(path, kind, what, step)


def _draft(path: Path) -> str:
    return (
        f"`rnnbench init my_model.py --from package.module:Class --weights {path}` drafts a "
        "declaration that loads it, `rnnbench export my_model.py` exports that"
    )

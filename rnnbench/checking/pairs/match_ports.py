"""Two files that rnnbench did not write: which inputs and outputs of one are which of the other.

Names come first, then the position among those of the same kind.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnbench import runtimes
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise
from rnnbench.core.model import Arrays
from rnnbench.core.ports import compatible, is_number
from rnnbench.core.signature import Port, Signature
from rnnbench.runtimes.worker import Job


@dataclass(frozen=True)
class Side:
    """One of the two files.

    Attributes:
        path: the file.
        job: how it is run.
        signature: what it declares.
        states: state input -> the output to feed back as it.
    """

    path: Path
    job: Job
    signature: Signature
    states: dict[str, str]

    @property
    def data(self) -> tuple[Port, ...]:
        """The inputs that are no states."""
        return tuple(port for port in self.signature.inputs if port.name not in self.states)


def job_of(path: Path) -> Job:
    """How a file is run, told by what it holds; nothing of it is loaded here.

    Raises:
        RnnbenchError: it is missing, or of none of the formats.
    """
    if not path.is_file():
        raise RnnbenchError(
            f"{path} is not a file: give .onnx, TorchScript (.ts, .pt), .pt2 or OpenVINO's .xml"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any("data/aotinductor/" in n for n in names):
            raise RnnbenchError(
                f"{path} is an AOTInductor package, which does not say what it takes: check it in "
                "its bundle, or give the .pt2 file that it was compiled from"
            )
        if any(n.endswith(("archive_format", "serialized_exported_program.json")) for n in names):
            return Job("pt2", "pt2", path, None)
        if any("/code/" in n for n in names):
            return Job("torchscript", "torchscript", path, None)
    given = recognise(path)
    if given is not None and given.kind == "onnx":
        return Job("onnxruntime", "onnx", path, None)
    own = given and next((n for n, r in runtimes.every().items() if r.reads == given.kind), None)
    if own:
        return Job(own, "onnx", path, None)
    if given is not None and given.kind not in ("torchscript", "pt2"):
        raise RnnbenchError(str(given))
    raise RnnbenchError(
        f"{path} is no .onnx, TorchScript or .pt2 file, or is damaged: give one of these"
    )


def match_inputs(a: Side, b: Side) -> dict[str, str]:
    """Input of `a` -> input of `b`; a state that only one file has is left out.

    Raises:
        RnnbenchError: an input that is no state has no counterpart.
    """
    pairs: dict[str, str] = {}
    for left, right in ((a.data, b.data), (_states(a), _states(b))):
        names = {port.name for port in right}
        pairs |= {port.name: port.name for port in left if port.name in names}
        ours = [p for p in left if p.name not in pairs]
        theirs = [p for p in right if p.name not in pairs.values()]
        for number in (True, False):
            rest = [p for p in theirs if is_number(p) == number]
            for port in [p for p in ours if is_number(p) == number]:
                other = next((p for p in rest if compatible(port.shape, p.shape)), None)
                if other is not None:
                    pairs[port.name] = other.name
                    rest.remove(other)
    lost = [p for p in a.data if p.name not in pairs and not is_number(p)]
    lost += [p for p in b.data if p.name not in pairs.values() and not is_number(p)]
    if lost:
        asked = ", ".join(p.name for p in a.signature.inputs)
        asked += f" and {', '.join(p.name for p in b.signature.inputs)}"
        raise RnnbenchError(
            f"input {lost[0].name!r} has no counterpart in the other file (they ask for {asked}): "
            "these two cannot be compared"
        )
    return pairs


def match_outputs(
    a: Side, b: Side, inputs: Mapping[str, str], x: Arrays, y: Arrays
) -> list[tuple[str, str]]:
    """Which outputs are compared, given what each file returned for the same inputs."""
    pairs = [(name, name) for name in x if name in y]
    for mine, other in inputs.items():
        if mine in a.states and other in b.states:
            pairs.append((a.states[mine], b.states[other]))
    pairs = list(dict.fromkeys(pairs))
    kept = {*a.states.values()}, {*b.states.values()}
    ours = [n for n in x if n not in {p for p, _ in pairs} | kept[0]]
    theirs = [n for n in y if n not in {q for _, q in pairs} | kept[1]]
    for name in ours:
        alike = [n for n in theirs if y[n].shape == x[name].shape]
        for other in (alike or theirs)[:1]:
            pairs.append((name, other))
            theirs.remove(other)
    return pairs


def _states(side: Side) -> tuple[Port, ...]:
    return tuple(port for port in side.signature.inputs if port.name in side.states)


def same_bits(a: Arrays, b: Arrays) -> bool:
    """Whether two calls returned the same."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[n], b[n], equal_nan=a[n].dtype.kind == "f") for n in a
    )

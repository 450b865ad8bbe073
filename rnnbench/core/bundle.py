"""The folder that travels between the stages: artifacts, weights, cases and manifest.json."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from rnnbench.core.dims import Dim
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.files import recognise
from rnnbench.core.inside import leads_outside, links_outside
from rnnbench.core.manifest import what_is_wrong
from rnnbench.core.model import TensorSpec
from rnnbench.core.whole import recover

SCHEMA = 1  # of the manifest: grows when a reader of the one before could not read it rightly
PRODUCER = "rnnbench"
MANIFEST = "manifest.json"
CASES = "cases.npz"
WEIGHTS = "weights.pt"
OF_FILE = "artifact"  # the kind of a source: one of the artifacts stands for the module


@dataclass(frozen=True)
class Artifact:
    """One exported file of a bundle.

    Attributes:
        format: the plugin in `rnnbench/formats/` that wrote it.
        path: the file.
        details: what the manifest says of it (bytes, sha256, recurrences ...).
    """

    format: str
    path: Path
    details: dict[str, Any]

    @property
    def beside(self) -> tuple[str, ...]:
        """The files in the folder that hold its weights; none where it has them itself."""
        return _names(self.details.get("external_data"))

    @property
    def bytes(self) -> int:
        """With the files that hold its weights; of C, whose text says little, the constants."""
        known = self.details.get("weight_bytes")
        if known is not None:
            return int(known)
        files = (self.path, *(self.path.with_name(name) for name in self.beside))
        return sum(file.stat().st_size for file in files)

    @property
    def rounds(self) -> bool:
        """Whether it rounds values to whole numbers, by which it multiplies its weights."""
        return bool(self.details.get("whole"))

    @property
    def replaced(self) -> bool:
        """Whether the file is another than the manifest describes."""
        return self.details.get("sha256") not in (None, describe_file(self.path)["sha256"])


@dataclass(frozen=True)
class Bundle:
    """What `export` wrote, and all that the later stages read.

    Attributes:
        path: the folder.
        manifest: the content of its manifest.json.
        trust_code: whether the Python code that it names, and machine code in it, may run though
            this user did not export it on this machine (see `trust.py`).
    """

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    trust_code: bool = False

    @property
    def rounds(self) -> bool:
        """Whether a file of it rounds values, so that its cases hold what that gives itself."""
        return any(artifact.rounds for artifact in self.artifacts.values())

    @classmethod
    def open(cls, path: str | Path, *, trust_code: bool = False) -> Bundle:
        """Reads a bundle's manifest and makes sure that its files are there.

        A bundle may come from anywhere, so nothing in it may lead outside its folder.

        Args:
            path: the folder.
            trust_code: run code that the bundle names or holds, whoever exported it.

        Raises:
            RnnbenchError: the folder is no bundle, or is damaged, incomplete or of another schema.
        """
        path = Path(path)
        recover(path)
        bundle = cls(path, _read_manifest(path), trust_code)
        if not _is_name(bundle.name):
            raise _damaged(path, f"{bundle.name!r} is no name of a folder")
        _ = bundle.inputs, bundle.artifacts, bundle.dims  # either raises where it is wrong
        for file in (CASES, WEIGHTS):
            if os.path.lexists(path / file):
                _look_inside(path, file, file)
        return bundle

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["name"])

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The exported files by format."""
        return {
            name: Artifact(name, _files_of(self.path, name, details), dict(details))
            for name, details in self.manifest["artifacts"].items()
        }

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The declaration of each input, in order."""
        try:
            return tuple(TensorSpec(**spec) for spec in self.manifest["inputs"])
        except (TypeError, ValueError, AttributeError, RnnbenchError) as error:
            raise _damaged(self.path, f"an input is declared wrong ({one_line(error)})") from None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(map(str, self.manifest["outputs"]))

    @property
    def states(self) -> dict[str, str]:
        """Input name -> the output to feed back as it."""
        return dict(self.manifest["states"])

    @property
    def traced(self) -> dict[str, int]:
        """The sizes of the dynamic dimensions at which the model was captured."""
        return dict(self.manifest["traced"])

    @property
    def dims(self) -> dict[str, Dim]:
        """The dynamic dimensions, and the sizes that they may have."""
        said = self.manifest.get("dims") or {}
        try:
            names = dict.fromkeys(name for spec in self.inputs for name in spec.dims)
            return {name: Dim(**said.get(name, {})) for name in names}
        except (TypeError, AttributeError, RnnbenchError) as error:
            raise _damaged(
                self.path, f"a dimension is declared wrong ({one_line(error)})"
            ) from None

    @property
    def batch_dim(self) -> str:
        """The name of the batch dimension."""
        return str(self.manifest.get("batch_dim", "batch"))

    @property
    def time_dim(self) -> str:
        """The name of the time dimension."""
        return str(self.manifest.get("time_dim", "time"))

    @property
    def frames_per_second(self) -> float | None:
        """How many steps a second of real time has; None where the model does not say."""
        rate = self.manifest.get("frames_per_second")
        return float(rate) if isinstance(rate, int | float) else None

    @property
    def declaration(self) -> dict[str, Any]:
        """What a `Model` of it is declared with, besides its module."""
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "states": self.states,
            "name": self.name,
            "batch_dim": self.batch_dim,
            "time_dim": self.time_dim,
            "dims": self.dims,
            "frames_per_second": self.frames_per_second,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What the model's maker says of it: task, variant, alphabet, metrics ..."""
        return dict(self.manifest.get("metadata") or {})

    @property
    def source(self) -> dict[str, Any]:
        """Where the module's Python code comes from; empty where nobody said."""
        return dict(self.manifest.get("source") or {})

    @property
    def of_file(self) -> bool:
        """Whether it was made of a file that somebody wrote, which stands for the module."""
        return self.source.get("kind") == OF_FILE

    @property
    def quantised(self) -> tuple[str, ...]:
        """The operators of the file that it was made of that round to whole numbers."""
        return tuple(map(str, self.manifest.get("quantised") or ()))


def describe_spec(spec: TensorSpec) -> dict[str, Any]:
    """An input as the manifest holds it."""
    said = asdict(spec)
    if spec.value is None:  # which an older reader does not know
        del said["value"]
    return said


def describe_file(path: Path) -> dict[str, Any]:
    """A file of a bundle as the manifest holds it: its name, its bytes and their sha256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes manifest.json; `schema` and `producer` are added.

    Raises:
        RnnbenchError: something in it is not JSON.
    """
    full = {"schema": SCHEMA, "producer": PRODUCER, **manifest}
    try:
        text = json.dumps(full, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RnnbenchError(
            f"the metadata of {manifest.get('name')!r} cannot be written as JSON "
            f"({one_line(error)}): use strings, finite numbers, lists and dicts"
        ) from None
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def is_bundle(path: Path) -> bool:
    """Whether the folder holds a manifest that rnnbench wrote, of whatever schema."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("producer") == PRODUCER


def did_you_mean(given: str | Path) -> str:
    """The bundle of that name where `export` puts them, for the end of an error; empty if none."""
    there = Path("exports") / given
    return f" (did you mean {there}?)" if is_bundle(there) else ""


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        given = recognise(path)
        if given is not None:
            raise RnnbenchError(str(given))
        what = "has no manifest.json" if path.is_dir() else "is not a folder"
        raise RnnbenchError(
            f"{path} {what}: give a folder that `rnnbench export` wrote{did_you_mean(path)}"
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"manifest.json cannot be read ({one_line(error)})") from None
    if not isinstance(manifest, dict) or manifest.get("producer") != PRODUCER:
        raise RnnbenchError(f"{file} was not written by rnnbench: give a folder that it exported")
    schema = manifest.get("schema", 1)  # one that does not say was written before it was said
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise RnnbenchError(
            f"{path} has schema {schema!r}, and this rnnbench reads {SCHEMA}: "
            "export the model again, or use the rnnbench that wrote it"
        )
    wrong = what_is_wrong(manifest)
    if wrong:
        raise _damaged(path, f"manifest.json: {wrong}")
    return manifest


def _is_name(name: str) -> bool:
    """Whether it stays in the folder in which it is used as a name, on any system."""
    whole = {PurePosixPath(name).name, PureWindowsPath(name).name} == {name}
    return bool(name) and whole and not name.startswith(".") and "\0" not in name


def _files_of(folder: Path, name: str, details: Any) -> Path:
    """The path of an artifact; refused where one of its files is outside or is not there."""
    file = details.get("file") if isinstance(details, dict) else None
    if not isinstance(file, str) or not file:
        raise _damaged(folder, f"artifact {name!r} names no file")
    for named in (file, *_names(details.get("external_data"))):
        _look_inside(folder, named, f"artifact {name!r}")
    return folder / file


def _names(given: Any) -> tuple[str, ...]:
    """One name, several, or none."""
    names = given if isinstance(given, list) else [given]
    return tuple(str(name) for name in names if name)


def _look_inside(folder: Path, file: str, who: str) -> None:
    """Refuses a file that is outside of the bundle, by its name or by a link, or not there."""
    if leads_outside(file):
        raise RnnbenchError(f"{folder}: {who} names {file!r}, outside of the bundle")
    if links_outside(folder, file):
        raise RnnbenchError(f"{folder}: {who} links to {file!r}, outside of the bundle")
    if not (folder / file).is_file():
        raise _damaged(folder, f"{file} is missing")


def _damaged(path: Path, why: str) -> RnnbenchError:
    return RnnbenchError(f"bundle {path} is damaged, {why}: export the model again")

"""Which opset and IR version a release of a runtime loads: `--for onnxruntime==1.17`.

The records stand in the runtime's adapter (`RUNTIME.releases`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    import onnx_ir as ir

_MARK = "=="
_NODE_METADATA = 10
"""The first IR version in which nodes have metadata."""


@dataclass(frozen=True)
class Release:
    """What one release of a runtime loads.

    Attributes:
        version: without the last number: releases that differ in that load the same.
        opset: the latest of ONNX.
        ir_version: the latest of ONNX.
        tried: the release that was given files of rising versions, and loaded up to these.
    """

    version: str
    opset: int
    ir_version: int
    tried: str


_PARTS = 3  # of a version: 1.17.3


def releases() -> dict[str, tuple[Release, ...]]:
    """Runtime -> its releases, the oldest first; of the runtimes that have such records."""
    every = {name: plugins.load("runtimes", name).RUNTIME for name in plugins.names("runtimes")}
    return {name: runtime.releases for name, runtime in every.items() if runtime.releases}


def release_of(profile: str) -> Release | None:
    """The release that a profile names: `onnxruntime==1.17` or `onnxruntime==1.17.3`.

    Returns:
        None where the profile is no runtime whose releases are known.

    Raises:
        RnnbenchError: it names none, or one that is not known.
    """
    name, mark, version = (part.strip() for part in profile.partition(_MARK))
    known = releases()
    loose = re.match(r"(\w+)\s*([<>=~!]+)", profile)
    if loose and loose[1] in known and loose[2] != _MARK:
        raise RnnbenchError(
            f"{profile}: one version is written for: give {loose[1]}{_MARK}VERSION, as "
            f"{loose[1]}{_MARK}{known[loose[1]][0].version}"
        )
    if name not in known:
        if mark:
            having = ", ".join(f"{other}{_MARK}VERSION" for other in known)
            raise RnnbenchError(
                f"{profile}: the versions of {name} are not told apart: give {having}, or a name"
            )
        return None
    possible = {release.version: release for release in known[name]}
    found = possible.get(".".join(version.split(".")[:2]))
    parts = version.split(".")
    if found is None or len(parts) > _PARTS or not all(part.isdecimal() for part in parts):
        what = f"unknown version of {name} {version!r}" if mark else f"{name} without a version"
        raise RnnbenchError(
            f"{what}: choose from {', '.join(possible)}, as {name}{_MARK}{next(iter(possible))}"
        )
    return found


def check_release(profile: str, opset: int) -> None:
    """Stops where a release does not load an opset.

    Raises:
        RnnbenchError: it does not, or it is not known.
    """
    release = release_of(profile)
    if release is not None and opset > release.opset:
        raise RnnbenchError(
            f"opset {opset}: {profile} loads {release.opset} at most: "
            f"leave --opset out, or give {release.opset}"
        )


def fit_release(model: ir.Model, profile: str) -> None:
    """Gives a file the IR version that a release loads.

        IR 10, nodes with metadata  ->  IR 9, without: nodes have none before IR 10

    Raises:
        RnnbenchError: the file needs a later opset.
    """
    from rnnbench.formats.onnx.editing import all_nodes

    release = release_of(profile)
    if release is None:
        return
    check_release(profile, model.opset_imports[""])
    model.ir_version = min(model.ir_version, release.ir_version)
    if model.ir_version < _NODE_METADATA:
        for node in all_nodes(model):
            node.metadata_props.clear()

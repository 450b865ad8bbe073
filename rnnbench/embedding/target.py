"""What a target of `embed` is: a folder of templates with a `target.toml`."""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices

TARGETS = Path(__file__).parent / "targets"
TARGET, TEMPLATE = "target.toml", ".in"


@dataclass(frozen=True)
class Target:
    """One language and runtime.

    Attributes:
        name: its folder's, or its entry point's.
        folder: where its templates are.
        title: in words.
        format: of the artifact that it runs.
        needs: in words, what whoever builds it has to install.
        tools: programs that must be on the path.
        modules: Python packages that must be installed here.
        files: of which one must be there; environment variables are replaced.
        build: the commands that build it, in its folder.
        run: the command that runs it; `--verify RESULT.json` follows.
        header: whether it wants `ports.h`.
        shared: files of `common/` that it wants as well.
        keep: what a build makes that the next one may use, of whatever model.
        not_run: why it is never run here; empty where it can be.
        engine: of an ONNX file, the runtime that runs it, where it has a form of its own: a bundle
            that was exported `--for` it has that.
    """

    name: str
    folder: Path
    title: str
    format: str
    needs: str
    run: tuple[str, ...]
    build: tuple[tuple[str, ...], ...] = ()
    tools: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    header: bool = False
    shared: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    not_run: str = ""
    engine: str = ""

    def format_in(self, bundle: Bundle) -> str:
        """The format of the artifact of a bundle that it runs, whether that is there or not."""
        portable = bundle.artifacts.get("portable")
        said = portable.details if portable is not None else {}
        for_it = self.engine and said.get("profile") == self.engine and not said.get("pinned")
        return "portable" if for_it else self.format

    def missing(self) -> str:
        """Why it cannot be built and run on this machine; empty where it can."""
        if self.not_run:
            return f"not run here: {self.not_run}"
        tools = [tool for tool in self.tools if not shutil.which(tool)]
        if tools:
            return f"{tools[0]} is not on the path: install {self.needs}"
        if self.files and not any(Path(os.path.expandvars(file)).is_file() for file in self.files):
            return f"there is no {self.files[0]}: install {self.needs}"
        modules = [module for module in self.modules if not find_spec(module)]
        return f"{modules[0]} is not installed: pip install {modules[0]}" if modules else ""


def targets() -> dict[str, Target]:
    """Every target by name: the folders here, and those that other packages bring.

    Raises:
        RnnbenchError: a package from outside brings none where it says that it does.
    """
    files = {path.parent.name: path for path in sorted(TARGETS.glob(f"*/{TARGET}"))}
    for name, entry in plugins.outside("targets").items():
        package = plugins.source("targets", name) if name not in files else None
        file = package.with_name(TARGET) if package is not None else None
        if file is not None and file.is_file():
            files[name] = file
        elif name not in files:
            raise RnnbenchError(
                f"target {name!r} of {plugins.owner(entry)} has no {TARGET} in {entry.module}: "
                "mend that package, or uninstall it"
            )
    return {name: _read(name, path) for name, path in sorted(files.items())}


def find_target(name: str) -> Target:
    """One target.

    Raises:
        RnnbenchError: there is no such target.
    """
    known = targets()
    if name not in known:
        raise choices("target", name, known)
    return known[name]


def _read(name: str, path: Path) -> Target:
    said: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    return Target(
        name=name,
        folder=path.parent,
        title=said["title"],
        format=said["format"],
        needs=said["needs"],
        run=tuple(said["run"]),
        build=tuple(map(tuple, said.get("build", ()))),
        tools=tuple(said.get("tools", ())),
        modules=tuple(said.get("modules", ())),
        files=tuple(said.get("files", ())),
        header=said.get("header", False),
        shared=tuple(said.get("shared", ())),
        keep=tuple(said.get("keep", ())),
        not_run=said.get("not_run", ""),
        engine=said.get("engine", ""),
    )

"""A bundle becomes a small project in another language that runs it and verifies itself.

Each folder of `targets/` with a `target.toml` is a target: its files are copied, `README.md.in` is
filled in, and beside them come the artifact, `model.json` (what it takes and gives), `model.h`
where the target asks for it, `input.json` (a sample) and `golden/` (cases with their outputs, see
exports/README.md).
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.embedding.header import c_header

_HERE = Path(__file__).parent / "targets"
TARGET, TEMPLATE = "target.toml", ".in"


@dataclass(frozen=True)
class Target:
    """One language and runtime.

    Attributes:
        name: its folder's.
        title: in words.
        format: of the artifact that it runs.
        needs: in words, what whoever builds it has to install.
        tools: programs that must be on the path.
        modules: Python packages that must be installed here.
        files: of which one must be there; environment variables are replaced.
        build: the commands that build it, in its folder.
        run: the command that runs it; `--verify RESULT.json` follows.
        header: whether it wants `model.h`.
        shared: files of `common/` that it wants as well.
        keep: what a build makes that the next one may use, of whatever model.
        not_run: why it is never run here; empty where it can be.
    """

    name: str
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

    @property
    def folder(self) -> Path:
        """Where its templates are."""
        return _HERE / self.name

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
    """Every target by name."""
    return {path.parent.name: _read(path) for path in sorted(_HERE.glob(f"*/{TARGET}"))}


def find_target(name: str) -> Target:
    """One target.

    Raises:
        RnnbenchError: there is no such target.
    """
    known = targets()
    if name not in known:
        raise choices("target", name, known)
    return known[name]


def embed(bundle: Bundle, target: Target, out: str | Path, *, force: bool = False) -> Path:
    """Writes the project, whole or not at all.

    Args:
        bundle: what `export` wrote.
        target: for what.
        out: the project's folder.
        force: replace a folder that is there.

    Raises:
        RnnbenchError: the bundle lacks the format, or the folder is there.
    """
    out = Path(out)
    if target.format not in bundle.artifacts:
        has = ", ".join(bundle.artifacts) or "none"
        raise RnnbenchError(
            f"{bundle.name} has no {target.format} file, which {target.name} needs (it has: "
            f"{has}): export it with --format {target.format}"
        )
    if out.exists() and not force:
        raise RnnbenchError(f"{out} is there already: give another --out, or --force to replace it")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _fill(bundle, target, partial)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        elif out.exists():
            out.unlink()
        partial.rename(out)
    except OSError as error:
        raise RnnbenchError(f"cannot write {out} ({error}): give another --out") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _fill(bundle: Bundle, target: Target, folder: Path) -> None:
    from rnnbench.cases.golden import Record, describe_model, golden_records, write_arrays
    from rnnbench.embedding.readme import fill, words_of
    from rnnbench.embedding.sample import HEADER, sample_inputs

    model = describe_model(bundle, target.format)
    sample = sample_inputs(bundle)
    words = words_of(bundle, target.name, model, sample, header=target.header)
    for source, name in _files(target):
        destination = folder / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == TEMPLATE:
            text = fill(source.read_text("utf-8"), words, streams=model["streams"])
            destination.with_suffix("").write_text(text, encoding="utf-8")
        else:
            shutil.copy2(source, destination)  # with its time, for `make`
    artifact = bundle.artifacts[target.format]
    shutil.copyfile(artifact.path, folder / artifact.path.name)
    external = artifact.details.get("external_data")
    if external:
        shutil.copyfile(bundle.path / str(external), folder / str(external))
    (folder / "model.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    if target.header:
        (folder / "model.h").write_text(c_header(model), encoding="utf-8")
    (folder / "golden").mkdir()
    write_arrays(folder / "golden", golden_records(bundle))
    arrays, _ = sample
    write_arrays(folder, [Record("sample", "in", n, a) for n, a in arrays.items()], HEADER)


def _files(target: Target) -> Iterator[tuple[Path, str]]:
    for path in sorted(target.folder.rglob("*")):
        if path.is_file() and path.name != TARGET and "__pycache__" not in path.parts:
            yield path, str(path.relative_to(target.folder))
    for name in target.shared:
        yield _HERE / "common" / name, name


def _read(path: Path) -> Target:
    said: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    return Target(
        name=path.parent.name,
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
    )

"""A bundle becomes a small project in another language that runs it and verifies itself.

Each folder of `targets/` with a `target.toml` is a target: its files are copied, `README.md.in` is
filled in, and beside them come the artifact, `model.json` (what it takes and gives), `ports.h`
where the target asks for it, `input.json` (a sample) and `golden/` (cases with their outputs, see
exports/README.md).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import recover, whole_folder
from rnnbench.embedding.header import c_header
from rnnbench.embedding.target import TARGET, TARGETS, TEMPLATE, Target
from rnnbench.formats.c import CODE, HEADER, WEIGHTS, is_whole


def embed(bundle: Bundle, target: Target, out: str | Path, *, force: bool = False) -> Path:
    """Writes the project, whole or not at all.

    Args:
        bundle: what `export` wrote.
        target: for what.
        out: the project's folder.
        force: replace a folder that is there.

    Raises:
        RnnbenchError: the bundle lacks the format, or the folder is there, or must stay.
    """
    out = Path(out)
    whole = _place(bundle, out)
    if target.format_in(bundle) not in bundle.artifacts:
        has = ", ".join(bundle.artifacts) or "none"
        raise RnnbenchError(
            f"{bundle.name} has no {target.format} file, which {target.name} needs (it has: "
            f"{has}): export it with --format {target.format}"
        )
    recover(whole)

    def allowed() -> None:
        if whole.exists() and not force:
            raise RnnbenchError(
                f"{out} is there already: give another --out, or --force to replace it"
            )

    allowed()
    try:
        with whole_folder(whole, still_allowed=allowed) as partial:
            _fill(bundle, target, partial)
    except OSError as error:
        raise RnnbenchError(f"cannot write {out} ({error}): give another --out") from None
    return out


def _place(bundle: Bundle, out: Path) -> Path:
    """Where a project goes, once links are followed; never around what is in use.

    Raises:
        RnnbenchError: the current folder is there or in it, or the bundle is.
    """
    try:
        place = out.resolve()
        for kept, what in ((Path.cwd(), "the current folder"), (bundle.path, "the bundle")):
            if kept.resolve().is_relative_to(place):
                how = "is" if kept.resolve() == place else "holds"
                raise RnnbenchError(
                    f"a project cannot replace {out}, which {how} {what}: give another --out"
                )
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL, no folder
        raise RnnbenchError(f"cannot write {out} ({one_line(error)}): give another --out") from None
    return place


def _fill(bundle: Bundle, target: Target, folder: Path) -> None:
    from rnnbench.cases.golden import Record, describe_model, golden_records, write_arrays
    from rnnbench.embedding.readme import fill, words_of
    from rnnbench.embedding.sample import HEADER, sample_inputs
    from rnnbench.embedding.sound import sound_of

    format = target.format_in(bundle)
    model = describe_model(bundle, format)
    model["sound"] = sound_of(bundle, model)
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
    for file in _artifact(bundle, format):
        shutil.copyfile(file, folder / file.name)
    (folder / "model.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    if target.header:
        (folder / "ports.h").write_text(c_header(model), encoding="utf-8")
    (folder / "golden").mkdir()
    write_arrays(folder / "golden", golden_records(bundle, format))
    arrays, _ = sample
    write_arrays(folder, [Record("sample", "in", n, a) for n, a in arrays.items()], HEADER)


def _artifact(bundle: Bundle, format: str) -> list[Path]:
    """The artifact, and the file beside it that holds its weights.

    They get their own names in a folder of code, so these are what `export` gives: another might be
    that of a file which a build or a language runs (`main.py`, `build.rs`, `onnxruntime.py`).

    Raises:
        RnnbenchError: they have other names.
    """
    artifact, suffix = bundle.artifacts[format], plugins.load("formats", format).FORMAT.suffix
    name = artifact.path.name
    if format == "c":
        return _c_files(artifact.path)
    beside = [bundle.path / other for other in artifact.beside]
    if not name.endswith(suffix) or name.startswith("."):
        raise RnnbenchError(
            f"{bundle.path} names {name!r} as its {format} file, which has to end with {suffix}: "
            "export the model again"
        )
    if beside and beside != [artifact.path.with_name(f"{name}.data")]:
        raise RnnbenchError(
            f"{bundle.path} names {', '.join(map(repr, artifact.beside))} as the weights of "
            f"{name}, which have to be in {name}.data beside it: export the model again, or a file "
            "that onnx.save has written without external data"
        )
    return [artifact.path, *beside]


def _c_files(path: Path) -> list[Path]:
    """The three files of C, under the names that they have in one another.

    Raises:
        RnnbenchError: they have other names, or were not written together.
    """
    if path.name != CODE:
        raise RnnbenchError(
            f"{path.parent} names {path.name!r} as its C, which has to be {CODE}: export the model "
            "again"
        )
    if not is_whole(path):
        raise RnnbenchError(
            f"{path.parent}: {HEADER} or {WEIGHTS} is not what {path.name} was written with: "
            "export the model again"
        )
    return [path, path.with_name(HEADER), path.with_name(WEIGHTS)]


def _files(target: Target) -> Iterator[tuple[Path, str]]:
    for path in sorted(target.folder.rglob("*")):
        skipped = path.name in (TARGET, "__init__.py") or "__pycache__" in path.parts
        if path.is_file() and not skipped:
            yield path, str(path.relative_to(target.folder))
    for name in target.shared:
        yield TARGETS / "common" / name, name

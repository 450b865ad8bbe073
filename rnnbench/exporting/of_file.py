"""A file that somebody wrote -> Bundle: the file itself, byte for byte, and its golden cases.

What is right is said by an evaluation of an ONNX file in float64, and by a TorchScript file itself
in float64. What needs another format is captured where it can be: ONNX of a TorchScript file.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.atomic import writing
from rnnbench.core.bundle import (
    CASES,
    MANIFEST,
    OF_FILE,
    WEIGHTS,
    Bundle,
    describe_file,
    write_manifest,
)
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import full
from rnnbench.exporting.described import describe, found_out, metadata_of, planned, possible
from rnnbench.exporting.of_module import write_all
from rnnbench.formats._format import WriteOptions

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.formats._format import Format
    from rnnbench.models.files.declare import FileModel

_NO_CODE = "the file is ONNX, of which no program of PyTorch is made: {} needs the model's code"


def write(
    given: FileModel,
    writers: Mapping[str, Format],
    asked: WriteOptions,
    out: str | Path,
    loops: Mapping[str, bool],
    described: Mapping[str, Any],
) -> Bundle:
    """Makes the cases and writes the bundle.

    Args:
        given: the declared file.
        writers: the formats, by name; the file's own among them.
        asked: their options.
        out: the folder that the bundle's folder goes to.
        loops: the options of `capture`.
        described: what the manifest says besides.

    Raises:
        RnnbenchError: the file fails on inputs of its declaration, or its weights are missing.
    """
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.cases import check_declaration, plan_cases
    from rnnbench.cases.least_sizes import with_least_sizes
    from rnnbench.cases.stored import write_cases
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import save_weights

    if asked.precision:
        raise RnnbenchError(
            f"precision {asked.precision} rounds the weights of a module, and {given.path} is a "
            "file: export the module that it was made of"
        )
    with writing(out, given.name) as folder, torch_threads(1):
        declared = model = _with_ones(given)
        model = replace(model, dims=with_least_sizes(model, traced_sizes(model)).dims)
        try:
            check_declaration(model, plan_cases(model, traced_sizes(model))[0])
        except RnnbenchError as error:
            raise _sizes_wanted(declared, model, error) from None
        plans = planned(model, asked.pin)
        artifacts = {model.format: _copied(model, folder)}
        digest = save_weights(model.module, folder)
        said = metadata_of(model, described["metadata"], digest)
        options = replace(asked, metadata=said)
        captured, written, failed = _others(model, writers, folder, options, loops)
        frozen = captured.frozen if captured else ()
        traced = captured.dims if captured else traced_sizes(model)
        cases = write_cases(model, folder, possible(plans, traced, frozen))
        corrected = [line for said in written.values() for line in said.pop("corrected", ())]
        notes = [*_ones(given, declared), *found_out(declared, model), *corrected]
        recurrences = captured.recurrences if captured else model.recurrences
        write_manifest(
            folder,
            describe(model, traced, frozen, recurrences, notes)
            | {
                **described,
                "source": {"kind": OF_FILE, "format": model.format, "file": model.path.name},
                "quantised": list(model.quantised),
                "version": said["version"],
                "sha256": digest,
                "artifacts": artifacts | written,
                "failed": failed,
                "cases": cases,
            },
        )
    return Bundle.open(Path(out) / given.name, trust_code=True)


def _with_ones(model: FileModel) -> FileModel:
    """The declaration with a size of 1 where the file takes no other, whatever it says.

    x [time, 3, 41], h [batch, 64]: LSTM of one row  ->  h [1, 64]
    """
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.cases import check_declaration, plan_cases
    from rnnbench.cases.least_sizes import with_least_sizes

    def runs(tried: FileModel, search: bool) -> bool:
        sizes = with_least_sizes(tried, traced_sizes(tried)).dims if search else tried.dims
        tried = replace(tried, dims=sizes)
        try:
            check_declaration(tried, plan_cases(tried, traced_sizes(tried))[0])
        except RnnbenchError:
            return False
        return True

    others = [_with_one(model, dim) for dim in model.dims]
    others.sort(key=lambda other: model.batch_dim in other.dims)
    tries = [model, *(other for other in others if other.dims != model.dims)]
    for search in (False, True):  # which takes long where nothing runs
        for tried in tries:
            if runs(tried, search):
                return tried
    return model


def _with_one(model: FileModel, dim: str) -> FileModel:
    """The declaration with a dimension of 1; as it is where products of it and others are sizes."""
    inputs = tuple(
        replace(spec, shape=tuple(1 if size == dim else size for size in spec.shape))
        for spec in model.inputs
    )
    if any(dim in spec.dims for spec in inputs):
        return model
    dims = {name: size for name, size in model.dims.items() if name != dim}
    return replace(model, inputs=inputs, dims=dims)


def _ones(given: FileModel, declared: FileModel) -> list[str]:
    return [
        f"{dim!r} is 1, as running the file showed: it takes no other"
        for dim in given.dims
        if dim not in declared.dims
    ]


def _sizes_wanted(declared: FileModel, model: FileModel, error: RnnbenchError) -> RnnbenchError:
    """The error of a file that does not run: at which sizes it does, where some were found."""
    found = {dim: size.min for dim, size in model.dims.items() if size != declared.dims[dim]}
    at = ", ".join(f"{dim}={size}" for dim, size in found.items())
    shown = next((s for s in declared.inputs if {*s.dims} & found.keys()), declared.inputs[0])
    sizes = ",".join(str(found.get(str(size), size)) for size in shown.shape)
    why = str(error).removeprefix(f"model {model.name!r} ").partition(": correct the ")[0]
    runs = f", and runs at {at}" if at else ""
    return RnnbenchError(
        f"{model.path} {why}{runs}: give the sizes that it takes, as --shape {shown.name}={sizes}"
    )


def _copied(model: FileModel, folder: Path) -> dict[str, Any]:
    """Puts the file into the bundle, with its external data; what the manifest says of it.

    Raises:
        RnnbenchError: its weights are not there, or have the names of a bundle's own files.
    """
    from rnnbench.core import plugins

    suffix = plugins.load("formats", model.format).FORMAT.suffix
    path = folder / f"model{suffix}"
    shutil.copyfile(model.path, path)
    details = describe_file(path)
    if model.format != "onnx":
        return details
    from rnnbench.inspection.external import external_files

    beside = external_files(model.path)
    formats = (plugins.load("formats", name).FORMAT for name in plugins.names("formats"))
    own = {f"model{format.suffix}" for format in formats} | {CASES, MANIFEST, WEIGHTS}
    for name in beside:
        if name in own:
            raise RnnbenchError(
                f"{model.path} has its weights in {name!r}, which is a bundle's own: give that "
                "file another name (onnx.save, save_as_external_data=True)"
            )
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path.parent / name, target)
    if beside:
        details["external_data"] = beside if len(beside) > 1 else beside[0]
    return details


def _others(
    model: FileModel,
    writers: Mapping[str, Format],
    folder: Path,
    options: WriteOptions,
    loops: Mapping[str, bool],
) -> tuple[Captured | None, dict[str, Any], dict[str, str]]:
    """The program that was captured, the artifacts besides the file, and why there are no others.

    The form for other engines is made of an ONNX file itself.
    """
    rest = {name: writer for name, writer in writers.items() if name != model.format}
    if model.format == "onnx":
        written, failed = {}, {name: _NO_CODE.format(name) for name in rest if name != "portable"}
        if "portable" in rest:
            written["portable"] = _rewritten(model, folder, options)
        return None, written, failed
    if not rest:
        return None, {}, {}
    from rnnbench.capture.pipeline import capture

    try:
        captured = capture(model, **loops)
        written, failed = write_all(captured, folder, rest, options)
    except Exception as error:  # of somebody's program; the file itself is there
        if full(error) is not None:
            raise
        known = isinstance(error, RnnbenchError)
        why = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
        return None, {}, dict.fromkeys(rest, why)
    return captured, written, failed


def _rewritten(model: FileModel, folder: Path, options: WriteOptions) -> dict[str, Any]:
    from rnnbench.core import plugins
    from rnnbench.formats.onnx.profiles import rewrite

    path = folder / f"model{plugins.load('formats', 'portable').FORMAT.suffix}"
    said = rewrite(model.path, path, options.profile, options.pin)
    return describe_file(path) | said

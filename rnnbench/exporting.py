"""Model -> Bundle: captured once, written in each format, with the cases it will be judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata as packages
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rnnbench
from rnnbench.core import plugins
from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, describe_file, describe_spec, write_manifest
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.core.trust import digest, remember_code
from rnnbench.core.whole import full
from rnnbench.formats._format import WriteOptions
from rnnbench.models import sources

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.cases.plans import Plan
    from rnnbench.formats._format import Format

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def export(  # noqa: PLR0913  (keywords of a public function)
    model: Model,
    formats: Sequence[str] = ("torchscript", "onnx"),
    out: str | Path = "exports",
    *,
    metadata: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    opset: int | None = None,
    keep_loops: bool = False,
    allow_frozen: bool = False,
    profile: str | None = None,
    pin: Mapping[str, int] | None = None,
    precision: str | None = None,
) -> Bundle:
    """Writes the bundle `out/<model.name>/`, whole or not at all.

    Args:
        model: a module, and the names of its inputs and outputs.
        formats: plugins in `rnnbench/formats/`.
        out: the folder that the bundle's folder goes to; a bundle of that name is replaced.
        metadata: what else is to be said of the model (JSON): task, variant, alphabet ...
        source: where the module's Python code is, for whoever wants to run it again. That you
            exported from it is recorded (see `core/trust.py`).
        opset: of ONNX, 17 to 21.
        keep_loops: leave a loop a scan where a fused layer could stand (for comparison).
        allow_frozen: accept a model whose length cannot be dynamic; the manifest says so.
        profile: also write ONNX for other engines, the format `portable`: `portable` is for all,
            or name one (see rnnbench.formats.onnx.profiles).
        pin: dimensions that are fixed in that file, with their sizes.
        precision: what the weights are rounded to: float16, bfloat16, int8-weights or
            int8-dynamic. The bundle is that of the rounded model; the format `c` keeps its weights
            in so many bits. The module that is given stays as it is.

    Returns:
        The bundle. A format that the model has no form in is in its manifest with the reason.

    Raises:
        RnnbenchError: the declaration does not fit the module, the module cannot be captured, or
            no format could be written. A bundle that was there before is untouched.
    """
    if not isinstance(model, Model):
        raise RnnbenchError(
            f"export takes a rnnbench.Model, not a {type(model).__name__}: declare its inputs and "
            "outputs, as `rnnbench init` drafts them"
        )
    asked = WriteOptions(
        opset=opset, profile=profile or "portable", pin=dict(pin or {}), precision=precision or ""
    )
    given = (formats,) if isinstance(formats, str) else tuple(formats)
    wanted = tuple(plugins.canonical("formats", name) for name in given)
    if profile is not None or pin:
        wanted = (*wanted, "portable")
    writers = _find_writers(model, wanted, asked)
    if precision is not None:
        _check_precision(precision, writers)

    from rnnbench.capture.kept_by_torch import caches_as_they_were
    from rnnbench.capture.this_thread import exporting_alone
    from rnnbench.models.as_it_was import left_as_it_was

    with exporting_alone(), left_as_it_was(model.module), caches_as_they_were():
        loops = {"keep_loops": keep_loops, "allow_frozen": allow_frozen}
        rate = {} if model.sample_rate is None else {"sample_rate": model.sample_rate}
        said = {"metadata": {**rate, **(metadata or {})}, "source": dict(source or {})}
        return _written(model, writers, asked, out, loops, said)


def _check_precision(precision: str, writers: Mapping[str, Format]) -> None:
    """Refuses a precision that no format keeps."""
    from rnnbench.models.precision import check_precision

    check_precision(precision)
    others = [name for name, writer in writers.items() if not writer.has_precisions]
    if others and precision == "int8-dynamic":
        raise RnnbenchError(
            f"int8-dynamic computes with whole numbers in the format c only, and {others[0]} is "
            "asked for: export that by itself, or as int8-weights"
        )
    if not any(writer.has_precisions for writer in writers.values()):
        raise RnnbenchError(
            f"precision {precision} makes a smaller file in the format c only, not in "
            f"{' or '.join(writers)}: add --format c"
        )


def _round(model: Model, precision: str) -> dict[str, Any]:
    """Rounds the weights of a model in place; what the manifest says of it."""
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.inputs import make_inputs
    from rnnbench.cases.plans import plan_cases
    from rnnbench.models.calls import call, undisturbed
    from rnnbench.models.precision import kept_signal, round_weights

    arrays = make_inputs(model, plan_cases(model, traced_sizes(model))[0])

    def outputs() -> Arrays:
        with undisturbed(model.module):
            return call(model.module, model.inputs, model.outputs, arrays)

    before = outputs()
    count = round_weights(model.module, precision)
    signal = {name: round(db, 1) for name, db in kept_signal(before, outputs()).items()}
    return {"name": precision, "weights": count, "signal_db": signal}


def _written(
    model: Model,
    writers: Mapping[str, Format],
    asked: WriteOptions,
    out: str | Path,
    loops: Mapping[str, bool],
    described: Mapping[str, Any],
) -> Bundle:
    """Captures the model and writes the bundle.

    Args:
        model: as the user declared it.
        writers: the formats, by name.
        asked: their options.
        out: the folder that the bundle's folder goes to.
        loops: the options of `capture`.
        described: what the manifest says besides.
    """
    from rnnbench.capture.pipeline import capture
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.capture.tracing.unsupported import refuse_unsupported
    from rnnbench.cases.cases import check_declaration, plan_cases
    from rnnbench.cases.least_sizes import with_least_sizes
    from rnnbench.cases.stored import write_cases
    from rnnbench.core.collector import collecting_seldom
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import on_cpu, save_weights
    from rnnbench.models.lifting import lifted

    model = lifted(model)
    refuse_unsupported(model)
    quick = collecting_seldom(), torch_threads(1)
    with writing(out, model.name) as folder, quick[0], quick[1], on_cpu(model.module):
        declared, model = model, with_least_sizes(model, traced_sizes(model))
        check_declaration(model, plan_cases(model, traced_sizes(model))[0])
        rounded = {"precision": _round(model, asked.precision)} if asked.precision else {}
        plans = _plans(model, asked.pin)
        captured = capture(model, **loops)
        # After the capture, which refuses loops whose end depends on data: some have none.
        cases = write_cases(model, folder, _possible(plans, captured))
        digest = save_weights(model.module, folder)
        said = _metadata(model, described["metadata"], digest)
        artifacts, failed = _write_all(captured, folder, writers, replace(asked, metadata=said))
        write_manifest(
            folder,
            _describe(model, captured, [*_found(declared, model), *map(_cost, rounded.values())])
            | {**described, "source": _remembered(described["source"])}
            | {
                **rounded,
                "version": said["version"],
                "sha256": digest,
                "artifacts": artifacts,
                "failed": failed,
                "cases": cases,
            },
        )
    return Bundle.open(Path(out) / model.name, trust_code=True)


def _cost(rounded: Mapping[str, Any]) -> str:
    """What the rounding of the weights does to the outputs, in words."""
    signal = ", ".join(f"{name} by {db} dB" for name, db in rounded["signal_db"].items())
    above = f"; the signal is above the change of {signal}" if signal else ""
    return f"{rounded['weights']:,} weights rounded to {rounded['name']}{above}"


def _remembered(source: Mapping[str, Any]) -> dict[str, Any]:
    """The source with the sha256 of its file, by which its code is known again."""
    spec = source.get("spec")
    if source.get("kind") not in ("file", "import") or not isinstance(spec, str):
        return dict(source)
    main = sources.file_holding(spec)
    if main is None:
        return dict(source)
    remember_code(spec, main)  # where it cannot, whoever checks it says what to do
    return {**source, "sha256": digest(main)}


def _find_writers(model: Model, formats: Sequence[str], options: WriteOptions) -> dict[str, Format]:
    """The formats by name, each of which can be written here, with these options."""
    found: dict[str, Format] = {
        name: plugins.load("formats", name).FORMAT for name in dict.fromkeys(formats)
    }
    if not found:
        raise RnnbenchError(f"no format given: choose from {', '.join(plugins.names('formats'))}")
    for name, writer in found.items():
        missing = writer.missing()
        if missing:
            raise Unavailable(f"format {name!r}: {missing}")
        writer.refuse(model, options)
    return found


def _plans(model: Model, pin: Mapping[str, int]) -> tuple[Plan, ...]:
    """The cases that are to be, and one with the sizes that a file has fixed."""
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.cases import count_outputs
    from rnnbench.cases.plans import Plan, plan_cases
    from rnnbench.cases.room import STORED, room_for

    traced = traced_sizes(model)
    plans = plan_cases(model, traced, room_for(model, count_outputs(model), traced, STORED))
    if any(pin.items() <= plan.dims.items() for plan in plans):
        return tuple(plans)
    dims = plans[0].dims | dict(pin)
    return (*plans, Plan("pinned", dims, len(plans), "the sizes that a file has fixed"))


def _possible(plans: Sequence[Plan], captured: Captured) -> list[Plan]:
    """The plans that have the sizes at which a model was frozen."""
    frozen = {dim: captured.dims[dim] for dim in captured.frozen}
    return [plan for plan in plans if frozen.items() <= plan.dims.items()]


def _write_all(
    captured: Captured, folder: Path, writers: Mapping[str, Format], options: WriteOptions
) -> tuple[dict[str, Any], dict[str, str]]:
    """The artifacts, and why some formats have none: one without a form does not stop the others.

    Raises:
        RnnbenchError: there is no form in any of them.
    """
    artifacts: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, writer in writers.items():
        path = folder / f"model{writer.suffix}"
        try:
            details = writer.write(captured, path, options)
        except Exception as error:  # torch, onnx and the compilers raise types of their own
            if full(error) is not None:  # which has nothing to do with the format
                raise
            for left in (path, path.with_name(f"{path.name}.data")):
                left.unlink(missing_ok=True)
            known = isinstance(error, RnnbenchError | RuntimeError)
            failed[name] = one_line(error) if known else f"{type(error).__name__}: {error}"
            if len(failed) == len(writers):
                raise RnnbenchError(failed[name]) from error
        else:
            artifacts[name] = describe_file(path) | details
    return artifacts, failed


def _found(declared: Model, model: Model) -> list[str]:
    """What was found out of dimensions by running the module, a sentence each."""
    return [
        f"{name!r} is {dim}, as running the module showed: dims={{{name!r}: {dim!r}}} declares it"
        for name, dim in model.dims.items()
        if dim != declared.dims[name]
    ]


def _describe(model: Model, captured: Captured, found: Sequence[str]) -> dict[str, Any]:
    """What the manifest says of the declaration and of what was captured."""
    import torch

    from rnnbench.core.model import sample_inputs
    from rnnbench.models.calls import left_out_notes, training_notes

    arrays = sample_inputs(model, captured.dims, 0)
    tensors = [torch.from_numpy(array) for array in arrays.values()]

    return {
        "name": model.name,
        "inputs": [describe_spec(spec) for spec in model.inputs],
        "outputs": list(model.outputs),
        "states": dict(model.states),
        "batch_dim": model.batch_dim,
        "time_dim": model.time_dim,
        "frames_per_second": model.frames_per_second,
        "traced": dict(captured.dims),
        "dims": {name: asdict(dim) for name, dim in model.dims.items()},
        "frozen": list(captured.frozen),
        "notes": [*training_notes(model.module), *left_out_notes(model, tensors), *found],
        "recurrences": [asdict(r) for r in captured.recurrences],
        "versions": _versions(),
    }


def _metadata(model: Model, given: Mapping[str, Any], digest: str) -> dict[str, str]:
    """What every file says of itself."""
    said = {"producer": "rnnbench", "version": rnnbench.__version__, "name": model.name}
    said |= {key: str(given[key]) for key in ("task", "variant") if key in given}
    return said | {"weights_sha256": digest}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return found

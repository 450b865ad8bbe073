"""`export`: models -> bundles, checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._console import Progress, note
from rnnbench.commands._files import file_inputs, file_options, given_nothing
from rnnbench.commands._imports import large_imports
from rnnbench.commands._options import (
    FINE,
    as_json,
    completes,
    finish,
    option,
    training_options,
    verb,
)
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport
    from rnnbench.commands._pipeline import ExportOptions, TrainingOptions


@verb(
    "Train, export and check models.",
    "rnnbench export gru lstm-loop --task text    # train, export, check",
    "rnnbench export my_model.py --format onnx,pt2",
    "rnnbench export my_model.py --explain        # where it fails, and what to write",
    "rnnbench export my_model.py --for tract      # also ONNX for tract",
    "rnnbench export runs/hello-gru.pt            # as train left it",
    "rnnbench export model.onnx --set sr=16000    # a file that somebody wrote",
)
@click.argument(
    "targets",
    metavar="[VARIANT | CHECKPOINT | FILE | FILE.py[:function] | module:function]...",
    nargs=-1,
    shell_complete=completes("variants"),
)
@training_options
@file_options
@option(
    "--format",
    "formats",
    multiple=True,
    help="See: list formats; repeat, or use commas.",
    group="Files",
    shell_complete=completes("formats"),
)
@option(
    "--out", default="exports", show_default=True, help="Folder of the bundles.", group="Output"
)
@option(
    "--runs",
    help="Folder of `train`'s checkpoints to continue from.  [default: runs]",
    group="Training",
)
@option(
    "--resume/--no-resume",
    default=True,
    help="From such a checkpoint, where one is.",
    group="Training",
)
@option("--opset", type=int, help="Of ONNX.", group="Files")
@option("--keep-loops", is_flag=True, help="Do not turn loops into fused layers.", group="Capture")
@option(
    "--allow-frozen", is_flag=True, help="Export what works at one shape only.", group="Capture"
)
@option(
    "--lift-state",
    is_flag=True,
    help="What the module keeps: an input, an output.",
    group="Capture",
)
@option(
    "--profile",
    metavar="NAME",
    help="portable: also ONNX that other engines run right.",
    group="Files",
)
@option(
    "--for",
    "engine",
    metavar="RUNTIME",
    help="The same for one: tract, iree, onnxruntime==1.17 ...",
    group="Files",
)
@option(
    "--pin", "pins", metavar="DIM=N,...", help="Sizes fixed in it: batch=1,time=10.", group="Files"
)
@option(
    "--precision",
    metavar="NAME,...",
    help="Of weights in ONNX and C: float16, bfloat16, int8-weights, int8-dynamic ...",
    group="Files",
)
@option(
    "--keep",
    "keep",
    metavar="float32:LAYER,...",
    help="Layers that stay as they are: float32:decoder, a pattern.",
    group="Files",
)
@option(
    "--sensitivity",
    is_flag=True,
    help="What rounding each layer alone costs.",
    group="Files",
)
@option(
    "--calibrate",
    metavar="FILE.npz",
    multiple=True,
    help="For int8-static: what ranges are measured on; repeat.",
    group="Files",
)
@option(
    "--explain",
    is_flag=True,
    help="Where it fails: the line, why, what to change.",
    group="Capture",
)
@as_json
def command(
    targets: tuple[str, ...],
    as_json: bool,
    formats: tuple[str, ...],
    out: str,
    runs: str | None,
    resume: bool,
    opset: int | None,
    keep_loops: bool,
    allow_frozen: bool,
    lift_state: bool,
    profile: str | None,
    engine: str | None,
    pins: str | None,
    precision: str | None,
    keep: str | None,
    sensitivity: bool,
    calibrate: tuple[str, ...],
    explain: bool,
    **options: Any,
) -> int:
    """Train, export and check models: every variant unless some are given.

    A VARIANT is trained on --task first, or taken as `train` left it; so is the model of a
    CHECKPOINT that `train` wrote. FILE.py or module:function is your own code: a function
    (`build` unless you name it) that returns a rnnbench.Model. A FILE is .onnx or TorchScript that
    somebody wrote: the bundle holds it as it is.
    """
    with large_imports():
        from rnnbench.commands._pipeline import (
            ExportOptions,
            TrainingOptions,
            check_task,
            find_formats,
            find_targets,
            is_lone_file,
        )
        from rnnbench.runtimes.forkserver import imports_torch

        check_task(options["task"])  # which imports numpy
    names, inputs = find_targets(targets), file_inputs(options)
    if not given_nothing(inputs) and not any(map(is_lone_file, names)):
        raise RnnbenchError(
            "--set, --shape, --high and --state say what a file takes (.onnx, TorchScript), and "
            "none is given"
        )
    flags: dict[str, Any] = {"keep_loops": keep_loops, "allow_frozen": allow_frozen, "opset": opset}
    flags |= _portable(profile, engine, pins)
    rounding = _rounding(keep, sensitivity, precision, calibrate)
    exporting = ExportOptions(
        find_formats(formats),
        Path(out),
        {k: v for k, v in flags.items() if v},
        lift_state,
        inputs=inputs,
        precisions=_precisions(precision),
        rounding=rounding,
    )
    imports_torch()
    training = TrainingOptions(
        **options,
        runs=None if runs is None else Path(runs),
        resume=resume,
        progress=sys.stderr.isatty() and len(names) == 1,
    )
    report = _export_all(names, training, exporting, explain)
    code = finish("export", report, as_json)
    for table in () if as_json else _rounded_tables(exporting, sensitivity):
        click.echo(f"\n{table}")
    if code == FINE and not as_json:
        for line in _next(names, report, out):
            note(line)
    return code


def _next(names: tuple[str, ...], report: CheckReport, out: str) -> list[str]:
    """Three commands that go on from here."""
    from rnnbench.commands._pipeline import is_checkpoint, is_lone_file
    from rnnbench.models.sources import is_source

    bundle = shlex.quote(str(Path(out) / report.rows[0].model))
    own = next((name for name in names if is_source(name)), None)
    shown = [(f"rnnbench inspect {bundle}", "what is in its files")]
    if own is not None:
        shown.append((f"rnnbench bench {shlex.quote(own)}", "which form and runtime is fastest"))
        formats = {row.format for row in report.rows}
        in_c = "c" in formats and "onnx" not in formats
        target, language = ("c", "C") if in_c else ("cpp-onnxruntime", "C++")
        shown.append((f"rnnbench embed {bundle} --target {target}", f"a {language} project of it"))
    else:
        if any(map(is_lone_file, names)):
            shown.append((f"rnnbench conform {bundle}", "in every engine that is here"))
        elif not any(map(is_checkpoint, names)):
            shown.append(("rnnbench bench --quick", "which form and runtime is fastest"))
        else:
            shown.append((f"rnnbench bench {bundle}", "which runtime is fastest"))
        if any(map(is_lone_file, names)):
            shown.append((f"rnnbench bench {bundle}", "which runtime is fastest"))
            return _aligned(shown)
        shown.append(("rnnbench init my_model.py --from net.py:Net", "your own model"))
    return _aligned(shown)


def _aligned(shown: list[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in shown)
    return ["next:", *(f"  {command:{width}}  # {what}" for command, what in shown)]


def _portable(profile: str | None, engine: str | None, pins: str | None) -> dict[str, Any]:
    """What --profile, --for and --pin ask `rnnbench.export` for."""
    if profile is not None and engine is not None:
        raise RnnbenchError(f"--profile {profile} and --for {engine}: give one of them")
    wanted = profile or engine
    if wanted is not None:
        from rnnbench.formats.onnx.profiles import check_profile

        check_profile(wanted, "profile" if profile else "runtime for --for")
    sizes: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in (pins or "").split(","))):
        dim, _, size = part.partition("=")
        if not size.isdecimal() or int(size) < 1:
            raise RnnbenchError(f"--pin {part!r}: give a dimension and its size, as batch=1")
        sizes[dim] = int(size)
    return {"profile": wanted, "pin": sizes}


def _precisions(given: str | None) -> tuple[str, ...]:
    """One, or float32 and several others."""
    from rnnbench.models.precision import check_precision

    names = tuple(dict.fromkeys(filter(None, (p.strip() for p in (given or "").split(",")))))
    asked = tuple(name for name in names if name != "float32")
    for name in asked:
        check_precision(name)
    return asked if asked and len(names) == 1 else ("", *asked)


def _rounding(
    keep: str | None, sensitivity: bool, precision: str | None, calibrate: tuple[str, ...]
) -> dict[str, Any]:
    """What --keep, --sensitivity and --calibrate ask `rnnbench.export` for."""
    from rnnbench.models.precision import STATIC

    patterns = []
    for part in filter(None, (p.strip() for p in (keep or "").split(","))):
        kind, colon, pattern = part.partition(":")
        if kind != "float32" or not colon or not pattern:
            raise RnnbenchError(f"--keep {part!r}: write it as float32:LAYER, as float32:decoder")
        patterns.append(pattern)
    asked = {"keep": tuple(patterns), "sensitivity": sensitivity}
    if any(asked.values()) and not any(_precisions(precision)):
        raise RnnbenchError(
            "--keep and --sensitivity are about layers that are rounded: add --precision"
        )
    if calibrate and STATIC not in _precisions(precision):
        raise RnnbenchError(
            f"--calibrate is for int8-static alone: add --precision {STATIC}, or leave it out"
        )
    if STATIC in _precisions(precision) and not calibrate:
        raise RnnbenchError(
            f"{STATIC} measures the ranges of values on arrays of yours: add --calibrate FILE.npz"
        )
    asked["calibrate"] = calibrate
    return {name: value for name, value in asked.items() if value}


def _rounded_tables(exporting: ExportOptions, sensitivity: bool) -> Iterator[str]:
    """What each precision costs, where there are several, and each layer, if that was asked for."""
    from rnnbench.core.bundle import Bundle
    from rnnbench.exporting.prices import format_prices
    from rnnbench.exporting.rounding import format_sensitivity

    if not any(exporting.precisions):
        return
    by_target: dict[str, list[Bundle]] = {}
    for name, target in exporting.written.items():
        if (exporting.out / name).is_dir():
            by_target.setdefault(target, []).append(Bundle.open(exporting.out / name))
    for bundles in by_target.values():
        said = [bundle.manifest.get("precision") for bundle in bundles]
        if len(bundles) > 1 and not said[0]:
            yield format_prices(bundles)
        yield from (format_sensitivity(each) for each in said if each and sensitivity)


def _export_all(
    names: tuple[str, ...], training: TrainingOptions, exporting: Any, explain: bool
) -> CheckReport:
    """Exports one after the other; a failure of one of several becomes its row."""
    from rnnbench.capture.explain import explain_target
    from rnnbench.checking.report import failed, merge
    from rnnbench.commands._pipeline import export_one, is_checkpoint, is_lone_file
    from rnnbench.models.sources import is_source

    progress = Progress(len(names))
    reports = []
    for name in names:
        own = is_source(name) or is_checkpoint(name) or is_lone_file(name)
        title = name if own else f"{training.task}-{name}"
        progress.on_start(title)
        try:
            report, found = export_one(name, training, exporting, progress)
        except Exception as error:
            if explain:
                progress.stop()
                note(explain_target(error, name))
            if len(names) == 1:
                progress.stop()
                raise
            report, found = failed(title, error), "FAILED"
        except BaseException:
            progress.stop()
            raise
        progress.on_end(found)
        reports.append(report)
    return merge(reports)

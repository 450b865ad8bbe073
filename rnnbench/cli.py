"""The commands: one short function per verb, which prints and decides the exit code.

0: fine. 1: something differs, or one model of several failed. 2: bad input, said in one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.console import Progress, metric_rows, note, print_json, print_table, print_verdicts
from rnnbench.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    from rnnbench.check import CheckReport
    from rnnbench.pipeline import Training

FINE, DIFFERS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code; what went wrong is one line on stderr."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="rnnbench", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        return _refuse(error.format_message())
    except RnnbenchError as error:
        return _refuse(one_line(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads: do not fail at exit as well
        return FINE
    except OSError as error:
        return _refuse(f"{error.strerror or one_line(error)}: {error.filename or ''}".rstrip(": "))
    except Exception as error:
        if os.environ.get("RNNBENCH_TRACEBACK"):
            raise
        return _refuse(
            f"this is a bug in rnnbench ({type(error).__name__}: {one_line(error)}): "
            "run it with RNNBENCH_TRACEBACK=1 and report what it says"
        )
    return code if isinstance(code, int) else FINE


def _refuse(message: str) -> int:
    note(f"error: {' '.join(message.split())}")
    return BAD_INPUT


def _version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import rnnbench

        click.echo(f"rnnbench {rnnbench.__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show it."
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Export recurrent PyTorch models, prove that runtimes agree, measure which is fastest."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the commands that train."""
    for option in reversed(
        [
            click.option("--task", default="hello", show_default=True, help="See: list tasks."),
            click.option("--hidden", type=int, help="Size of the state; the task's own default."),
            click.option("--layers", type=int, help="Recurrent layers; the variant's default."),
            click.option("--bidirectional", is_flag=True, help="Backwards in time too (fused)."),
            click.option("--dropout", type=float, default=0.0, help="Between layers."),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
            click.option("--epochs", type=int, help="The task's own default unless given."),
            click.option("--device", default="cpu", show_default=True, help="Where to train."),
        ]
    ):
        command = option(command)
    return command


@cli.command("list")
@click.argument("kinds", nargs=-1)
@as_json
def list_(kinds: tuple[str, ...], as_json: bool) -> None:
    """Show variants, tasks, formats, runtimes and devices, and why one is not available.

    KINDS: variants, tasks, formats, runtimes, devices; all unless given.
    """
    from rnnbench.errors import choices
    from rnnbench.listing import KINDS, items

    for kind in kinds:
        if kind not in KINDS:
            raise choices("kind", kind, KINDS)
    found = items(kinds or KINDS)
    if as_json:
        print_json([asdict(item) | {"available": item.reason is None} for item in found])
        return
    rows = []
    for item in found:
        missing = click.style("not available", fg="yellow") + f": {item.reason}"
        rows.append((item.kind, item.name, missing if item.reason else item.description))
    print_table(["kind", "name", "what it is"], rows)


@cli.command()
@click.argument("names", metavar="[VARIANT]...", nargs=-1)
@training_options
@click.option("--runs", default="runs", show_default=True, help="Folder of the checkpoints.")
@click.option("--resume/--no-resume", default=True, show_default=True, help="From a checkpoint.")
@as_json
def train(names: tuple[str, ...], as_json: bool, runs: str, resume: bool, **options: Any) -> None:
    """Train VARIANTs (all unless given) on a task, and show their errors beside a baseline's.

    The weights stay in a checkpoint; `export --runs` continues from it.
    """
    from rnnbench import variants
    from rnnbench.pipeline import Training, check_task, train_one

    for name in names:
        variants.describe(name)
    check_task(options["task"])
    wanted = names or variants.names()
    training = Training(
        **options, runs=Path(runs), resume=resume, progress=sys.stderr.isatty() and len(wanted) == 1
    )
    progress = Progress(len(wanted))
    trained = []
    for name in wanted:
        progress.begin(f"{training.task}-{name}")
        trained.append(train_one(name, training, progress.tell))
        progress.end("trained")
    if as_json:
        print_json([{"model": t.model.name, "metrics": t.metrics} for t in trained])
        return
    print_table(
        ["model", "metric", "value", "baseline"],
        [(t.model.name, *row) for t in trained for row in metric_rows(t.metrics)],
    )


@cli.command()
@click.argument("file", metavar="FILE.py")
@click.option("--from", "source", required=True, metavar="package.module:Class", help="The model.")
@click.option("--force", is_flag=True, help="Overwrite FILE.py.")
def init(file: str, source: str, force: bool) -> None:
    """Write FILE.py, a first draft of a declaration, from the class of a module."""
    from rnnbench.draft import draft, write

    drafted = draft(source, Path(file).parent)
    path = write(drafted, file, force=force)
    for line in drafted.notes:
        note(line)
    click.echo(f"{path}: look it over, then: rnnbench export {path}")


@cli.command()
@click.argument("targets", metavar="[VARIANT | FILE.py[:function] | module:function]...", nargs=-1)
@training_options
@click.option(
    "--format", "formats", multiple=True, help="See: list formats; repeat, or use commas."
)
@click.option("--out", default="exports", show_default=True, help="Folder of the bundles.")
@click.option("--runs", help="Folder of `train`'s checkpoints to continue from.")
@click.option("--opset", type=int, help="Of ONNX.")
@click.option("--keep-loops", is_flag=True, help="Do not turn loops into fused layers.")
@click.option("--allow-frozen", is_flag=True, help="Export what works at one shape only.")
@click.option("--explain", is_flag=True, help="Where it fails: the line, why, what to change.")
@as_json
def export(
    targets: tuple[str, ...],
    as_json: bool,
    formats: tuple[str, ...],
    out: str,
    runs: str | None,
    opset: int | None,
    keep_loops: bool,
    allow_frozen: bool,
    explain: bool,
    **options: Any,
) -> int:
    """Train, export and check models: every variant unless some are given.

    A VARIANT is trained on --task first. FILE.py or module:function is your own code: a function
    (`build` unless you name it) that returns a rnnbench.Model.
    """
    from rnnbench.pipeline import Exporting, Training, check_task, find_formats, find_targets

    names = find_targets(targets)
    flags = {"keep_loops": keep_loops, "allow_frozen": allow_frozen, "opset": opset}
    exporting = Exporting(find_formats(formats), Path(out), {k: v for k, v in flags.items() if v})
    check_task(options["task"])
    training = Training(
        **options,
        runs=None if runs is None else Path(runs),
        progress=sys.stderr.isatty() and len(names) == 1,
    )
    return _finish(_export_all(names, training, exporting, explain), as_json)


def _export_all(
    names: tuple[str, ...], training: Training, exporting: Any, explain: bool
) -> CheckReport:
    """Exports one after the other; a failure of one of several becomes its row."""
    from rnnbench.check import merge
    from rnnbench.explain import explain_target
    from rnnbench.pipeline import export_one, failed, is_source

    progress = Progress(len(names))
    reports = []
    for name in names:
        title = name if is_source(name) else f"{training.task}-{name}"
        progress.begin(title)
        try:
            report = export_one(name, training, exporting, progress.tell)
        except Exception as error:
            if explain:
                note(explain_target(error, name))
            if len(names) == 1:
                raise
            report = failed(title, error)
        progress.end("exported and checked" if report.ok else "FAILED")
        reports.append(report)
    return merge(reports)


@cli.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1)
@click.option("--runtime", "runtimes", multiple=True, help="Only these; see: list runtimes.")
@click.option("--out", default="exports", show_default=True, help="Where bundles are looked for.")
@click.option("--details", is_flag=True, help="A row for each output, with its noise floor.")
@as_json
def check(
    bundles: tuple[str, ...], runtimes: tuple[str, ...], out: str, details: bool, as_json: bool
) -> int:
    """Compare what BUNDLEs (all in --out unless given) compute with the module in float64."""
    from rnnbench.check import check as check_bundle
    from rnnbench.check import merge
    from rnnbench.pipeline import failed, find_bundles

    paths = find_bundles(bundles, Path(out))
    progress = Progress(len(paths))
    reports = []
    for path in paths:
        progress.begin(path.name)
        try:
            reports.append(check_bundle(path, runtimes or None))
        except RnnbenchError as error:
            if len(paths) == 1:
                raise
            reports.append(failed(path.name, error))
        progress.end("checked")
    return _finish(merge(reports), as_json, details)


def _finish(report: CheckReport, as_json: bool, details: bool = False) -> int:
    from rnnbench.check import format_report
    from rnnbench.pipeline import summarise

    if as_json:
        print_json(report.to_json())
    elif details:
        click.echo(format_report(report))
    else:
        print_verdicts(summarise(report.rows))
        for case, why in report.skipped.items():
            note(f"not compared at {case}: {why}")
    return FINE if report.ok else DIFFERS


@cli.command()
@click.argument("bundle")
@click.option("--runtime", default="onnxruntime", show_default=True, help="See: list runtimes.")
@click.option("--text", help="Text, for hello and text.")
@click.option("--length", type=click.IntRange(0), default=80, help="Characters to go on for.")
@click.option("--csv", "csv", help="A CSV with a header, for weather and stocks.")
@click.option("--rows", type=click.IntRange(0), default=10, help="The last forecasts; 0: all.")
@click.option("--npz", "npz", help="One array per input, for any model.")
@click.option("--save", help="With --npz: write the outputs to this .npz.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=int, help="Inside one operation.")
@as_json
def run(
    bundle: str, runtime: str, device: str, threads: int | None, as_json: bool, **feed: Any
) -> None:
    """Feed text, a CSV or an .npz to a BUNDLE in one runtime, and print what it says."""
    from rnnbench.answer import Feed, answer
    from rnnbench.bundle import Bundle
    from rnnbench.run import start

    said = answer(start(Bundle.open(bundle), runtime, device=device, threads=threads), Feed(**feed))
    for line in said.notes:
        note(line)
    if as_json:
        print_json(said.values)
    else:
        click.echo(said.text)


@cli.command()
@click.argument("names", metavar="[elman | gru | lstm]...", nargs=-1)
@click.option("--runtime", "runtimes", multiple=True, help="eager, torchscript, onnxruntime.")
@click.option("--device", "devices", multiple=True, help="cpu, cuda; those that there are.")
@click.option("--hidden", default="32,128", show_default=True, help="Sizes of the state.")
@click.option("--batch", default="1", show_default=True, help="Batch sizes.")
@click.option("--time", "times", default="32", show_default=True, help="Steps.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Short and less exact.")
@as_json
def bench(
    names: tuple[str, ...],
    runtimes: tuple[str, ...],
    devices: tuple[str, ...],
    hidden: str,
    batch: str,
    times: str,
    threads: int,
    quick: bool,
    as_json: bool,
) -> int:
    """Measure cell loops against fused layers in every runtime (pytest-benchmark)."""
    from rnnbench.bench import Plan, format_results, numbers, run_suite

    plan = Plan(
        cells=names,
        runtimes=runtimes,
        devices=devices,
        hidden=numbers("hidden", hidden),
        batch=numbers("batch", batch),
        time=numbers("time", times),
        threads=threads,
        quick=quick,
    )
    results = run_suite(plan)
    if as_json:
        print_json(results.to_json())
    else:
        click.echo(format_results(results))
    return FINE if results.ok else DIFFERS

"""`bench`: cell loops against fused layers."""

from __future__ import annotations

import click

from rnnbench.commands import DIFFERS, FINE, as_json
from rnnbench.console import print_json


@click.command()
@click.argument("names", metavar="[elman | gru | lstm]...", nargs=-1)
@click.option("--runtime", "runtimes", multiple=True, help="eager, torchscript, onnxruntime.")
@click.option("--device", "devices", multiple=True, help="cpu, cuda; those that there are.")
@click.option("--hidden", default="32,128", show_default=True, help="Sizes of the state.")
@click.option("--batch", default="1", show_default=True, help="Batch sizes.")
@click.option("--time", "times", default="32", show_default=True, help="Steps.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Short and less exact.")
@as_json
def command(
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

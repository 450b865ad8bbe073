"""`optimize`: writes an ONNX file that computes the same, its recurrences as fused operators."""

from __future__ import annotations

import click

from rnnbench.commands._console import print_json, say
from rnnbench.commands._files import number, pairs
from rnnbench.commands._options import FINE, as_json, option, verb
from rnnbench.core.documents import document


@verb(
    "Make the recurrences of an ONNX file fused operators.",
    "rnnbench optimize model.onnx -o better.onnx",
    "rnnbench optimize model.onnx -o better.onnx --for tract  # as tract runs it",
    "rnnbench optimize vad.onnx -o better.onnx --set sr=16000  # a number",
    "rnnbench optimize model.onnx -o better.onnx --json  # the table as JSON",
)
@click.argument("file", metavar="FILE")
@option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=N",
    help="An input that is a number, as sr=16000: it is written down, and an input no longer.",
    group="Of a file",
)
@option(
    "--for",
    "engine",
    metavar="RUNTIME",
    help="In the form that it runs, as of export: portable, tract, onnxruntime==1.17 ...",
    group="Output",
)
@option("-o", "--out", metavar="FILE", required=True, help="The new file.", group="Output")
@as_json
def command(file: str, out: str, values: tuple[str, ...], engine: str | None, as_json: bool) -> int:
    """Write an ONNX FILE that computes the same, its loops as RNN, GRU or LSTM nodes.

    The given FILE stays as it is. What is rewritten is proved by running both; what cannot be is
    left, and the table says why. Where nothing can be improved the new file is a copy.
    """
    from rnnbench.verbs import optimize

    given = {name: number(value, "set") for name, value in pairs(values, "set")}
    report = optimize(file, out, values=given, profile=engine)
    if as_json:
        print_json(document("optimize", report.to_json(), ok=True))
    else:
        say(str(report))
    return FINE

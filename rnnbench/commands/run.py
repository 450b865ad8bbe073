"""`run`: one bundle on text, a CSV or arrays."""

from __future__ import annotations

from typing import Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import as_json, trust_code
from rnnbench.core.documents import document


@click.command(short_help="Run a bundle on text, a CSV or an .npz.")
@click.argument("bundle")
@click.option("--runtime", default="onnxruntime", show_default=True, help="See: list runtimes.")
@click.option("--text", help="Text, for hello and text.")
@click.option("--length", type=click.IntRange(0), default=80, help="Characters to go on for.")
@click.option("--csv", "csv", help="A CSV with a header, for weather and stocks.")
@click.option("--rows", type=click.IntRange(0), default=10, help="The last forecasts; 0: all.")
@click.option("--npz", "npz", help="One array per input, as check --save-failures writes too.")
@click.option("--save", help="With --npz: write the outputs to this .npz.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=int, help="Inside one operation.")
@trust_code
@as_json
def command(
    bundle: str,
    runtime: str,
    device: str,
    threads: int | None,
    trust_code: bool,
    as_json: bool,
    **feed: Any,
) -> None:
    """Feed text, a CSV or an .npz to a BUNDLE in one runtime, and print what it says."""
    from rnnbench.core.bundle import Bundle
    from rnnbench.runtimes.predict import started_apart
    from rnnbench.runtimes.predictions import PredictInput, answer

    opened = Bundle.open(bundle, trust_code=trust_code)
    with started_apart(opened, runtime, device=device, threads=threads) as session:
        said = answer(session, PredictInput(**feed))
    for line in said.notes:
        note(line)
    if as_json:
        print_json(document("run", said.values))
    else:
        say(said.text)

"""`run`: one bundle on text, a CSV or arrays."""

from __future__ import annotations

from typing import Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import as_json, trust_code
from rnnbench.core.documents import document


@click.command(short_help="Run a bundle on text, a CSV, a sound.")
@click.argument("bundle")
@click.option("--runtime", default="onnxruntime", show_default=True, help="See: list runtimes.")
@click.option("--text", help="Text, for hello and text.")
@click.option("--length", type=click.IntRange(0), default=80, help="Characters to go on for.")
@click.option("--csv", "csv", help="A CSV with a header: a step a row.")
@click.option("--columns", metavar="A,B,C", help="Of the CSV, in their order.  [default: numbers]")
@click.option("--rows", type=click.IntRange(0), default=10, help="The last rows; 0: all.")
@click.option("--wav", help="A sound (PCM), for a model of samples or of frames of samples.")
@click.option("--npz", "npz", help="One array per input, as check --save-failures writes too.")
@click.option("--save", help="Write the outputs: .npz; .csv of a CSV; .wav of a sound.")
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
    """Feed text, a CSV, a sound or an .npz to a BUNDLE in one runtime, and print what it says."""
    from rnnbench.core.bundle import Bundle
    from rnnbench.runtimes.predicting import PredictInput, answer
    from rnnbench.runtimes.predicting.tasks import started_apart

    opened = Bundle.open(bundle, trust_code=trust_code)
    with started_apart(opened, runtime, device=device, threads=threads) as session:
        said = answer(session, PredictInput(**feed))
    for line in said.notes:
        note(line)
    if as_json:
        print_json(document("run", said.values))
    else:
        say(said.text)

"""`run`: one bundle on text, a CSV or arrays."""

from __future__ import annotations

from typing import Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._files import NAMES, bundles, file_options
from rnnbench.commands._options import as_json, completes, option, trust_code, verb
from rnnbench.core.documents import document


@verb(
    "Run a bundle on text, a CSV, a sound.",
    "rnnbench run exports/hello-gru --text hello",
    "rnnbench run exports/Net --csv days.csv --columns low,high --save out.csv",
    "rnnbench run exports/Denoiser --wav noisy.wav --save clean.wav",
    "rnnbench run exports/Net --npz inputs.npz --runtime torchscript",
)
@click.argument("bundle")
@option(
    "--runtime",
    default="onnxruntime",
    show_default=True,
    help="See: list runtimes.",
    group="Runtime",
    shell_complete=completes("runtimes"),
)
@option("--text", help="Text, for hello and text.", group="Input")
@option(
    "--length", type=click.IntRange(0), default=80, help="Characters to go on for.", group="Input"
)
@option("--csv", "csv", help="A CSV with a header: a step a row.", group="Input")
@option(
    "--columns",
    metavar="A,B,C",
    help="Of the CSV, in their order.  [default: numbers]",
    group="Input",
)
@option(
    "--rows",
    type=click.IntRange(0),
    help="The last rows; 0: all.  [default: 10; --json: all]",
    group="Input",
)
@option(
    "--wav", help="A sound (PCM), for a model of samples or of frames of samples.", group="Input"
)
@option(
    "--npz", "npz", help="One array per input, as check --save-failures writes too.", group="Input"
)
@option("--save", help="Write the outputs: .npz; .csv of a CSV; .wav of a sound.", group="Output")
@option("--device", default="cpu", show_default=True, group="Runtime")
@option("--threads", type=click.IntRange(1), help="Inside one operation.", group="Runtime")
@option(
    "--format",
    "format",
    help="Of the artifact that runs.  [default: the runtime's first]",
    group="Runtime",
    shell_complete=completes("formats"),
)
@trust_code
@file_options
@as_json
def command(
    bundle: str,
    runtime: str,
    device: str,
    threads: int | None,
    format: str | None,
    trust_code: bool,
    as_json: bool,
    **feed: Any,
) -> None:
    """Feed text, a CSV, a sound or an .npz to a BUNDLE in one runtime, and print what it says."""
    from rnnbench.core.bundle import Bundle
    from rnnbench.runtimes.predicting import PredictInput, answer
    from rnnbench.runtimes.predicting.tasks import started_apart

    if as_json and feed["rows"] is None:
        feed["rows"] = 0
    inputs = {name: feed.pop(name) for name in NAMES}
    with bundles((bundle,), inputs) as (found,):
        opened = Bundle.open(found, trust_code=trust_code)
        with started_apart(opened, runtime, format, device=device, threads=threads) as session:
            said = answer(session, PredictInput(**feed))
    for line in said.notes:
        note(line)
    if as_json:
        print_json(document("run", said.values))
    else:
        say(said.text)

"""`train`: variants on a task."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.commands._console import Progress, note, print_json, print_table
from rnnbench.commands._options import RUNS, as_json, completes, option, training_options, verb
from rnnbench.core import plugins
from rnnbench.core.documents import document
from rnnbench.core.tables import without_empty


@verb(
    "Train variants on a task.",
    "rnnbench train gru lstm --task weather       # errors beside those of a baseline",
    "rnnbench train --task text --epochs 3        # every variant",
)
@click.argument("names", metavar="[VARIANT]...", nargs=-1, shell_complete=completes("variants"))
@training_options
@option(
    "--runs", default=RUNS, show_default=True, help="Folder of the checkpoints.", group="Training"
)
@option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="From a checkpoint.",
    group="Training",
)
@as_json
def command(names: tuple[str, ...], as_json: bool, runs: str, resume: bool, **options: Any) -> None:
    """Train VARIANTs (all unless given) on a task, and show their errors beside a baseline's.

    The weights stay in a checkpoint; `export` continues from it.
    """
    from rnnbench.commands._pipeline import TrainingOptions, check_task, train_one
    from rnnbench.models import variants
    from rnnbench.models.training.metrics import metric_rows

    for name in names:
        variants.describe(name)
    check_task(options["task"])
    own = tuple(dict.fromkeys(plugins.canonical("variants", name) for name in names))
    wanted = own or variants.names()
    training = TrainingOptions(
        **options, runs=Path(runs), resume=resume, progress=sys.stderr.isatty() and len(wanted) == 1
    )
    progress = Progress(len(wanted))
    trained = []
    for name in wanted:
        progress.on_start(f"{training.task}-{name}")
        trained.append(train_one(name, training, progress.on_progress))
        progress.on_end("trained")
    if as_json:
        rows = [{"model": t.model.name, "metrics": t.metrics} for t in trained]
        print_json(document("train", {"models": rows}))
        return
    print_table(
        *without_empty(
            ["model", "metric", "value", "baseline"],
            [(t.model.name, *row) for t in trained for row in metric_rows(t.metrics)],
        )
    )
    left = [shlex.quote(str(training.checkpoint(name))) for name in wanted]
    note(f"next: rnnbench export {' '.join(left)}")

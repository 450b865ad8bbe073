"""A CSV through a network of a task of columns: the forecast after each row."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.tables import format_table
from rnnbench.core.whole import write_file
from rnnbench.runtimes.predicting.answers import Answer
from rnnbench.runtimes.predicting.series import last_rows
from rnnbench.runtimes.predicting.tasks import Forecast, run_csv
from rnnbench.runtimes.session import Session


def forecasts_answer(session: Session, path: Path, last: int | None, save: str | None) -> Answer:
    """The forecast after each row of a CSV that has the task's window before it.

    Args:
        session: of a bundle that a task made.
        path: the CSV.
        last: see `last_rows`.
        save: a CSV that all forecasts are written to.

    Raises:
        RnnbenchError: the bundle does not read columns, the file lacks one, or the forecasts are
            to be written as something else than a CSV.
    """
    found = run_csv(session, path)
    target = session.bundle.metadata["target"]
    named = any(forecast.symbol for forecast in found)
    printed, given, notes = last_rows(len(found), last)
    header = [*(["symbol"] if named else []), "after"]
    header += [f"next {target['column']} ({target['unit']})", "it was"]
    if save is not None:
        _write(Path(save), header, [_cells(f, named, "{!r}") for f in found])
        notes = (f"{len(found)} forecasts written to {save}",)
    return Answer(
        format_table(header, [_cells(found[i], named, "{:.2f}") for i in printed]),
        {
            "target": target["column"],
            "unit": target["unit"],
            "rows": [asdict(found[i]) for i in given],
        },
        notes,
    )


def _cells(forecast: Forecast, named: bool, form: str) -> list[str]:
    actual = "" if forecast.actual is None else form.format(forecast.actual)
    symbol = [forecast.symbol] if named else []
    return [*symbol, forecast.after, form.format(forecast.value), actual]


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    if path.suffix != ".csv":
        raise RnnbenchError(f"--save {path}: forecasts are written as .csv")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([header, *rows])
    write_file(path, buffer.getvalue().encode(), "give another --save")

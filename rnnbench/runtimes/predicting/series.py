"""A table or a sound through a model that takes a sequence of numbers: what is said of it."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.documents import plain
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.tables import format_table
from rnnbench.core.whole import write_file
from rnnbench.runtimes.predicting.answers import Answer, facts_of, save_arrays, summary
from rnnbench.runtimes.predicting.signals import by_step, feed, layout_of
from rnnbench.runtimes.predicting.sound import frames_of, read_wav, sound_of, write_wav
from rnnbench.runtimes.predicting.tables import chosen_columns, column_of, read_table
from rnnbench.runtimes.session import Session

_SHOWN = 8  # columns of outputs that are a table; more are said by their ranges
_SAVE = "--save FILE.csv writes them"
_ROWS = 10  # that are printed unless said otherwise


def last_rows(count: int, asked: int | None) -> tuple[range, range, tuple[str, ...]]:
    """The rows that are printed, those that a program gets, and the note on those left out.

    Args:
        count: how many there are.
        asked: the last so many; 0 is all; None is the last few for people, and all for programs.
    """

    def last(most: int) -> range:
        return range(max(0, count - most) if most else 0, count)

    printed = last(_ROWS if asked is None else asked)
    hidden = f"the last {len(printed)} of {count} rows; --rows 0 shows all"
    notes = (hidden,) if len(printed) < count else ()
    return printed, last(asked or 0), notes


def table_answer(
    session: Session, path: Path, columns: str | None, last: int | None, save: str | None
) -> Answer:
    """A row of outputs for each row of a CSV, beside what it had.

    Args:
        session: of the bundle.
        path: the CSV.
        columns: that are fed, with commas between; else all that hold numbers.
        last: see `last_rows`.
        save: a file that all rows are written to.
    """
    layout = layout_of(session.bundle)
    header, rows = read_table(path)
    used = chosen_columns(layout, header, rows, columns)
    numbers = np.stack([column_of(header, rows, name) for name in used], axis=1)
    outputs = feed(session, layout, numbers[:, np.newaxis])
    steps = by_step(layout, outputs, len(rows), 1)
    said = {n: column for y, array in steps.items() for n, column in _named(y, array, used, header)}
    count = min([len(rows), *map(len, said.values())])
    others = [summary((n, a)) for n, a in outputs.items() if n not in steps]
    # A bundle has no names for what a step holds: who gave no --columns sees what was taken.
    order = ", ".join(used if len(used) <= _SHOWN else [*used[:2], "...", used[-1]])
    fed = () if columns else (f"{layout.spec.name} is fed {order}, in this order",)
    if save is not None:
        if Path(save).suffix == ".npz":
            save_arrays(outputs, Path(save))
        else:
            _save_table(Path(save), header, rows[:count], said)
        text = "\n".join(map(summary, outputs.items()))
        facts = {name: facts_of(array) for name, array in outputs.items()}
        return Answer(text, {"columns": used, "outputs": facts}, (*fed, f"written to {save}"))
    printed, given, hidden = last_rows(count, last)
    values = {
        "columns": used,
        "rows": {name: plain([column[i].item() for i in given]) for name, column in said.items()},
        "outputs": {n: facts_of(a) for n, a in outputs.items() if n not in steps},
    }
    if not said or len(said) > _SHOWN:
        return Answer("\n".join(map(summary, outputs.items())), values, (*fed, _SAVE))
    first = next((i for i, name in enumerate(header) if name not in used), None)
    table = format_table(
        [header[first] if first is not None else "row", *said],
        [
            [
                rows[i][first] if first is not None else str(i + 1),
                *(f"{c[i]:.6g}" for c in said.values()),
            ]
            for i in printed
        ],
    )
    return Answer(table, values, (*others, *fed, *hidden))


def _named(
    y: str, array: NDArray[Any], used: list[str], header: list[str]
) -> list[tuple[str, NDArray[Any]]]:
    """An output's channels: by the columns where there is one for each, else by number.

    No name is one that the CSV has already.
    """
    channels = array[:, 0]  # [step, channel]
    count = channels.shape[1]
    channel = used if count == len(used) else [str(i) for i in range(count)]
    names = [y] if count == 1 else [f"{y}[{name}]" for name in channel]
    while set(names) & set(header):
        names = [f"{name} (output)" for name in names]
    return [(name, channels[:, i]) for i, name in enumerate(names)]


def _save_table(
    path: Path, header: list[str], rows: list[list[str]], said: dict[str, NDArray[Any]]
) -> None:
    """The CSV as it was, and the outputs in further columns."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*header, *said])
    for i, row in enumerate(rows):
        writer.writerow([*row, *(repr(column[i].item()) for column in said.values())])
    write_file(path, buffer.getvalue().encode(), "give another --save")


def sound_answer(session: Session, path: Path, save: str | None) -> Answer:
    """A sound through a model: its outputs' ranges; written as sound where they are one."""
    samples, rate = read_wav(path)
    layout = layout_of(session.bundle)
    signal = frames_of(layout, samples, rate)
    start = time.perf_counter()
    outputs = feed(session, layout, signal)
    seconds, length = time.perf_counter() - start, len(samples) / rate
    notes = [f"{length:.2f} s at {rate} Hz in {seconds:.2g} s: {seconds / length:.2g} of real time"]
    if save is not None and Path(save).suffix == ".npz":
        save_arrays(outputs, Path(save))
        notes.append(f"written to {save}")
    elif save is not None:
        steps = by_step(layout, outputs, len(signal), samples.shape[1])
        sounds = {n: sound_of(layout, a, len(samples)) for n, a in steps.items()}
        name, heard = next(((n, s) for n, s in sounds.items() if s is not None), ("", None))
        if heard is None:
            raise RnnbenchError(
                f"no output of {session.bundle.name} is a sound of {rate} Hz: give --save FILE.npz"
            )
        cut = write_wav(Path(save), heard, rate)
        notes.append(f"{name} written to {save}" + (": cut off at -1 and 1" if cut else ""))
    text = "\n".join(map(summary, outputs.items()))
    facts = {name: facts_of(array) for name, array in outputs.items()}
    return Answer(text, {"seconds": seconds, "outputs": facts}, tuple(notes))

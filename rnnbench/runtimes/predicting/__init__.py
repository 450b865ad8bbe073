"""What `run` prints: the words, forecasts or arrays that came out, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnbench.core.documents import plain
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.runtimes.predicting.answers import Answer, facts_of, save_arrays, summary
from rnnbench.runtimes.predicting.forecasts import forecasts_answer
from rnnbench.runtimes.predicting.series import sound_answer, table_answer
from rnnbench.runtimes.predicting.tasks import run_npz, run_text
from rnnbench.runtimes.session import Session


@dataclass(frozen=True)
class PredictInput:
    """What is fed, exactly one of the first four, and how much of the answer is shown.

    Attributes:
        text: characters of the task's alphabet.
        csv: a file with a header.
        npz: a file with one array per input.
        wav: a sound.
        columns: of the CSV, with commas between: what a step of the input holds.
        length: the characters that a text is continued by.
        rows: the last rows to give; 0 gives all. Unless said, 10 are printed and all are values.
        save: a file that the outputs are written to: .npz, .csv of a CSV, .wav of a sound.
    """

    text: str | None = None
    csv: str | None = None
    npz: str | None = None
    wav: str | None = None
    columns: str | None = None
    length: int = 80
    rows: int | None = None
    save: str | None = None


def answer(session: Session, feed: PredictInput) -> Answer:
    """Runs the artifact on what is fed.

    Raises:
        RnnbenchError: nothing or several things are fed, or they do not fit the bundle.
    """
    given = [o for o in ("text", "csv", "npz", "wav") if getattr(feed, o) is not None]
    if len(given) != 1:
        raise RnnbenchError(
            f"{' and '.join(f'--{g}' for g in given) or 'nothing'} given: "
            "give exactly one of --text, --csv, --npz, --wav"
        )
    _check_save(feed, given[0])
    if feed.columns is not None and feed.csv is None:
        raise RnnbenchError(
            f"--columns {feed.columns} chooses columns of --csv: give --csv as well"
        )
    if feed.text is not None:
        said = run_text(session, feed.text, feed.length)
        return Answer(said, {"text": feed.text, "answer": said})
    if feed.wav is not None:
        return sound_answer(session, Path(feed.wav), feed.save)
    if feed.csv is not None:
        # Raw columns would be fed as they are, where those of a task are normalised first.
        if {"columns", "alphabet"} & session.bundle.metadata.keys() and feed.columns is None:
            return forecasts_answer(session, Path(feed.csv), feed.rows, feed.save)
        own = session.bundle.metadata.get("columns")
        if own:
            raise RnnbenchError(
                f"{session.bundle.name} takes the columns {', '.join(own)} by their names: leave "
                "--columns out"
            )
        return table_answer(session, Path(feed.csv), feed.columns, feed.rows, feed.save)
    outputs, notes = run_npz(session, Path(feed.npz or ""))
    return _arrays(outputs, feed.save, notes)


def _check_save(feed: PredictInput, given: str) -> None:
    """Raises where the outputs of what is given are not written in that form."""
    if feed.save is None:
        return
    suffixes = {"npz": [], "csv": [".csv", ".npz"], "wav": [".wav", ".npz"]}.get(given)
    if suffixes is None:
        raise RnnbenchError(
            f"--save {feed.save} writes the outputs of --npz, --csv or --wav: give one of them"
        )
    if suffixes and Path(feed.save).suffix not in suffixes:
        raise RnnbenchError(
            f"--save {feed.save}: the outputs of --{given} are written as {' or '.join(suffixes)}"
        )


def _arrays(outputs: Arrays, save: str | None, notes: tuple[str, ...]) -> Answer:
    if save is not None:
        save_arrays(outputs, Path(save))
        return Answer(
            "\n".join(map(summary, outputs.items())),
            {"outputs": {name: facts_of(array) for name, array in outputs.items()}},
            (*notes, f"written to {save}"),
        )
    blocks = [
        f"{name} {array.dtype}{list(array.shape)}\n{np.array2string(array, precision=6)}"
        for name, array in outputs.items()
    ]
    values = {
        name: {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "values": plain(array.tolist()),
        }
        for name, array in outputs.items()
    }
    return Answer("\n".join(blocks), {"outputs": values}, notes)

"""What `run` prints: the words, forecasts or arrays that came out, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.core.documents import plain
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.core.tables import format_table
from rnnbench.core.whole import whole_file
from rnnbench.runtimes.predict import Forecast, run_csv, run_npz, run_text
from rnnbench.runtimes.session import Session


@dataclass(frozen=True)
class PredictInput:
    """What is fed, exactly one of the first three, and how much of the answer is shown.

    Attributes:
        text: characters of the task's alphabet.
        csv: a file with a header.
        npz: a file with one array per input.
        length: the characters that a text is continued by.
        rows: the last forecasts to show; 0 shows all.
        save: an .npz that the outputs are written to.
    """

    text: str | None = None
    csv: str | None = None
    npz: str | None = None
    length: int = 80
    rows: int = 10
    save: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came out.

    Attributes:
        text: for people.
        values: the same for programs, as JSON values.
        notes: remarks that are not part of the answer.
    """

    text: str
    values: Any
    notes: tuple[str, ...] = ()


def answer(session: Session, feed: PredictInput) -> Answer:
    """Runs the artifact on what is fed.

    Raises:
        RnnbenchError: nothing or several things are fed, or they do not fit the bundle.
    """
    given = [option for option in ("text", "csv", "npz") if getattr(feed, option) is not None]
    if len(given) != 1:
        raise RnnbenchError(
            f"{' and '.join(f'--{g}' for g in given) or 'nothing'} given: "
            "give exactly one of --text, --csv, --npz"
        )
    if feed.save is not None and feed.npz is None:
        raise RnnbenchError(f"--save {feed.save} writes the outputs of --npz: give --npz as well")
    if feed.text is not None:
        said = run_text(session, feed.text, feed.length)
        return Answer(said, {"text": feed.text, "answer": said})
    if feed.csv is not None:
        return _forecasts(session, run_csv(session, Path(feed.csv)), feed.rows)
    return _arrays(run_npz(session, Path(feed.npz or "")), feed.save)


def _forecasts(session: Session, found: list[Forecast], last: int) -> Answer:
    target = session.bundle.metadata["target"]
    shown = found[-last:] if last else found
    named = any(forecast.symbol for forecast in shown)
    headers = [
        *(["symbol"] if named else []),
        "after",
        f"next {target['column']} ({target['unit']})",
    ]
    rows = [
        [
            *([f.symbol] if named else []),
            *(f.after, f"{f.value:.2f}", "" if f.actual is None else f"{f.actual:.2f}"),
        ]
        for f in shown
    ]
    hidden = len(found) - len(shown)
    notes = (f"the last {len(shown)} of {len(found)} forecasts; --rows 0 shows all",)
    return Answer(
        format_table([*headers, "it was"], rows),
        {"target": target["column"], "unit": target["unit"], "rows": [asdict(f) for f in shown]},
        notes if hidden else (),
    )


def _arrays(outputs: Arrays, save: str | None) -> Answer:
    if save is not None:
        _save(outputs, Path(save))
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
    return Answer("\n".join(blocks), {"outputs": values}, (f"written to {save}",) if save else ())


def _save(outputs: Arrays, path: Path) -> None:
    """Writes all or nothing: a file that was there stays until the new one is whole."""
    with whole_file(path, "give another --save") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]

"""Feeds text, a CSV or an .npz to an artifact, and reads what it says.

All that is needed stands in the bundle's manifest: the alphabet, the columns, the normalisation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnbench import runtimes
from rnnbench.cases.feeding import UNREADABLE, read_inputs
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.models.task import (
    decode_text,
    decode_values,
    encode_columns,
    encode_text,
    returns,
    says_how_to_forecast,
    says_its_letters,
)
from rnnbench.runtimes.predicting.tables import numbers, read_table
from rnnbench.runtimes.session import Session, load, loaded_apart


@dataclass(frozen=True)
class Forecast:
    """What a network says after one row of a CSV.

    Attributes:
        after: the row's date, or its number, counted from 1.
        symbol: whose series it is, where the file has several.
        value: the forecast of the next row, in the task's unit.
        actual: what the next row says; None after the last one.
    """

    after: str
    symbol: str
    value: float
    actual: float | None


def start(
    bundle: Bundle, runtime: str, *, device: str = "cpu", threads: int | None = None
) -> Session:
    """The bundle's artifact that a runtime runs, loaded into it.

    Raises:
        RnnbenchError: there is no such runtime, or the bundle holds nothing for it.
    """
    return load(bundle, _format(bundle, runtime), runtime, device=device, threads=threads)


def started_apart(
    bundle: Bundle,
    runtime: str,
    format: str | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> AbstractContextManager[Session]:
    """The same in a process of its own, that ends with the block; of a format if given."""
    format = format or _format(bundle, runtime)
    return loaded_apart(bundle, format, runtime, device=device, threads=threads)


def _format(bundle: Bundle, runtime: str) -> str:
    formats = runtimes.get(runtime).formats
    able = [f for f in formats if f == "eager" or f in bundle.artifacts]
    if not able:
        raise RnnbenchError(
            f"{bundle.name} holds {', '.join(bundle.artifacts) or 'no artifact'}, and {runtime} "
            f"runs {', '.join(formats)}: export that format, or choose another --runtime"
        )
    return able[0]


def run_text(session: Session, text: str, length: int = 80) -> str:
    """What the network says to a text.

    Where the task has an answer to each character, those; else the text and its most likely
    continuation by `length` characters.

    Raises:
        RnnbenchError: the bundle is not about text, or the text does not fit its alphabet.
    """
    bundle, metadata = session.bundle, session.bundle.metadata
    if "alphabet" not in metadata:
        raise RnnbenchError(f"{bundle.name} has no alphabet: give {_expected(bundle)}")
    if not text:
        raise RnnbenchError("the text is empty: give one character or more")
    _refuse_metadata(bundle, says_its_letters(metadata))
    state = session.zero_states({bundle.batch_dim: 1})
    scores, state = _read(session, text, state)
    if "answer" in metadata:
        return decode_text(metadata, scores)
    for _ in range(length):
        text += decode_text(metadata, scores[-1:])
        # Without states the whole text is read again: the network has to see it from the start.
        scores, state = _read(session, text[-1] if bundle.states else text, state)
    return text


def run_csv(session: Session, path: Path) -> list[Forecast]:
    """The forecast after each row of a CSV that has `window` rows before it.

    A file with several series (a column `symbol`) is read series by series. Fewer rows than the
    window give one forecast, after the last.

    Raises:
        RnnbenchError: the bundle does not read columns, or the file lacks one.
    """
    bundle = session.bundle
    if "columns" not in bundle.metadata:
        raise RnnbenchError(f"{bundle.name} does not read columns: give {_expected(bundle)}")
    _refuse_metadata(bundle, says_how_to_forecast(bundle.metadata))
    series: dict[str, list[dict[str, str]]] = {}
    header, table = read_table(path)
    for row in (dict(zip(header, cells, strict=True)) for cells in table):
        series.setdefault(row.get("symbol") or "", []).append(row)
    return [f for symbol, rows in series.items() for f in _forecast(session, symbol, rows)]


def run_npz(session: Session, path: Path) -> tuple[Arrays, tuple[str, ...]]:
    """The outputs for the arrays in an .npz, or in one of `check --save-failures`, and remarks.

    States that are not in it are zero.

    Raises:
        RnnbenchError: the file cannot be read, or its arrays are not the model's inputs.
    """
    bundle = session.bundle
    try:
        arrays = read_inputs(path)
    except UNREADABLE as error:
        raise RnnbenchError(
            f"cannot read {path} ({one_line(error)}): give an .npz with one array per input, "
            f"{', '.join(spec.name for spec in bundle.inputs)}"
        ) from None
    counts = {n: a.size - np.isfinite(a).sum() for n, a in arrays.items() if a.dtype.kind == "f"}
    notes = tuple(
        f"{name} holds {count} values that are not finite, which runtimes answer differently: "
        "ONNX Runtime's LSTM and GRU with ordinary numbers"
        for name, count in counts.items()
        if count
    )
    return session(session.zero_states(_dims(bundle, arrays)) | arrays), notes


def _read(session: Session, text: str, state: Arrays) -> tuple[NDArray[Any], Arrays]:
    """Scores [time, class] for a text that follows `state`, and the state after it."""
    bundle = session.bundle
    ids = encode_text(bundle.metadata, text)
    spec = _data(bundle)
    if spec.dtype.startswith("int"):
        features: NDArray[Any] = ids[:, np.newaxis].astype(spec.dtype)
    else:
        features = np.eye(len(bundle.metadata["alphabet"]), dtype=spec.dtype)[ids][:, np.newaxis]
    outputs = session({spec.name: _time_first(bundle, spec, features), **state})
    following = state | {name: outputs[output] for name, output in bundle.states.items()}
    scores = _time_first(bundle, spec, outputs[bundle.outputs[0]])
    return scores[:, 0], following


def _forecast(session: Session, symbol: str, rows: list[dict[str, str]]) -> list[Forecast]:
    bundle, metadata = session.bundle, session.bundle.metadata
    columns = {
        name: numbers(name, [row[name] for row in rows])
        for name in metadata["columns"]
        if name in rows[0]
    }
    features = encode_columns(metadata, columns)  # [time, feature]
    lost = len(rows) - len(features)  # a return needs the row before
    if len(features) == 0:
        raise RnnbenchError(f"{len(rows)} rows are too few: {bundle.name} needs {lost + 1} or more")
    window = min(int(metadata["window"]), len(features))
    ends = np.arange(window, len(features) + 1)
    steps = np.stack([features[end - window : end] for end in ends], axis=1)
    spec = _data(bundle)
    dims = {bundle.batch_dim: len(ends)}
    inputs = {spec.name: _time_first(bundle, spec, steps), **session.zero_states(dims)}
    y = _time_first(bundle, spec, session(inputs)[bundle.outputs[0]])
    values = decode_values(metadata, y[-1, :, 0])
    actual = _actual(metadata, columns)
    return [
        Forecast(
            after=rows[end + lost - 1].get("date") or str(end + lost),
            symbol=symbol,
            value=float(value),
            actual=float(actual[end]) if end < len(actual) else None,
        )
        for end, value in zip(ends, values, strict=True)
    ]


def _actual(metadata: dict[str, Any], columns: dict[str, NDArray[np.float64]]) -> NDArray[Any]:
    """What was to be forecast [time], one step per feature."""
    if metadata.get("transform") == "return":
        return returns(columns[metadata["columns"][0]][:, np.newaxis])[:, 0]
    return columns[metadata["target"]["column"]]


def _refuse_metadata(bundle: Bundle, wrong: str) -> None:
    """Refuses a bundle whose manifest may come from anywhere, and says something else there."""
    if wrong:
        raise RnnbenchError(
            f"the metadata of {bundle.name} are damaged ({wrong}): export the model again"
        )


def _data(bundle: Bundle) -> TensorSpec:
    return next(spec for spec in bundle.inputs if spec.role == "data")


def _time_first(bundle: Bundle, spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """[time, batch, ...] <-> the model's own order, which is that or [batch, time, ...]."""
    time, batch = spec.shape.index(bundle.time_dim), spec.shape.index(bundle.batch_dim)
    return array if time < batch else np.ascontiguousarray(array.swapaxes(0, 1))


def _dims(bundle: Bundle, arrays: Arrays) -> dict[str, int]:
    """The sizes of the dynamic dimensions, as the given arrays show them; 1 for the others."""
    dims = {name: dim.fit(1) for name, dim in bundle.dims.items()}
    for spec in bundle.inputs:
        array = arrays.get(spec.name)
        if array is not None and array.ndim == len(spec.shape):
            pairs = zip(spec.shape, array.shape, strict=True)
            dims |= {name: size for name, size in pairs if name in dims}
    return dims


def _expected(bundle: Bundle) -> str:
    """The option that feeds this bundle."""
    if "alphabet" in bundle.metadata:
        return "--text"
    return "--csv" if "columns" in bundle.metadata else "--npz"

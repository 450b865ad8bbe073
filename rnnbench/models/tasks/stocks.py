"""Next month's return of five stocks from the months before (MSFT to AAPL, 2000 to 2010)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from rnnbench.models.task import (
    Split,
    Task,
    encode_columns,
    errors,
    returns,
    vega_file,
    vega_missing,
    windows,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "stocks.csv"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WINDOW = 12
VALIDATION, TEST = 2007 * 12, 2008 * 12 + 6  # the months (counted from year 0) where they begin


def available() -> str | None:
    """None, or why there are no data."""
    return vega_missing(FILE)


def load() -> Task:
    """Split by time at the same months for every stock."""
    import numpy as np

    series = _read()
    train = [returns(prices[months < VALIDATION]) for months, prices in series.values()]
    metadata = _metadata(np.concatenate(train), list(series))
    changes = [returns(p)[m[1:] >= TEST] for m, p in series.values()]
    before = [returns(p)[:-1][m[2:] >= TEST] for m, p in series.values()]
    actual = np.concatenate(changes)
    return Task(
        name="stocks",
        kind="regress",
        train=_split(series, metadata, 0, VALIDATION),
        validation=_split(series, metadata, VALIDATION, TEST),
        test=_split(series, metadata, TEST, 10**6),
        input_size=1,
        output_size=1,
        metadata=metadata,
        baseline=errors("baseline_", actual)  # the same price as the last: a return of 0
        | errors("baseline_last_return_", np.concatenate(before) - actual),
        hidden_size=16,
        epochs=30,
        quick_epochs=3,
        batch_size=32,
        learning_rate=0.003,
        scored="last",
    )


def _read() -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Stock -> its months [time] and its prices [time], in the order of time."""
    import numpy as np

    rows: dict[str, list[tuple[int, float]]] = {}
    with vega_file(FILE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            month, _, year = row["date"].split()  # "Jan 1 2000"; %b would depend on the locale
            when = int(year) * 12 + MONTHS.index(month)
            rows.setdefault(row["symbol"], []).append((when, float(row["price"])))
    return {
        symbol: (np.array([w for w, _ in sorted(s)]), np.array([p for _, p in sorted(s)]))
        for symbol, s in rows.items()
    }


def _split(
    series: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]],
    metadata: dict[str, Any],
    first: int,
    last: int,
) -> Split:
    """The windows of all stocks whose next month is in first..last-1."""
    import numpy as np

    found = []
    for months, prices in series.values():
        features = encode_columns(metadata, {"price": prices})
        start, end = np.searchsorted(months[1:], [first, last])
        found.append(windows(features, features, WINDOW, int(start), int(end)))
    return Split(
        np.concatenate([split.inputs for split in found]),
        np.concatenate([split.targets for split in found]),
    )


def _metadata(train: NDArray[np.float64], symbols: list[str]) -> dict[str, Any]:
    """What `run` needs; the normalisation is that of the training part."""
    mean, std = float(train.mean()), float(train.std())
    return {
        "task": "stocks",
        "columns": ["price"],
        "transform": "return",
        "mean": [mean],
        "std": [std],
        "target": {"column": "return", "mean": mean, "std": std, "unit": "%"},
        "window": WINDOW,
        "symbols": symbols,
        "baseline": "the same price as this month",
    }

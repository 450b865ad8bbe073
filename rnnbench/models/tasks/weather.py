"""Tomorrow's maximum temperature in Seattle from the weather of the days before (2012 to 2015)."""

from __future__ import annotations

import csv
from typing import Any

from rnnbench.models.task import Task, encode_columns, errors, vega_file, vega_missing, windows

FILE = "seattle-weather.csv"
COLUMNS = ["temp_max", "temp_min", "precipitation", "wind"]
WINDOW = 14
VALIDATION, TEST = "2014/01/01", "2015/01/01"  # where these parts begin


def available() -> str | None:
    """None, or why there are no data."""
    return vega_missing(FILE)


def load() -> Task:
    """Split by time: each part is forecast from the days before, also those of the part before."""
    import numpy as np

    with vega_file(FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dates = [row["date"] for row in rows]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}
    validation, test = dates.index(VALIDATION), dates.index(TEST)
    metadata = _metadata({name: column[:validation] for name, column in columns.items()})
    features = encode_columns(metadata, columns)
    values = features[:, :1]
    today, tomorrow = columns["temp_max"][test - 1 : -1], columns["temp_max"][test:]
    return Task(
        name="weather",
        kind="regress",
        train=windows(features, values, WINDOW, 0, validation),
        validation=windows(features, values, WINDOW, validation, test),
        test=windows(features, values, WINDOW, test, len(rows)),
        input_size=len(COLUMNS),
        output_size=1,
        metadata=metadata,
        baseline=errors("baseline_", today - tomorrow),
        hidden_size=32,
        epochs=30,
        quick_epochs=3,
        batch_size=32,
        learning_rate=0.003,
        scored="last",
    )


def _metadata(train: dict[str, Any]) -> dict[str, Any]:
    """What `run` needs; the normalisation is that of the training part."""
    mean = [float(column.mean()) for column in train.values()]
    std = [float(column.std()) for column in train.values()]
    return {
        "task": "weather",
        "columns": COLUMNS,
        "mean": mean,
        "std": std,
        "target": {"column": "temp_max", "mean": mean[0], "std": std[0], "unit": "°C"},
        "window": WINDOW,
        "baseline": "the same as today",
    }

"""Each task: its arrays as declared, in the order of time, and its texts and units to and fro."""

import csv
import json
import subprocess
import sys
from importlib import util

import numpy as np
import pytest

from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.models import task as task_module
from rnnbench.models import tasks
from rnnbench.models.task import decode_text, decode_values, encode_columns, encode_text, vega_file

NAMES = ("hello", "stocks", "text", "weather")


def test_every_task_is_there():
    assert tasks.names() == NAMES
    for name in NAMES:
        assert tasks.describe(name)
        assert "\n" not in tasks.describe(name)


def test_loading_needs_neither_torch_nor_pandas():
    code = (
        "import sys; from rnnbench.models import tasks; [tasks.load(n) for n in tasks.names()];"
        "sys.exit(bool({'torch', 'pandas', 'vega_datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_arrays_fit_the_declaration(name):
    task = tasks.load(name)
    assert task.name == name
    json.dumps(task.metadata, allow_nan=False)
    json.dumps(task.baseline, allow_nan=False)
    for split in (task.train, task.validation, task.test):
        assert len(split.inputs) == len(split.targets) > 0
        if task.kind == "classify":
            assert split.inputs.dtype == split.targets.dtype == np.int64
            assert split.inputs.shape == split.targets.shape
            assert 0 <= split.inputs.min() <= split.inputs.max() < task.input_size
        else:
            assert split.inputs.dtype == split.targets.dtype == np.float32
            assert split.inputs.shape[2] == task.input_size
            assert split.targets.shape[2] == task.output_size
            assert np.isfinite(split.inputs).all()


def test_hello():
    task = tasks.load("hello")
    assert (task.epochs, task.learning_rate, task.hidden_size, task.head) == (15, 0.1, 4, False)
    assert task.metadata["alphabet"] == "ehlo"
    scores = np.eye(4)[task.train.targets[0]]
    assert task.show(scores) == "ohlol"


def test_text_is_the_next_character_of_real_text_in_order():
    from pydoc_data.topics import topics

    task = tasks.load("text")
    alphabet = task.metadata["alphabet"]
    said = "".join(alphabet[i] for i in task.train.inputs[:2].ravel())
    assert topics[min(topics)].startswith(said[:60])
    for split in (task.train, task.validation, task.test):
        assert (split.inputs.ravel()[1:] == split.targets.ravel()[:-1]).all()
    assert 0.2 < task.baseline["baseline_accuracy"] < 0.6


def test_weather_is_split_by_time_with_the_error_of_the_last_value():
    task = tasks.load("weather")
    with vega_file("seattle-weather.csv").open() as file:
        rows = list(csv.DictReader(file))
    highs = np.array([float(row["temp_max"]) for row in rows])
    dates = [row["date"] for row in rows]
    targets = {
        part: decode_values(task.metadata, getattr(task, part).targets[:, -1, 0])
        for part in ("train", "validation", "test")
    }
    start, test = dates.index("2014/01/01"), dates.index("2015/01/01")
    window = task.metadata["window"]
    np.testing.assert_allclose(targets["train"], highs[window:start], atol=1e-5)
    np.testing.assert_allclose(targets["validation"], highs[start:test], atol=1e-5)
    np.testing.assert_allclose(targets["test"], highs[test:], atol=1e-5)
    # what is read ends the day before, and the baseline says that day's value again
    today = decode_values(task.metadata, task.test.inputs[:, -1, 0])
    np.testing.assert_allclose(today, highs[test - 1 : -1], atol=1e-5)
    expected = np.abs(today - targets["test"]).mean()
    assert task.baseline["baseline_mae"] == pytest.approx(expected, abs=1e-5)
    # normalised with numbers of the training part alone
    assert task.metadata["mean"][0] == pytest.approx(highs[:start].mean())


def test_stocks_are_split_at_the_same_months():
    task = tasks.load("stocks")
    with vega_file("stocks.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["symbol"] == "MSFT"]
    prices = np.array([float(row["price"]) for row in rows])
    changes = 100 * (prices[1:] / prices[:-1] - 1)
    first = next(i for i, row in enumerate(rows) if row["date"] == "Jul 1 2008")
    count = len(rows) - first
    actual = decode_values(task.metadata, task.test.targets[:count, -1, 0])
    np.testing.assert_allclose(actual, changes[first - 1 :], atol=1e-4)
    before = decode_values(task.metadata, task.test.inputs[:count, -1, 0])
    np.testing.assert_allclose(before, changes[first - 2 : -1], atol=1e-4)
    every = decode_values(task.metadata, task.test.targets[:, -1, 0])
    assert task.baseline["baseline_mae"] == pytest.approx(np.abs(every).mean(), abs=1e-4)


def test_text_to_ids_and_back():
    metadata = tasks.load("hello").metadata
    ids = encode_text(metadata, "hello")
    assert ids.tolist() == [1, 0, 2, 2, 3]
    assert decode_text(metadata, np.eye(4)[ids]) == "hello"
    with pytest.raises(RnnbenchError, match=r"'w' .* is not in the alphabet of hello: use e, h"):
        encode_text(metadata, "world")
    text = tasks.load("text").metadata
    assert decode_text(text, np.eye(96)[encode_text(text, "naïve")]) == "na?ve"


def test_columns_to_features():
    metadata = tasks.load("weather").metadata
    columns = {name: [1.0, 2.0] for name in metadata["columns"]}
    assert encode_columns(metadata, columns).shape == (2, 4)
    with pytest.raises(RnnbenchError, match="no column 'wind': there are temp_max"):
        encode_columns(metadata, {k: v for k, v in columns.items() if k != "wind"})
    with pytest.raises(RnnbenchError, match="finite numbers"):
        encode_columns(metadata, columns | {"wind": [1.0, float("nan")]})
    stocks = tasks.load("stocks").metadata
    returned = decode_values(stocks, encode_columns(stocks, {"price": [100.0, 110.0]}))
    np.testing.assert_allclose(returned, [[10.0]], atol=1e-5)


@pytest.mark.parametrize("name", ["weather", "stocks"])
def test_without_the_data_the_remedy_is_named(name, monkeypatch, tmp_path):
    monkeypatch.setattr(task_module.util, "find_spec", lambda package: None)
    with pytest.raises(Unavailable, match=r"pip install 'rnnbench\[tasks\]'") as error:
        task_module.vega_file("stocks.csv")
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    empty = util.spec_from_file_location("vega_datasets", tmp_path / "__init__.py")
    monkeypatch.setattr(task_module, "util", type("util", (), {"find_spec": lambda _: empty}))
    assert "installed without" in tasks.available(name)
    with pytest.raises(Unavailable, match=f"task '{name}'"):
        tasks.load(name)


@pytest.mark.parametrize("function", [tasks.load, tasks.describe, tasks.available])
def test_an_unknown_task_is_one_line(function):
    with pytest.raises(RnnbenchError, match="unknown task 'wheather': choose from hello, stocks"):
        function("wheather")

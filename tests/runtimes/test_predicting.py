"""`run`: what is fed and what is said, in eager, so apart from the exporter."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, describe_spec, write_manifest
from rnnbench.core.errors import RnnbenchError
from rnnbench.models.calls import save_weights
from rnnbench.models.task import vega_file
from rnnbench.models.training.train import train
from rnnbench.runtimes.predicting import PredictInput, answer
from rnnbench.runtimes.predicting.tasks import run_csv, run_text, start


def bundle_of(trained, out) -> Bundle:
    """What the exporter would write, without an artifact."""
    model = trained.model
    with writing(out, model.name) as folder:
        manifest = {
            "name": model.name,
            "inputs": [describe_spec(spec) for spec in model.inputs],
            "outputs": list(model.outputs),
            "states": dict(model.states),
            "traced": {"batch": 2, "time": 5},
            "sha256": save_weights(model.module, folder),
            "metadata": trained.metadata,
            "source": trained.source,
            "artifacts": {},
            "cases": [],
        }
        write_manifest(folder, manifest)
    return Bundle.open(out / model.name)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    out = tmp_path_factory.mktemp("exports")
    made = {}

    def get(variant, task, **options):
        key = (variant, task, *options.items())
        if key not in made:
            trained = train(variant, task, quick=True, progress=False, **options)
            made[key] = start(bundle_of(trained, out / str(len(made))), "eager")
        return made[key]

    return get


@pytest.fixture
def weather_csv(tmp_path):
    with vega_file("seattle-weather.csv").open(newline="", encoding="utf-8") as file:
        lines = file.readlines()[:41]
    path = tmp_path / "days.csv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("variant", ["gru", "embedding", "linear-loop"])
def test_hello_says_ohlol(sessions, variant):
    assert answer(sessions(variant, "hello"), PredictInput(text="hello")).text == "ohlol"


def test_text_goes_on_the_same_in_pieces_and_as_a_whole(sessions):
    session = sessions("gru", "text", hidden=16, epochs=1)
    said = run_text(session, "The ", length=12)
    assert said.startswith("The ")
    assert len(said) == 16
    # Without states the network reads the whole text again for each character: no difference.
    stateless = replace(session, bundle=_without_states(session.bundle))
    assert run_text(stateless, "The ", length=12) == said


def _without_states(bundle):
    class Stateless(Bundle):
        states = property(lambda self: {})

    return Stateless(bundle.path, bundle.manifest)


def test_both_directions_go_on_as_well(sessions):
    session = sessions("gru", "text", hidden=4, epochs=1, bidirectional=True)
    assert len(run_text(session, "If ", length=3)) == 6


def test_weather_is_forecast_from_the_window_before(sessions, weather_csv):
    session = sessions("gru", "weather")
    found = run_csv(session, weather_csv)
    assert [f.after for f in found][:1] == ["2012/01/14"]  # the window is 14 days
    assert len(found) == 40 - 14 + 1
    with weather_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f.actual for f in found[:-1]] == [float(row["temp_max"]) for row in rows[14:]]
    assert found[-1].actual is None
    error = np.mean([abs(f.value - f.actual) for f in found[:-1]])
    assert error < 5  # °C, which is well below the spread between days: units are right


def test_a_forecast_depends_on_its_own_window_only(sessions, weather_csv, tmp_path):
    session = sessions("gru", "weather")
    lines = weather_csv.read_text().splitlines(keepends=True)
    short = tmp_path / "short.csv"
    short.write_text(lines[0] + "".join(lines[-14:]))
    (alone,) = run_csv(session, short)
    assert alone.value == pytest.approx(run_csv(session, weather_csv)[-1].value, abs=1e-4)


def test_stocks_are_read_one_series_at_a_time(sessions, tmp_path):
    session = sessions("elman", "stocks")
    found = run_csv(session, vega_file("stocks.csv"))
    assert {f.symbol for f in found} == {"MSFT", "AMZN", "IBM", "GOOG", "AAPL"}
    assert next(f for f in found if f.symbol == "MSFT").after == "Jan 1 2001"  # 12 returns
    assert sum(f.actual is None for f in found) == 5
    few = tmp_path / "few.csv"
    few.write_text("price\n10\n11\n12\n")
    (forecast,) = run_csv(session, few)
    assert (forecast.after, forecast.symbol, forecast.actual) == ("3", "", None)


def test_the_last_forecasts_are_shown_and_the_others_counted(sessions, weather_csv):
    session = sessions("gru", "weather")
    said = answer(session, PredictInput(csv=str(weather_csv), rows=3))
    assert said.text.splitlines()[0].split("  ")[0] == "after"
    assert "°C" in said.text
    assert len(said.values["rows"]) == 3
    assert said.notes == ("the last 3 of 27 rows; --rows 0 shows all",)
    everything = answer(session, PredictInput(csv=str(weather_csv), rows=0))
    assert len(everything.values["rows"]) == 27
    assert not everything.notes
    json.dumps(everything.values, allow_nan=False)
    # Unless it is said, people see ten and programs get all.
    usual = answer(session, PredictInput(csv=str(weather_csv)))
    assert usual.values == everything.values
    assert usual.notes == ("the last 10 of 27 rows; --rows 0 shows all",)


def test_saved_forecasts_are_those_of_normalised_columns(sessions, weather_csv, tmp_path):
    session, save = sessions("gru", "weather"), tmp_path / "out.csv"
    said = answer(session, PredictInput(csv=str(weather_csv), save=str(save)))
    with save.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["after", "next temp_max (°C)", "it was"]
    expected = run_csv(session, weather_csv)
    assert [(r[0], float(r[1])) for r in rows] == [(f.after, f.value) for f in expected]
    assert [float(row[2]) for row in rows[:-1]] == [f.actual for f in expected[:-1]]
    assert rows[-1][2] == ""
    assert said.notes == (f"27 forecasts written to {save}",)
    for wrong, message in (
        (PredictInput(csv=str(weather_csv), save="x.npz"), "forecasts are written as .csv"),
        (PredictInput(csv=str(weather_csv), columns="wind"), "by their names: leave --columns out"),
    ):
        with pytest.raises(RnnbenchError, match=message):
            answer(session, wrong)


def test_an_npz_gives_every_output_and_states_start_at_zero(sessions, tmp_path):
    session = sessions("gru", "hello")
    x = np.eye(4, dtype=np.float32)[[[0, 1], [2, 3], [1, 1]]]  # [time, batch, 4]
    np.savez(tmp_path / "in.npz", x=x)
    said = answer(
        session, PredictInput(npz=str(tmp_path / "in.npz"), save=str(tmp_path / "out.npz"))
    )
    expected = session({"x": x, "h0": np.zeros((1, 2, 4), np.float32)})
    with np.load(tmp_path / "out.npz") as saved:
        for name, array in expected.items():
            np.testing.assert_array_equal(saved[name], array)
    assert said.text.startswith(f"y float32[3, 2, 4]: {expected['y'].min():.6g} to ")
    assert said.values["outputs"]["hn"]["shape"] == [1, 2, 4]
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (PredictInput(), "exactly one of --text, --csv, --npz"),
        (PredictInput(text="h", csv="x.csv"), "--text and --csv given"),
        (PredictInput(text=""), "the text is empty"),
        (PredictInput(text="hallo"), "character 'a'"),
        (PredictInput(text="hello", save="x.npz"), "writes the outputs of --npz"),
        (PredictInput(csv="x.csv"), "does not read columns: give --text"),
        (PredictInput(npz="missing.npz"), "missing.npz"),
    ],
)
def test_wrong_feeds_are_one_line(sessions, feed, message):
    with pytest.raises(RnnbenchError, match=message) as caught:
        answer(sessions("gru", "hello"), feed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"temp_max,temp_min,precipitation,wind\n", "no rows"),
        (b"temp_max\n1\n", "no column 'temp_min'"),
        (b"temp_max,temp_min,precipitation,wind\n1,2,x,3\n", "row 1, column 'precipitation'"),
        (b"temp_max,temp_min,precipitation,wind\n1,2\n", "row 1, column 'precipitation'"),
        (b"temp_max,temp_min,precipitation,wind\n1,2,nan,3\n", "row 1, column 'precipitation'"),
        (b"\xff\xfe\x00", "cannot read"),
    ],
)
def test_wrong_tables_are_one_line(sessions, tmp_path, content, message):
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    with pytest.raises(RnnbenchError, match=message) as caught:
        run_csv(sessions("gru", "weather"), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"text"])
def test_a_damaged_npz_is_one_line(sessions, tmp_path, content):
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)
    with pytest.raises(RnnbenchError, match="cannot read") as caught:
        answer(sessions("gru", "hello"), PredictInput(npz=str(path)))
    assert "\n" not in str(caught.value)


def test_one_array_is_no_npz(sessions, tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(RnnbenchError, match="one array without a name"):
        answer(sessions("gru", "hello"), PredictInput(npz=str(tmp_path / "one.npy")))


def test_nothing_for_a_runtime_is_one_line(sessions):
    bundle = sessions("gru", "hello").bundle
    with pytest.raises(RnnbenchError, match="holds no artifact, and onnxruntime runs onnx"):
        start(bundle, "onnxruntime")
    with pytest.raises(RnnbenchError, match="unknown runtime 'tensorrt'"):
        start(bundle, "tensorrt")

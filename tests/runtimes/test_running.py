"""Tables and sounds through models: the same numbers as a session gives, whatever the layout."""

import csv
import json
import wave

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnbench
from rnnbench import Dim, Model, RnnbenchError, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.runtimes.predicting import PredictInput, answer
from rnnbench.runtimes.predicting.signals import by_step, feed, layout_of
from rnnbench.runtimes.predicting.sound import read_wav, write_wav

RATE = 8000


class Echo(torch.nn.Module):
    """A GRU over steps of `size` numbers, and what it says in as many."""

    def __init__(self, size, out=None, batch_first=True):
        super().__init__()
        torch.manual_seed(size)
        self.rnn = torch.nn.GRU(size, 8, batch_first=batch_first)
        self.head = torch.nn.Linear(8, size if out is None else out)

    def forward(self, x):
        y, h = self.rnn(x)
        return self.head(y), h


class Samples(Echo):
    """The same over samples: [batch, time] in and out."""

    def __init__(self):
        super().__init__(1)

    def forward(self, x):
        return torch.tanh(super().forward(x[..., None])[0][..., 0])


class Hops(Echo):
    """The same over hops of 20 samples of a long row: [batch, 20*time] in and out."""

    def __init__(self):
        super().__init__(20)

    def forward(self, x):
        y, _ = super().forward(x.reshape(x.size(0), -1, 20))
        return y.reshape(x.size(0), -1), y.mean(2)


class Ragged(Echo):
    """[time, batch, 3], with lengths."""

    def __init__(self):
        super().__init__(3, 1, batch_first=False)

    def forward(self, x, lengths):
        valid = torch.arange(x.size(0))[:, None] < lengths
        y, h = super().forward(x * valid[..., None])
        return y * valid[..., None], h


def ragged():
    lengths = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
    return Model(Ragged(), (TensorSpec("x", ("time", "batch", 3)), lengths), ("y", "hn"))


def samples(**more):
    more = {"frames_per_second": RATE} | more
    return Model(Samples(), (TensorSpec("x", ("batch", "time")),), ("y",), **more)


def frames():
    spec = TensorSpec("x", ("batch", "time", 40))
    rates = {"frames_per_second": RATE / 40, "sample_rate": RATE}
    return Model(Echo(40), (spec,), ("y", "hn"), **rates)


def mels():
    spec = TensorSpec("x", ("batch", "time", 80))
    return Model(Echo(80), (spec,), ("y", "hn"), frames_per_second=RATE / 80, name="Mels")


def hops():
    spec = TensorSpec("x", ("batch", "20*time"))
    return Model(Hops(), (spec,), ("y", "energy"), frames_per_second=RATE / 20, name="Hops")


FORMATS = {"onnxruntime": "onnx", "torchscript": "torchscript"}
MODELS = {"ragged": ragged, "samples": samples, "frames": frames, "hops": hops, "mels": mels}


@pytest.fixture(scope="module")
def bundle_of(shared):
    return lambda name: shared.export(f"running {name}", MODELS[name], ("onnx", "torchscript"))


@pytest.fixture(scope="module")
def session_of(bundle_of):
    made = {}

    def get(name):
        if name not in made:
            made[name] = rnnbench.load(bundle_of(name), "onnx", "onnxruntime")
        return made[name]

    return get


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 3)).round(4)
    path = tmp_path / "days.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "a", "b", "c"])
        writer.writerows([f"2026-01-{i + 1:02}", *row] for i, row in enumerate(rows))
    return path, rows


def sound(path, seconds=0.1, channels=1, rate=RATE, seed=0):
    values = np.random.default_rng(seed).uniform(-0.9, 0.9, (int(seconds * rate), channels))
    assert not write_wav(path, values, rate)
    return read_wav(path)[0]


# -- tables ----------------------------------------------------------------------------------------


def test_a_row_of_outputs_for_each_row(session_of, table):
    path, rows = table
    session = session_of("ragged")
    said = answer(session, PredictInput(csv=str(path), rows=0))
    inputs = {"x": rows[:, None].astype(np.float32), "lengths": np.array([12])}
    expected = session(inputs)
    assert said.values["columns"] == ["a", "b", "c"]
    np.testing.assert_allclose(said.values["rows"]["y"], expected["y"][:, 0, 0])
    lines = said.text.splitlines()
    assert lines[0].split() == ["date", "y"]
    assert lines[2].split() == ["2026-01-01", f"{expected['y'][0, 0, 0]:.6g}"]
    assert len(lines) == 14
    assert any(note.startswith("hn float32[1, 1, 8]: ") for note in said.notes)


def test_columns_in_the_order_that_is_asked_for(session_of, table):
    path, rows = table
    session = session_of("ragged")
    said = answer(session, PredictInput(csv=str(path), columns="c, a,b", rows=3))
    inputs = {"x": rows[:, [2, 0, 1]][:, None].astype(np.float32), "lengths": np.array([12])}
    np.testing.assert_allclose(said.values["rows"]["y"], session(inputs)["y"][-3:, 0, 0])
    assert "the last 3 of 12 rows; --rows 0 shows all" in said.notes


def test_the_saved_table_keeps_its_header(session_of, table, tmp_path):
    path, rows = table
    session = session_of("ragged")
    save = tmp_path / "out.csv"
    said = answer(session, PredictInput(csv=str(path), save=str(save)))
    with save.open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["date", "a", "b", "c", "y"]
    assert [row[:4] for row in found] == [
        [f"2026-01-{i + 1:02}", *map(str, row)] for i, row in enumerate(rows)
    ]
    inputs = {"x": rows[:, None].astype(np.float32), "lengths": np.array([12])}
    expected = session(inputs)["y"][:, 0, 0]
    np.testing.assert_array_equal(np.float32([row[4] for row in found]), expected)
    least, greatest = said.values["outputs"]["y"]["least"], said.values["outputs"]["y"]["greatest"]
    assert (least, greatest) == (expected.min(), expected.max())
    assert said.text.splitlines()[0] == f"y float32[12, 1, 1]: {least:.6g} to {greatest:.6g}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("a,b", "2 columns are named (a, b), and a step of 'x' has 3"),
        ("a,b,q", "unknown column 'q': choose from date, a, b, c"),
        ("a,b,date", "row 1, column 'date': '2026-01-01' is not a number: fill it in"),
    ],
)
def test_wrong_columns_are_one_line(session_of, table, columns, message):
    with pytest.raises(RnnbenchError) as error:
        answer(session_of("ragged"), PredictInput(csv=str(table[0]), columns=columns))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_too_many_columns_ask_for_a_choice(session_of, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("a,b,c,d\n1,2,3,4\n")
    message = r"4 columns hold numbers \(a, b, c, d\), and a step of 'x' has 3: choose with"
    with pytest.raises(RnnbenchError, match=message):
        answer(session_of("ragged"), PredictInput(csv=str(path)))
    path.write_text("a,b,c\n1,2,3,4\n")
    with pytest.raises(RnnbenchError, match="row 1 has 4 cells, and the header 3"):
        answer(session_of("ragged"), PredictInput(csv=str(path)))


@pytest.mark.parametrize("runtime", ["onnxruntime", "torchscript"])
@pytest.mark.parametrize("cell", ["", "nan", "NA", "inf", "-"])
def test_a_cell_that_is_no_number_is_named(bundle_of, tmp_path, cell, runtime):
    path = tmp_path / "hole.csv"
    path.write_text(f"date,a,b,c\n1 May,1,2,3\n2 May,4,{cell},6\n3 May,7,8,9\n")
    session = rnnbench.load(bundle_of("ragged"), FORMATS[runtime], runtime)
    for columns in (None, "a,b,c"):
        with pytest.raises(RnnbenchError, match="row 2, column 'b'") as error:
            answer(session, PredictInput(csv=str(path), columns=columns))
        assert "\n" not in str(error.value)


def test_outputs_that_are_nan_throughout_are_counted(bundle_of, tmp_path):
    x = np.full((4, 1, 3), np.nan, np.float32)
    np.savez(tmp_path / "in.npz", x=x, lengths=np.array([4]))
    session = rnnbench.load(bundle_of("ragged"), "torchscript", "torchscript")
    feed_ = PredictInput(npz=str(tmp_path / "in.npz"), save=str(tmp_path / "out.npz"))
    said = answer(session, feed_)
    assert said.text.splitlines()[1] == "hn float32[1, 1, 8], 8 not finite"
    assert said.values["outputs"]["hn"] == {
        "dtype": "float32",
        "shape": [1, 1, 8],
        "not_finite": 8,
    }
    assert said.notes[0].startswith("x holds 12 values that are not finite")


def test_columns_in_another_order_are_said(session_of, table, tmp_path):
    said = answer(session_of("ragged"), PredictInput(csv=str(table[0])))
    assert "x is fed a, b, c, in this order" in said.notes
    path = tmp_path / "order.csv"
    path.write_text("c,a,b\n1,2,3\n")
    said = answer(session_of("ragged"), PredictInput(csv=str(path)))
    assert said.values["columns"] == ["c", "a", "b"]
    assert "x is fed c, a, b, in this order" in said.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0.5,17.1,63\n1,2,3\n", "the columns 0.5, 17.1, 63, which looks like a row of numbers"),
        ("a;b;c\n1;2;3\n", "separate its cells with commas, not ';'"),
        ("a,b,b\n1,2,3\n", "2 columns are called 'b'"),
    ],
)
def test_a_table_of_another_kind_is_one_line(session_of, tmp_path, content, message):
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(RnnbenchError) as error:
        answer(session_of("ragged"), PredictInput(csv=str(path)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_may_be_counted_and_numbers_named(session_of, tmp_path):
    path = tmp_path / "counted.csv"
    path.write_text("0,1,2\n1,2,3\n")
    assert answer(session_of("ragged"), PredictInput(csv=str(path))).values["columns"] == [*"012"]
    path.write_text("5,7,9\n1,2,3\n")
    named = PredictInput(csv=str(path), columns="5,7,9")
    assert answer(session_of("ragged"), named).values["columns"] == [*"579"]


def test_an_output_is_not_called_as_a_column(session_of, table, tmp_path):
    path, save = tmp_path / "y.csv", tmp_path / "out.csv"
    path.write_text(table[0].read_text().replace("date", "y", 1))
    answer(session_of("ragged"), PredictInput(csv=str(path), save=str(save)))
    with save.open(newline="") as file:
        assert next(csv.reader(file)) == ["y", "a", "b", "c", "y (output)"]


# -- sounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["samples", "frames", "hops"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_in_and_out(session_of, tmp_path, name, channels):
    values = sound(tmp_path / "in.wav", channels=channels)
    assert values.shape == (800, channels)
    session, save = session_of(name), tmp_path / "out.wav"
    said = answer(session, PredictInput(wav=str(tmp_path / "in.wav"), save=str(save)))
    x = values.T.astype(np.float32)
    given = x.reshape(channels, -1, 40) if name == "frames" else x
    expected = session({"x": given})["y"].reshape(channels, -1)
    found, rate = read_wav(save)
    assert rate == RATE
    assert np.abs(found.T - expected.clip(-1, 1)).max() < 1.1 / 32768
    assert said.text.startswith(f"y float32{list(session({'x': given})['y'].shape)}: ")
    assert "y written to" in said.notes[-1]
    assert "of real time" in said.notes[0]


def test_what_is_no_whole_frame_is_filled_and_cut_off(session_of, tmp_path):
    sound(tmp_path / "in.wav", seconds=0.1 + 7 / RATE)
    for name in ("frames", "hops"):
        save = tmp_path / f"{name}.wav"
        answer(session_of(name), PredictInput(wav=str(tmp_path / "in.wav"), save=str(save)))
        assert len(read_wav(save)[0]) == 807


def test_a_model_of_some_lengths_only(tmp_path):
    model = samples(dims={"time": Dim(min=400, multiple_of=160)})
    session = rnnbench.load(rnnbench.export(model, ("onnx",), tmp_path), "onnx")
    values = sound(tmp_path / "in.wav", seconds=500 / RATE)
    outputs = feed(session, layout_of(session.bundle), values[:, None])
    assert outputs["y"].shape == (1, 640)
    padded = np.pad(values[:, 0], (0, 140))[None].astype(np.float32)
    np.testing.assert_array_equal(outputs["y"], session({"x": padded})["y"])
    cut = by_step(layout_of(session.bundle), outputs, 500, 1)["y"]
    np.testing.assert_array_equal(cut[:, 0, 0], outputs["y"][0, :500])


def test_another_rate_and_features_are_refused(session_of, tmp_path):
    sound(tmp_path / "in.wav", rate=16000)
    with pytest.raises(RnnbenchError, match="has 16000 Hz, and Samples takes 8000 samples a"):
        answer(session_of("samples"), PredictInput(wav=str(tmp_path / "in.wav")))
    for name, size in (("ragged", 3), ("mels", 80)):  # a mask of mels has as many in its output
        message = f"takes {size} numbers a step, and nothing says .* declare Model.*sample_rate="
        for rate in (16000, RATE):
            sound(tmp_path / f"{rate}.wav", rate=rate)
            with pytest.raises(RnnbenchError, match=message):
                answer(session_of(name), PredictInput(wav=str(tmp_path / f"{rate}.wav")))
    (tmp_path / "no.wav").write_bytes(b"RIFF1234WAVE")
    with pytest.raises(RnnbenchError, match=r"cannot read .*no.wav .*PCM"):
        answer(session_of("samples"), PredictInput(wav=str(tmp_path / "no.wav")))


@given(st.sampled_from([1, 2, 3, 4]), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_samples_of_any_width_are_read(tmp_path_factory, width, channels, count, seed):
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    most = 1 << (8 * width - 1)
    values = np.random.default_rng(seed).integers(-most, most, (count, channels))
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, 44100, 0, "NONE", ""))
        stored = values + 128 if width == 1 else values
        data = b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in stored.flat)
        file.writeframes(data)
    samples, rate = read_wav(path)
    assert rate == 44100
    np.testing.assert_array_equal(samples, values / most)


def test_on_the_command_line(bundle_of, table, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(bundle_of("ragged").path), "--csv", str(table[0]), "--json"])
    assert ended.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert document["columns"] == ["a", "b", "c"]
    assert len(document["rows"]["y"]) == 12
    with pytest.raises(SystemExit):
        cli.main(
            ["run", str(bundle_of("ragged").path), "--csv", str(table[0]), "--json", "--rows", "2"]
        )
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"]["y"] == document["rows"]["y"][-2:]
    assert "the last 2 of 12 rows" in printed.err


@pytest.mark.parametrize(
    ("feed_", "message"),
    [
        (
            {"text": "a", "save": "x.csv"},
            "--save x.csv writes the outputs of --npz, --csv or --wav",
        ),
        ({"wav": "a.wav", "save": "x.mp3"}, "of --wav are written as .wav or .npz"),
        ({"npz": "a.npz", "columns": "a"}, "--columns a chooses columns of --csv"),
        ({"wav": "a.wav", "csv": "b"}, "--csv and --wav given"),
    ],
)
def test_what_does_not_go_together_is_one_line(session_of, feed_, message):
    with pytest.raises(RnnbenchError) as error:
        answer(session_of("ragged"), PredictInput(**feed_))
    assert message in str(error.value)


def test_an_npz_that_is_saved_prints_no_numbers(session_of, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=x, lengths=np.array([4, 2]))
    save = tmp_path / "out.npz"
    said = answer(session_of("ragged"), PredictInput(npz=str(tmp_path / "in.npz"), save=str(save)))
    assert [line.partition(": ")[0] for line in said.text.splitlines()] == [
        "y float32[4, 2, 1]",
        "hn float32[1, 2, 8]",
    ]
    with np.load(save) as found:
        assert said.values["outputs"]["y"]["greatest"] == found["y"].max()


def test_two_rates_that_disagree_are_one_line(tmp_path):
    spec = TensorSpec("x", ("batch", "time", 80))
    model = Model(Echo(80), (spec,), ("y", "hn"), frames_per_second=100, sample_rate=16000)
    session = rnnbench.load(rnnbench.export(model, ("onnx",), tmp_path), "onnx")
    sound(tmp_path / "in.wav", rate=16000)
    message = "sample_rate=16000 and frames_per_second=100, which is 8000 numbers a second"
    with pytest.raises(RnnbenchError, match=message):
        answer(session, PredictInput(wav=str(tmp_path / "in.wav")))
    for wrong in (0, -1, float("inf")):
        with pytest.raises(RnnbenchError, match="sample_rate"):
            Model(Echo(80), (spec,), ("y", "hn"), sample_rate=wrong)

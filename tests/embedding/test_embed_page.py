"""The page in a real browser: sound in and out, tables, text; and what it looks like."""

import io
import json
import re
import subprocess
import time
from functools import cache

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.cases.golden import read_arrays
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from tests.helpers.browser import Browser, Server

pytestmark = pytest.mark.xdist_group("page")  # one process builds the pages, and runs the browsers

WEB = find_target("web")
RATE = 16000
WORDS = ["the", "cat", "sat", "on", "a", "mat"]
HEARD = "document.querySelector('.players > div:not([hidden]) audio')"
NOTE = "document.querySelector('#{} > .facts').innerText"


class Streamed(torch.nn.Module):
    """A GRU whose state goes in and out; `more`: a wide output beside the first."""

    def __init__(self, size, outputs, more=0):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(size, 8, batch_first=True)
        self.out = torch.nn.Linear(8, outputs)
        self.more = torch.nn.Linear(8, more) if more else None

    def forward(self, x, h0):
        y, hn = self.gru(x, h0)
        return (self.out(y), hn) if self.more is None else (self.out(y), self.more(y), hn)


class Whole(torch.nn.Module):
    """Both directions: it cannot stream. Samples have no axis of their own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(1, 4, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.gru(x[..., None])[0].sum(-1)


class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(len(WORDS), 4)
        self.gru = torch.nn.GRU(4, 3, batch_first=True)

    def forward(self, ids):
        return self.gru(self.embedding(ids))[0]


def streamed(name, size, outputs, more=0, **options):
    x = TensorSpec("x", ("batch", "time", size))
    h0 = TensorSpec("h0", (1, "batch", 8), role="state")
    names = ("y", "z", "hn") if more else ("y", "hn")
    module = Streamed(size, outputs, more).eval()
    return Model(module, (x, h0), names, {"h0": "hn"}, name=name, **options)


def whole():
    x = TensorSpec("x", ("batch", "time"))
    return Model(Whole().eval(), (x,), ("y",), name="whole", frames_per_second=RATE)


def words():
    ids = TensorSpec("ids", ("batch", "time"), "int64", high=len(WORDS))
    return Model(Words().eval(), (ids,), ("y",), name="words")


MODELS = {
    "sound": (lambda: streamed("sound", 1, 1, frames_per_second=RATE), {}),
    "frames": (lambda: streamed("frames", 80, 80, frames_per_second=100, sample_rate=8000), {}),
    "whole": (whole, {}),
    "table": (lambda: streamed("table", 3, 3, more=12), {}),
    "words": (words, {"vocabulary": WORDS}),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """`pages(name)`: the bundle of a model, and the folder of its page; npm runs once for all."""
    if WEB.missing():
        pytest.skip(WEB.missing())
    root = tmp_path_factory.mktemp("pages")
    first = []

    @cache
    def page(name):
        build, metadata = MODELS[name]
        bundle = rnnbench.export(build(), ("onnx",), root / "exports", metadata=metadata)
        folder = embed(bundle, WEB, root / name)
        if first:
            (folder / "node_modules").symlink_to(first[0] / "node_modules")
        for command in WEB.build[1:] if first else WEB.build:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        first.append(folder)
        return bundle, folder

    return page


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """A WAV file of 440 Hz, a second and a bit that fills no block."""
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    t = np.arange(RATE + 77) / RATE
    wavfile.write(path, RATE, (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16))
    return path


@pytest.fixture(scope="module")
def browser(tone):
    """One for all, whose microphone hears the WAV file."""
    switches = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={tone}")
    with Browser(*switches) as opened:
        opened.size(1280)
        yield opened


@pytest.fixture
def quiet(browser):
    """The browser, whose console has nothing to complain of, and whose microphone is allowed."""
    browser.problems.clear()
    browser.ask("Browser.resetPermissions")
    browser.ask("Browser.grantPermissions", permissions=["audioCapture"])
    yield browser
    assert browser.problems == []


def press(browser, text):
    browser.value(
        f"[...document.querySelectorAll('button')].find((b) => b.textContent === '{text}').click()"
    )


def note(browser, section):
    return browser.value(NOTE.format(section))


def heard(browser):
    """The samples of what went in, and of what came out, from the players."""
    browser.until(HEARD)
    addresses = browser.value("[...document.querySelectorAll('.players audio')].map((a) => a.src)")
    both = [
        wavfile.read(io.BytesIO(browser.bytes_of(json.dumps(address)))) for address in addresses
    ]
    assert [rate for rate, _ in both] == [both[0][0]] * len(both)
    return [samples for _, samples in both]


def allowed(folder, name):
    """How far an output may be off, as the golden cases say it."""
    records = read_arrays(folder / "golden" / "cases.json")
    return max(r.allowed for r in records if r.part == "out" and r.name == name)


def session(bundle, x, name="y"):
    """An output of the session for one sequence from zero states."""
    states = {"h0": np.zeros((1, 1, 8), np.float32)} if bundle.states else {}
    return rnnbench.load(bundle, "onnx")({bundle.inputs[0].name: x[None], **states})[name][0]


def test_a_wav_file_is_streamed(pages, quiet, tone):
    """From a server, and from the one file without any; in blocks, the last of which is short."""
    bundle, folder = pages("sound")
    samples = wavfile.read(tone)[1].astype(np.float32) / 2**15
    exact = session(bundle, samples[:, None])[:, 0]
    with Server(folder) as url:
        for page in (url, (folder / "standalone.html").as_uri()):
            quiet.open(page)
            quiet.give("#sound input[type=file]", tone)
            given, made = heard(quiet)
            np.testing.assert_array_equal(given, samples)
            assert abs(made - exact).max() <= allowed(folder, "y")
            factor = quiet.value("document.querySelector('#sound .big').innerText")
            assert 0 < float(re.fullmatch(r"real-time factor (\S+)", factor)[1]) < 20
            quiet.until("document.querySelectorAll('audio')[1].currentTime > 0")  # it is played
            assert note(quiet, "sound") == "tone.wav: 1.0 s, in blocks of 256 samples, 16.0 ms"


def test_the_microphone_is_streamed_and_played(pages, quiet):
    """A file stands in for it; an ear is held to the loudspeaker."""
    bundle, folder = pages("sound")
    ear = """
        const connect = AudioNode.prototype.connect;
        AudioNode.prototype.connect = function (to, ...more) {
          if (to instanceof AudioDestinationNode)
            connect.call(this, (window.ear = new AnalyserNode(this.context, { fftSize: 4096 })));
          return connect.call(this, to, ...more);
        };"""
    with Server(folder) as url:
        quiet.open(url)
        quiet.value(ear)
        press(quiet, "Microphone")
        quiet.until("/Listening, [1-9]/.test(document.querySelector('#sound').innerText)")
        quiet.until(
            "(ear.getFloatTimeDomainData((window.played = new Float32Array(4096))),"
            " Math.max(...played) - Math.min(...played) > 0.002)"
        )
        played = np.array(quiet.value("[...played]"))
        press(quiet, "Stop")
        given, made = heard(quiet)
    assert len(given) == len(made) > RATE
    assert abs(made - session(bundle, given[:, None])[:, 0]).max() <= allowed(folder, "y")
    assert pitch(given[-4096:]) == pytest.approx(440, abs=8)
    assert pitch(played - played.mean()) == pytest.approx(440, abs=8)


def pitch(samples):
    """The loudest frequency; not that of a constant."""
    loud = abs(np.fft.rfft(samples * np.hanning(len(samples))))
    loud[:8] = 0
    return loud.argmax() * RATE / len(samples)


def test_what_the_microphone_lacks_is_one_line(pages, browser, tone):
    _, folder = pages("sound")
    browser.problems.clear()
    with Server(folder) as url:
        browser.ask("Browser.resetPermissions")
        browser.ask("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
        browser.open(url)
        press(browser, "Microphone")
        browser.until(f"/not allowed/.test({NOTE.format('sound')})")
        assert note(browser, "sound").startswith("The microphone was not allowed: allow it")
        assert "\n" not in note(browser, "sound")
        assert browser.problems == []
        port = url.rsplit(":", 1)[1]
        with Browser("--host-resolver-rules=MAP elsewhere.test 127.0.0.1") as other:
            other.open(f"http://elsewhere.test:{port}")
            assert other.value("document.querySelector('#sound button.main').disabled")
            assert "to https:// and to localhost only" in other.value("document.body.innerText")
            other.give("#sound input[type=file]", tone)  # a file needs nothing of this
            assert len(heard(other)[1]) == RATE + 77
            assert other.problems == []


def test_frames_and_whole_sequences(pages, quiet, tmp_path):
    """80 samples a step, the last of them filled up; and a model that has to hear the end first."""
    generator = np.random.default_rng(0)
    for name, rate, length in (("frames", 8000, 80 * 60 + 11), ("whole", RATE, 3000)):
        bundle, folder = pages(name)
        samples = generator.normal(scale=0.2, size=length).astype(np.float32)
        wavfile.write(tmp_path / f"{name}.wav", rate, samples)
        steps = np.pad(samples, (0, -length % 80)).reshape(-1, 80) if name == "frames" else samples
        with Server(folder) as url:
            quiet.open(url)
            quiet.give("#sound input[type=file]", tmp_path / f"{name}.wav")
            given, made = heard(quiet)
        np.testing.assert_array_equal(given, samples)
        assert made.shape == samples.shape
        exact = session(bundle, steps).ravel()[:length]
        assert abs(made - exact).max() <= allowed(folder, "y")


def test_other_files_of_sound(pages, quiet, tmp_path):
    """Two channels at another rate become what the model wants; what is no sound is told."""
    _, folder = pages("sound")
    both = np.stack([np.full(800, 8000), np.full(800, 16000)], 1).astype(np.int16)
    wavfile.write(tmp_path / "both.wav", 8000, both)
    (tmp_path / "none.wav").write_bytes(b"no sound")
    (tmp_path / "none.mp3").write_bytes(b"no sound")
    with Server(folder) as url:
        quiet.open(url)
        quiet.give("#sound input[type=file]", tmp_path / "both.wav")
        given, made = heard(quiet)
        assert len(given) == len(made) == 1600
        assert np.median(given) == pytest.approx(12000 / 2**15, rel=1e-2)
        said = "both.wav (the mean of its 2 channels, from 8000 to 16000 samples a second): 100 ms"
        assert note(quiet, "sound").startswith(said)
        for name in ("none.wav", "none.mp3"):
            quiet.give("#sound input[type=file]", tmp_path / name)
            quiet.until(f"/^{name}.*give (one|a WAV file)$/.test({NOTE.format('sound')})")


def test_a_csv_by_its_columns(pages, quiet, tmp_path):
    """The outputs are the session's; the table that is saved keeps its header and its rows."""
    bundle, folder = pages("table")
    x = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
    rows = [["day", "b", "a", "note", "c"]]
    rows += [[f"d{t}", x[t, 1], x[t, 0], "so, so", x[t, 2]] for t in range(len(x))]
    text = "".join(",".join(f'"{v}"' if "," in str(v) else str(v) for v in r) + "\n" for r in rows)
    (tmp_path / "mine.csv").write_text(text)
    choose = "Object.assign(document.querySelector('#rows input[type=text]'), {value: '%s'})"
    choose += ".dispatchEvent(new Event('change'))"
    with Server(folder) as url:
        quiet.open(url, "document.querySelector('#rows .plot:not([hidden])')")
        quiet.give("#rows input[type=file]", tmp_path / "mine.csv")
        quiet.until(f"/^150 rows/.test({NOTE.format('rows')})")
        quiet.value(choose % "a, b, lost")
        assert note(quiet, "rows") == "no column lost: there are day, b, a, note, c"
        quiet.value(choose % "a, b")
        assert note(quiet, "rows") == "the model reads 3 columns, and these are 2: name 3"
        quiet.value(choose % "a, b, note")
        assert note(quiet, "rows") == "row 1, column note: “so, so” is not a number"
        quiet.value(choose % "a, b, c")
        quiet.until(f"/^150 rows/.test({NOTE.format('rows')})")
        axes = quiet.value("[...document.querySelectorAll('#rows .name')].map(e => e.textContent)")
        assert axes == ["y", "day"]
        quiet.value(
            "Object.assign([...document.querySelectorAll('#rows select')].at(-1), {value: 'b'})"
            ".dispatchEvent(new Event('change'))"
        )
        lines = quiet.value(
            "[...document.querySelectorAll('#rows .legend li')].map((item) => item.innerText)"
        )
        assert lines == ["y[a]", "y[b]", "y[c]", "b"]
        saved = download(quiet, tmp_path, "table.csv")
    lines = [line.split(",") for line in saved.replace('"so, so"', "so").splitlines()]
    names = [*(f"y[{name}]" for name in "abc"), *(f"z[{i}]" for i in range(12))]
    assert lines[0] == ["day", "b", "a", "note", "c", *names]
    assert [line[0] for line in lines[1:]] == [f"d{t}" for t in range(150)]
    made = np.array([line[5:] for line in lines[1:]], float)
    assert abs(made[:, :3] - session(bundle, x)).max() <= allowed(folder, "y")
    assert abs(made[:, 3:] - session(bundle, x, "z")).max() <= allowed(folder, "z")


def download(browser, folder, name):
    folder = folder / "saved"
    browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    press(browser, "Save as CSV")
    until = time.monotonic() + 20
    while not (folder / name).is_file():
        assert time.monotonic() < until
        time.sleep(0.05)
    return (folder / name).read_text("utf-8")


def test_many_outputs_are_a_heat_map(pages, quiet):
    """The largest value is the brightest; the crosshair reads the row that it is on."""
    bundle, folder = pages("table")
    table = "document.querySelector('#rows %s')"
    with Server(folder) as url:
        quiet.open(url, "document.querySelector('#rows .plot:not([hidden])')")
        assert quiet.value(f"{table % 'canvas'}.hidden")
        quiet.value(
            f"Object.assign({table % 'select'}, {{value: 'z'}}).dispatchEvent(new Event('change'))"
        )
        assert not quiet.value(f"{table % 'canvas'}.hidden")
        t = np.arange(120)
        x = np.stack([np.sin(t / (4 + 3 * f) + f) for f in range(3)], 1).astype(np.float32)
        exact = session(bundle, np.round(x, 4), "z")
        step, row = np.unravel_index(exact.argmax(), exact.shape)
        place = f"c.width * {(step + 0.5) / 120}, c.height * {1 - (row + 0.5) / 12}, 1, 1"
        colour = quiet.value(
            f"(() => {{ const c = {table % 'canvas'};"
            f" return [...c.getContext('2d').getImageData({place}).data]; }})()"
        )
        assert colour == [253, 231, 37, 255]
        for key, times in (("Home", 1), ("ArrowRight", step), ("ArrowUp", row)):
            for _ in range(times):
                quiet.value(
                    f"{table % 'svg'}.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))"
                )
        said = quiet.value(f"{table % '.plot .facts'}.innerText")
        where, value = said.rsplit(" ", 1)
    assert where == f"step {step + 1}: z[{row}]"
    assert float(value) == pytest.approx(exact[step, row], rel=1e-3)


def test_words_as_they_are_typed(pages, quiet):
    bundle, folder = pages("words")
    typed = "Object.assign(document.querySelector('textarea'), {value: '%s'})"
    typed += ".dispatchEvent(new Event('input', {bubbles: true}))"
    with Server(folder) as url:
        quiet.open(url)
        quiet.value(typed % "a cat sat")
        quiet.until(f"/^3 steps/.test({NOTE.format('typing')})")
        quiet.value(
            "document.querySelector('#typing svg')"
            ".dispatchEvent(new KeyboardEvent('keydown', {key: 'End'}))"
        )
        said = quiet.value("document.querySelector('#typing .plot .facts').innerText")
        quiet.value(typed % "a dog sat")
        quiet.until("/dog/.test(document.querySelector('#typing > .error')?.innerText)")
        assert note(quiet, "typing") == "“dog” is not in the vocabulary"
    exact = session(bundle, np.array([4, 1, 2]))[-1]
    word, values = said.split(": ")
    assert word == "sat"
    assert [float(v.split()[1]) for v in values.split(", ")] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_page_is_right_and_fits(pages, quiet, name):
    """Its own proof; on a telephone and on a desk, by day and by night, nothing sticks out."""
    _, folder = pages(name)
    with Server(folder) as url:
        quiet.open(f"{url}index.html#verify", "document.querySelector('output.good')")
        proof = quiet.value("document.querySelector('output.good').innerText")
        found = re.fullmatch(
            r"All \d+ outputs are right: error (\d\.\de-\d+|0), allowed (\d\.\de-\d+|0)", proof
        )
        assert found, proof
        assert float(found[1]) <= float(found[2])
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                quiet.size(width, scheme=scheme)
                wide = quiet.value("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, scheme)
    quiet.size(1280)

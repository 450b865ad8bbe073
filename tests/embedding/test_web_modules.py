"""The small modules of the page, in Node.js: tables, WAV files, the ring; and who takes sound."""

import csv
import io
import json
import shutil
import subprocess
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from rnnbench.core.dims import Dim
from rnnbench.embedding.sound import sound_of
from rnnbench.embedding.target import find_target

WEB = find_target("web")


def in_node(script, *words):
    """What a script prints, as JSON; `$WEB` is the folder of the page's modules."""
    if WEB.missing():
        pytest.skip(WEB.missing())
    script = script.replace("$WEB", WEB.folder.as_uri())
    command = ["node", "--input-type=module", "-e", script, "--", *map(str, words)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("a,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ("\ufeffa;b\r\n1,5;2\r\n\r\n3;4", ["a", "b"], [["1,5", "2"], ["3", "4"]]),
        ("a\tb\n1\t2\n", ["a", "b"], [["1", "2"]]),
        ('a,b\n"x, ""y""\nz",2\n', ["a", "b"], [['x, "y"\nz', "2"]]),
        ("1,2\n3,4\n", ["1", "2"], [["1", "2"], ["3", "4"]]),  # no header
        ("a,b\n1\n3,4,5\n", ["a", "b"], [["1", ""], ["3", "4"]]),
        ("a\n1\n2\n", ["a"], [["1"], ["2"]]),
    ],
)
def test_tables(text, header, rows):
    """What is read; and what is written of it, Python's reader reads the same."""
    read = 'import { readTable, writeCsv } from "$WEB/csv.mjs"; const t = readTable('
    read += (
        f"{json.dumps(text)}); console.log(JSON.stringify([t, writeCsv([t.header, ...t.rows])]))"
    )
    found, written = in_node(read)
    assert (found["header"], found["rows"]) == (header, rows)
    assert list(csv.reader(io.StringIO(written))) == [header, *rows]


def test_a_table_without_rows_is_told():
    read = """import { readTable } from "$WEB/csv.mjs"; const said = ["", "a,b", " \\n\\n"].map(
        (text) => { try { readTable(text); } catch (error) { return error.message; } });
        console.log(JSON.stringify(said))"""
    assert in_node(read) == ["no rows: give a CSV with a header, and rows below it"] * 3


WAV = """
import { readFileSync } from "node:fs";
import { mono, readWav, writeWav } from "$WEB/wav.mjs";
const raw = readFileSync(process.argv.at(-1));
try {
  const { rate, channels } = readWav(new Uint8Array(raw).buffer);
  const again = readWav(await writeWav(mono(channels), rate).arrayBuffer());
  const all = channels.map((one) => [...one]);
  console.log(JSON.stringify([rate, all, again.rate, [...again.channels[0]]]));
} catch (error) { console.log(JSON.stringify(error.message)); }
"""


@pytest.mark.parametrize(
    ("kind", "scale", "middle"),
    [
        (np.uint8, 2**7, 128),
        (np.int16, 2**15, 0),
        (np.int32, 2**31, 0),
        (np.float32, 1, 0),
        (np.float64, 1, 0),
    ],
)
def test_wav_files_are_read_as_scipy_wrote_them(tmp_path, kind, scale, middle):
    exact = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    written = (exact * (scale - 1) + middle).astype(kind)
    wavfile.write(tmp_path / "two.wav", 22050, written)
    rate, channels, again_rate, again = in_node(WAV, tmp_path / "two.wav")
    assert (rate, again_rate) == (22050, 22050)
    wanted = ((written.astype(np.float64) - middle) / scale).astype(np.float32)
    np.testing.assert_array_equal(np.float32(channels), wanted.T)
    np.testing.assert_allclose(again, wanted.mean(1), atol=1e-7)


def test_wav_files_of_24_bits_and_with_a_long_header(tmp_path):
    """Extensible, with a chunk of odd size before the data; the size of the data is a lie."""
    guid = bytes([1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113])
    numbers = [0xFFFE, 1, 8000, 24000, 3, 24, 22, 24, 4]
    sizes = [2, 2, 4, 4, 2, 2, 2, 2, 4]
    form = b"".join(n.to_bytes(s, "little") for n, s in zip(numbers, sizes, strict=True)) + guid
    samples = [-(2**23), -1, 0, 2**23 - 1]
    data = b"".join(n.to_bytes(3, "little", signed=True) for n in samples)
    chunks = b"fmt " + len(form).to_bytes(4, "little") + form + b"note\x01\0\0\0?\0"
    (tmp_path / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + chunks + b"data\xff\xff\0\0" + data)
    rate, channels, *_ = in_node(WAV, tmp_path / "a.wav")
    assert rate == 8000
    np.testing.assert_array_equal(np.float32(channels[0]), np.float32(samples) / 2**23)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "it is no WAV file (RIFF, WAVE): give one"),
        (b"RIFF\0\0\0\0WAVE", "it has no data: save it again"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "its data comes before its format: save it again"),
        (
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\7\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0",
            "its samples are of kind 7 with 8 bits: save it as 16-bit PCM",
        ),
    ],
)
def test_what_is_no_wav_file_is_told(tmp_path, raw, says):
    (tmp_path / "bad.wav").write_bytes(raw)
    assert in_node(WAV, tmp_path / "bad.wav") == says


def test_the_ring_loses_the_oldest_and_nothing_else():
    """Against a list, for pushes and takes of every size; what is lost is counted."""
    generator = np.random.default_rng(0)
    steps = [(int(n), int(m)) for n, m in generator.integers(0, 14, (300, 2))]
    script = f"""import {{ Ring }} from "$WEB/ring.mjs"; const ring = new Ring(9);
        let next = 0; console.log(JSON.stringify({json.dumps(steps)}.map(([push, take]) => {{
          const lost = ring.push(Float32Array.from({{ length: push }}, () => next++));
          const into = new Float32Array(take), count = ring.take(into);
          return [lost, [...into.subarray(0, count)], ring.length, ring.free]; }})))"""
    kept, first = [], 0
    for (push, take), found in zip(steps, in_node(script), strict=True):
        kept += range(first, first + push)
        first += push
        lost = max(0, len(kept) - 9)
        kept = kept[lost:]
        taken, kept = kept[:take], kept[take:]
        assert found == [lost, taken, len(kept), 9 - len(kept)]


FLOW = """
import { Flow, stepsOf } from "$WEB/flow.mjs";
import { Model } from "$WEB/model.mjs";
const port = { dtype: "float32", shape: ["batch", "time", 1], batch_axis: 0, time_axis: 1 };
const sizes = [];
class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
const session = { inputNames: ["x"], outputNames: ["y"], run: async ({ x }) => {
  sizes.push(x.dims[1]);
  return { y: { type: "float32", dims: x.dims, data: x.data.map((value) => -value) } };
} };
const sound = { input: "x", output: "y", rate: 1000, frame: 1, min: 320, multiple_of: 160 };
const about = { inputs: [{ ...port, name: "x", role: "data" }], outputs: [{ ...port, name: "y" }],
  states: {}, streams: true, batch_dim: "batch", time_dim: "time", sound };
const flow = new Flow(new Model({ Tensor }, session, about), stepsOf(sound, 400));
const parts = [];
const take = (part) => part && parts.push([...part.samples], [...part.values]);
let next = 0;
for (const count of [1, 700, 3, 481, 0, 900]) {
  flow.push(Float32Array.from({ length: count }, () => next++));
  while (flow.ready) take(await flow.next());
}
take(await flow.rest());
flow.push(new Float32Array(2500));
console.log(JSON.stringify([sizes, parts, flow.lost]));
"""


def test_sound_flows_in_blocks_that_the_model_may_have(tmp_path):
    """All of it comes out, in order, the last block cut to what there was; too much is lost."""
    for folder in (WEB.folder, WEB.folder.parent / "common"):
        for module in folder.glob("*.mjs"):
            shutil.copy(module, tmp_path)
    sizes, parts, lost = in_node(FLOW.replace("$WEB", tmp_path.as_uri()))
    assert sizes == [480, 480, 480, 480, 320]
    given, made = (list(chain(*parts[i::2])) for i in (0, 1))
    assert given == list(range(2085))
    assert made == [-sample for sample in given]
    assert lost == 2500 - 2000  # two seconds wait


def port(name, shape, role="data", dtype="float32"):
    axes = {d: shape.index(d) if d in shape else -1 for d in ("batch", "time")}
    said = {"name": name, "dtype": dtype, "shape": list(shape), "role": role}
    return said | {"batch_axis": axes["batch"], "time_axis": axes["time"]}


@pytest.mark.parametrize(
    ("rate", "x", "outputs", "metadata", "found"),
    [
        (16000, ("batch", "time"), [("batch", "time")], {}, (16000, 1, "y0")),
        (16000, ("batch", "time", 1), [("batch", 5)], {}, (16000, 1, None)),
        (16000, ("time", "batch", 1), [("batch", "time", 3)], {}, (16000, 1, None)),
        (
            16000,
            ("batch", 1, "time"),
            [(1, "batch", 4), ("batch", 1, "time")],
            {},
            (16000, 1, "y1"),
        ),
        (16000, ("time",), [("time",)], {}, (16000, 1, "y0")),
        (
            100,
            ("batch", "time", 160),
            [("batch", "time", 160)],
            {"sample_rate": 16000},
            (16000, 160, "y0"),
        ),
        (None, ("batch", "time"), [("batch", "time")], {"sample_rate": 16000}, (16000, 1, "y0")),
        (100, ("batch", "time", 160), [("batch", "time", 160)], {}, None),  # a mask of mels, say
        (100, ("batch", "time", 80), [("batch", "time", 80)], {"sample_rate": 16000}, None),
        (100, ("batch", "time", 80), [("batch", "time", 80)], {"sample_rate": "fast"}, None),
        (
            31.25,
            ("batch", "time", 512),
            [("batch", "time", 1)],
            {"sample_rate": 16000},
            (16000, 512, None),
        ),
        (100, ("batch", "time", 80), [("batch", "time", 10)], {}, None),  # mels, say
        (100, ("batch", 160, "time"), [("batch", 160, "time")], {}, None),  # not one after another
        (100, ("batch", "time", 1), [("batch", "time", 1)], {}, None),  # no rate of sound
        (44100.5, ("batch", "time"), [("batch", "time")], {}, None),
        (192000, ("batch", "time"), [("batch", "time")], {}, None),
        (None, ("batch", "time"), [("batch", "time")], {}, None),
        (16000, ("batch", "time", "channels"), [("batch", "time")], {}, None),
        (16000, ("batch", "60*time"), [("batch", "time")], {}, None),
    ],
)
def test_who_takes_sound(rate, x, outputs, metadata, found):
    dims = {"time": Dim(min=200, multiple_of=160), "batch": Dim()}
    bundle = SimpleNamespace(
        name="n",
        frames_per_second=rate,
        metadata=metadata,
        dims=dims,
        time_dim="time",
        batch_dim="batch",
    )
    made = [port(f"y{i}", shape) for i, shape in enumerate(outputs)]
    model = {"inputs": [port("x", x)], "outputs": made, "states": {}}
    sound = sound_of(bundle, model)
    if found is None:
        assert sound is None
        return
    samples, frame, output = found
    assert sound == {
        "input": "x",
        "output": output,
        "rate": samples,
        "frame": frame,
        "min": 320,
        "multiple_of": 160,
    }
    assert sound_of(bundle, model | {"inputs": [port("x", x), port("z", x)]}) is None
    ids = model | {"inputs": [port("x", x, dtype="int64")]}
    assert sound_of(bundle, ids) is None
    fed = sound_of(bundle, model | {"states": {"h": output}})
    assert fed is None or fed["output"] is None or fed["output"] != output

"""Whatever is in a file that somebody gives: a result, or one line and exit code 2.

Bytes of real files are changed, cut, doubled and dropped, and values of JSON and CSV exchanged for
others. TorchScript and .pt2 are read by `inspect` alone, which runs nothing of them.
"""

import contextlib
import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnbench
from rnnbench import Bundle, Model, RnnbenchError, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.runtimes.predicting import PredictInput, answer
from rnnbench.runtimes.predicting.tasks import start
from tests.helpers import handmade, made_results
from tests.helpers.tiers import samples

SEEDS = st.integers(0, 2**32 - 1)
ODD = (None, True, -1, 0, 1e308, float("nan"), 10**30, "", "\x1b[2J\0", [], {}, [[]], "a" * 5000)


def searched(ci):
    return settings(
        max_examples=samples(ci, 40 * ci),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A sound file of each kind."""
    import torch

    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    x = TensorSpec("x", ("batch", "time", 3))
    model = Model(torch.nn.GRU(3, 4, batch_first=True).eval(), (x,), ("y", "hn"), name="net")
    bundle = rnnbench.export(model, ("onnx", "torchscript", "pt2"), folder)
    return {name: artifact.path for name, artifact in bundle.artifacts.items()}


def run(capfd, *words):
    """A verb in this process: its exit code, and the last line of what it says."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words)])
    printed = capfd.readouterr()
    code = ended.value.code
    assert "this is a bug" not in printed.err, printed.err
    assert "Traceback" not in printed.err, printed.err
    if code == 2:
        assert [line for line in printed.err.splitlines() if line.startswith("error: ")]
    return code, printed


def damaged(raw, rng):
    """Bytes with one to five damages."""
    made = bytearray(raw)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(made))) if made else 0
        kind = int(rng.integers(6))
        size = int(rng.integers(1, 33))
        if kind == 0 and made:
            made[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del made[at : at + size]
        elif kind == 2:
            made[at:at] = made[at : at + size]
        elif kind == 3:
            made[at : at + size] = rng.bytes(size)
        elif kind == 4:
            made[at:at] = b"\xff" * size
        else:
            del made[int(len(made) * (0.5 + rng.random() / 2)) :]
    return bytes(made)


@pytest.mark.parametrize("format", ["onnx", "torchscript", "pt2"])
def test_a_damaged_model_file(files, tmp_path, capfd, format):
    source = files[format]

    @searched(60)
    @given(SEEDS)
    def search(seed):
        rng = np.random.default_rng(seed)
        path = tmp_path / source.name
        path.write_bytes(damaged(source.read_bytes(), rng))
        assert run(capfd, "inspect", path)[0] in (0, 1, 2)

    search()


def places(value, path=()):
    """Every place in a JSON document."""
    yield path
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in inside:
            yield from places(inner, (*path, key))


def exchanged(document, rng):
    """A document with another value in one to three places, or without them."""
    made = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 4))):
        every = [place for place in places(made) if place]
        *outer, last = every[int(rng.integers(len(every)))]
        inner = made
        for key in outer:
            inner = inner[key]
        if rng.random() < 0.3:
            del inner[last]
        else:
            inner[last] = ODD[int(rng.integers(len(ODD)))]
    return made


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_damaged_results(tmp_path, capfd, verb):
    sound = made_results.make_results(time=(1,), hidden=(32,), samples=4)
    (tmp_path / "sound.json").write_text(json.dumps(sound))

    @searched(60)
    @given(SEEDS)
    def search(seed):
        rng = np.random.default_rng(seed)
        path = tmp_path / "results.json"
        if rng.random() < 0.2:
            path.write_bytes(damaged(json.dumps(sound).encode(), rng))
        else:
            path.write_text(json.dumps(exchanged(sound, rng)))
        words = (verb, tmp_path / "sound.json", path) if verb == "compare" else (verb, path)
        assert run(capfd, *words)[0] in (0, 1, 2)

    search()


CELLS = ("", "1", "-1e308", "nan", "inf", "x", '"', "1,2", "\x00", "1e999", " 3 ", "2024-01-01")


def test_a_damaged_csv(tmp_path):
    """In the session that `run` feeds; each is a forecast or one line."""
    sound = handmade.make_bundle(tmp_path)
    said = {
        "columns": ["a", "b", "c"],
        "window": 3,
        "target": {"column": "a", "unit": "C", "mean": 0.5, "std": 2.0},
        "mean": [0.0, 1.0, 2.0],
        "std": [1.0, 2.0, 3.0],
    }
    loaded = start(sound, "onnxruntime")

    @searched(200)
    @given(SEEDS)
    def search(seed):
        rng = np.random.default_rng(seed)
        head = ["date", "a", "b", "c", "symbol"][int(rng.integers(2)) : int(rng.integers(3, 6))]
        rows = [
            ",".join(
                str(rng.normal()) if rng.random() < 0.9 else CELLS[int(rng.integers(len(CELLS)))]
                for _ in head
            )
            for _ in range(int(rng.integers(0, 9)))
        ]
        path = tmp_path / "rows.csv"
        raw = "\n".join([",".join(head), *rows]).encode()
        path.write_bytes(damaged(raw, rng) if rng.random() < 0.3 else raw)
        metadata = exchanged(said, rng) if rng.random() < 0.5 else said
        bundle = Bundle(sound.path, sound.manifest | {"metadata": metadata})
        session = replace(loaded, bundle=bundle)
        with contextlib.suppress(RnnbenchError):  # of which the first line is printed
            answer(session, PredictInput(csv=str(path)))

    search()


@pytest.mark.parametrize("format", ["torchscript", "pt2", "onnx"])
def test_a_damaged_artifact_of_a_bundle(files, tmp_path, capfd, format):
    """Loaded in a process of its own, in which it may do what it likes."""
    sound = files[format].parent
    rng = np.random.default_rng(0)
    for number in range(samples(2, 60)):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        path = folder / files[format].name
        path.write_bytes(damaged(path.read_bytes(), rng))
        runtime = {"onnx": "onnxruntime"}.get(format, format)
        code, printed = run(capfd, "check", folder, "--runtime", runtime)
        assert code in (0, 1, 2)
        assert "is not the file that was exported" in printed.err or code == 2

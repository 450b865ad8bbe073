"""C that is written of models: right by the rule of check, without warnings, in any order."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.checking.check import check
from rnnbench.models.lifting import lifted
from rnnbench.runtimes.adapters._compiling import compiler
from tests.helpers import tiers
from tests.zoo import MODELS

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1")
SAMPLE = (
    "GruFusedGates",
    "LstmPeephole",
    "StabilisedByItsLargest",
    "LengthsAsAList",
    "RowsOfEpisodes",
    "GatesEachStep",
    "TakesADict",
    "ElmanInFloat64",
    "SpectralMask",
    "RowsThatHaveSteps",
    "MadeForInference",
    "MaskOfAList",
)
NAMES = SAMPLE if tiers.samples(1, 2) == 1 else tuple(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_zoo_is_right_in_c(name, tmp_path):
    model = MODELS[name].build()
    bundle = rnnbench.export(model, ("c",), tmp_path)
    path = bundle.artifacts["c"].path
    sources = [str(path), str(path.with_name("model_weights.c"))]
    shared = [
        *compiler(),
        *STRICT,
        "-fPIC",
        "-shared",
        *sources,
        "-o",
        str(tmp_path / "a.so"),
        "-lm",
    ]
    done = subprocess.run(shared, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert max(map(len, path.read_text().splitlines())) <= 120
    report = check(bundle, ["c"], model=lifted(model), isolate=False)  # also at other sizes
    assert {(row.format, row.runtime) for row in report.rows} >= {("c", "c")}
    wrong = [row for row in report.rows if row.format == "c" and row.verdict != "same"]
    assert not wrong, wrong


class Streamed(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(3)
        self.front = nn.Linear(5, 7)
        self.rnn = getattr(nn, kind)(7, 11, num_layers=2, batch_first=True)
        self.head = nn.Linear(11, 3)

    def forward(self, x, *states):
        given = states if len(states) > 1 else states[0]
        y, after = self.rnn(torch.tanh(self.front(x)), given)
        return torch.sigmoid(self.head(y)), *(after if isinstance(after, tuple) else [after])


@pytest.mark.parametrize(("kind", "names"), [("GRU", "h"), ("RNN", "h"), ("LSTM", "hc")])
def test_the_same_bits_in_a_batch_as_alone_and_in_chunks_as_at_once(kind, names, tmp_path):
    states = tuple(TensorSpec(n, (2, "batch", 11), role="state") for n in names)
    specs = (TensorSpec("x", ("batch", "time", 5)), *states)
    ends = {name: f"{name}n" for name in names}
    model = Model(Streamed(kind).eval(), specs, ("y", *ends.values()), states=ends)
    run = rnnbench.load(rnnbench.export(model, ("c",), tmp_path), "c")
    rng = np.random.default_rng(0)
    for batch, time in ((1, 1), (5, 9), (8, 17)):
        x = rng.standard_normal((batch, time, 5)).astype(np.float32)
        start = {n: rng.standard_normal((2, batch, 11)).astype(np.float32) for n in names}
        whole = run({"x": x, **start})
        for row in range(batch):
            its = {n: h[:, row : row + 1] for n, h in start.items()}
            alone = run({"x": x[row : row + 1], **its})
            assert np.array_equal(alone["y"][0], whole["y"][row])
        state, parts = start, []
        for step in range(0, time, 4):
            found = run({"x": x[:, step : step + 4], **state})
            state = {name: found[end] for name, end in ends.items()}
            parts.append(found["y"])
        assert np.array_equal(np.concatenate(parts, 1), whole["y"])
        assert all(np.array_equal(state[name], whole[end]) for name, end in ends.items())


@pytest.mark.parametrize(("kind", "names"), [("GRU", "h"), ("RNN", "h"), ("LSTM", "hc")])
def test_a_silent_stream_has_no_numbers_that_are_slow(kind, names, tmp_path):
    """Below the least normal number a processor may take a hundred times as long."""
    states = tuple(TensorSpec(n, (2, "batch", 11), role="state") for n in names)
    specs = (TensorSpec("x", ("batch", "time", 5)), *states)
    ends = {name: f"{name}n" for name in names}
    module = Streamed(kind).eval()
    for name, parameter in module.named_parameters():
        parameter.data *= 0.2 * ("bias" not in name)  # what is left of a state decays
    model = Model(module, specs, ("y", *ends.values()), states=ends)
    run = rnnbench.load(rnnbench.export(model, ("c",), tmp_path), "c")
    least = np.finfo(np.float32).tiny
    state = {n: np.full((2, 1, 11), 4e-38, np.float32) for n in names}
    for _ in range(40):
        out = run({"x": np.zeros((1, 1, 5), np.float32), **state})
        state = {n: out[end] for n, end in ends.items()}
        numbers = np.abs(np.concatenate([state[n].reshape(-1) for n in names]))
        assert not ((numbers > 0) & (numbers < least)).any()
    assert not numbers.any()
    assert np.float32(1e-40) * np.float32(0.5) != 0  # the caller's mode is as it was


def test_what_has_no_form_is_named_with_its_line(tmp_path):
    class Inverse(nn.Module):
        def forward(self, x):
            return torch.linalg.inv(x.mT @ x + torch.eye(2))

    model = Model(Inverse(), (TensorSpec("x", ("batch", "time", 2)),), ("y",))
    with pytest.raises(
        RnnbenchError, match=r"test_c.py:\d+: aten.linalg_inv_ex.default has no form in C"
    ):
        rnnbench.export(model, ("c",), tmp_path)


def test_c_of_somebody_else_is_not_compiled(tmp_path, monkeypatch):
    bundle = rnnbench.export(MODELS["GruFusedGates"].build(), ("c",), tmp_path / "mine")
    monkeypatch.setenv("RNNBENCH_STATE_DIR", str(tmp_path / "other user"))
    (row,) = (r for r in check(bundle.path, ["c"]).rows if r.runtime == "c")
    assert "was not written by you on this machine" in row.reason
    monkeypatch.undo()
    weights = bundle.path / "model_weights.c"
    weights.write_text(weights.read_text().replace("0.", "1.", 1))
    (row,) = (r for r in check(bundle.path, ["c"]).rows if r.runtime == "c")
    assert "is not what model.c was written with: export it again" in row.reason


def test_its_size_is_that_of_its_constants(tmp_path):
    gru = nn.GRU(8, 16, batch_first=True)
    x = TensorSpec("x", ("batch", "time", 8))
    bundle = rnnbench.export(Model(gru, (x,), ("y", "hn")), ("c", "onnx"), tmp_path)
    numbers = sum(p.numel() for p in gru.parameters()) * 4
    for name in ("c", "onnx"):  # panels are padded, and ONNX says more than its weights
        assert numbers <= bundle.artifacts[name].bytes < 2 * numbers


def test_a_header_can_be_read_from_cpp(tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    bundle = rnnbench.export(MODELS["GruFusedGates"].build(), ("c",), tmp_path)
    main = tmp_path / "main.cpp"
    main.write_text('#include "model.h"\nint main() { return model_workspace_size(1, 1) == 0; }\n')
    folder = bundle.path
    for name in ("model", "model_weights"):
        command = [
            *compiler(),
            "-std=c99",
            "-c",
            str(folder / f"{name}.c"),
            "-o",
            f"{tmp_path}/{name}.o",
        ]
        subprocess.run(command, check=True)
    objects = [str(tmp_path / f"{name}.o") for name in ("model", "model_weights")]
    program = str(tmp_path / "main")
    subprocess.run(["c++", f"-I{folder}", str(main), *objects, "-o", program, "-lm"], check=True)
    assert subprocess.run([program]).returncode == 0


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(64, 128, batch_first=True)
        self.mask = nn.Linear(128, 64)

    def forward(self, frames, h):
        y, h = self.rnn(frames, h)
        return torch.sigmoid(self.mask(y)) * frames, h


def test_the_example_of_the_documentation_runs(tmp_path):
    frames = TensorSpec("frames", ("batch", "time", 64))
    state = TensorSpec("h", (1, "batch", 128), role="state")
    model = Model(Denoiser().eval(), (frames, state), ("y", "hn"), states={"h": "hn"})
    folder = rnnbench.export(model, ("c",), tmp_path).path
    text = (Path(__file__).parents[2] / "docs" / "c.md").read_text()
    (main,) = re.findall(r"```c\n(#include.*?)```", text, re.DOTALL)
    declared = re.findall(r"```c\n(struct.*?)```", text, re.DOTALL)[0]
    header = " ".join((folder / "model.h").read_text().split())
    for part in re.findall(r"struct \w+ \{.*?\};|\w+ model_\w+\(.*?\);", declared, re.DOTALL):
        assert " ".join(part.split()) in header
    (folder / "main.c").write_text(main)
    sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(folder / n) for n in ("main.c", "model.c", "model_weights.c")]
    program = str(tmp_path / "program")
    command = [*compiler(), *STRICT, *sanitized, *sources, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_library_is_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBENCH_STATE_DIR", str(tmp_path / "state"))
    bundle = rnnbench.export(MODELS["GruFusedGates"].build(), ("c",), tmp_path / "made")
    check(bundle, ["c"], isolate=False)
    (library,) = (tmp_path / "state" / "libraries").iterdir()
    monkeypatch.setattr("rnnbench.runtimes.adapters.c.FLAGS", ("-std=c99", "-no-such-flag"))
    (row,) = (r for r in check(bundle, ["c"], isolate=False).rows if r.runtime == "c")
    assert "did not compile model.c" in row.reason  # other flags are another library
    monkeypatch.undo()
    assert library.is_file()

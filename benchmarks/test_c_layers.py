"""The C of `--format c` against ONNX Runtime's C API, and other C; its whole numbers too.

Layers with their states as inputs and outputs, one thread, both in one process with their buffers
bound, in turns. The limits are what issue "A file that needs no runtime" asks for on AVX2.

RTNeural is compared where RTNEURAL_ROOT names a checkout of github.com/jatinchowdhury18/RTNeural
with its submodules, of which it takes `modules/xsimd/include` and `modules/json`.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import Keep, skip

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.benchmarking.measuring.paired import Compared, compared
from rnnbench.embedding.target import TARGETS, find_target
from rnnbench.formats.c import WEIGHTS
from rnnbench.runtimes import get
from rnnbench.runtimes.adapters._compiling import compile_library
from rnnbench.runtimes.adapters.c import FLAGS

HERE = Path(__file__).parent / "c_layers"


class Work(NamedTuple):
    """What is computed in a call, and the ratio that is asked for."""

    kind: str
    size: int
    hidden: int
    batch: int
    steps: int
    limit: float

    def __str__(self) -> str:
        sizes = f"{self.size} -> {self.hidden}, batch {self.batch}, {self.steps} steps"
        return f"{self.kind} {sizes}"

    def calls(self) -> int:
        """So many that they take about a millisecond."""
        numbers = self.batch * self.steps * (self.size + self.hidden) * self.hidden
        return max(2, int(1.6e7 / numbers))

    def row(self) -> dict[str, Any]:
        """What the results say of it."""
        sizes = {"batch": self.batch, "time": self.steps, "hidden": self.hidden}
        return {"model": self.kind, "cell": self.kind.lower(), "form": "c", "runtime": "c"} | sizes


BOUND = [
    Work("LSTM", 16, 32, 1, 1, 0.06),
    Work("LSTM", 64, 128, 1, 1, 0.40),
    Work("GRU", 64, 128, 1, 1, 0.40),
    Work("LSTM", 256, 512, 1, 1, 0.75),
    Work("LSTM", 64, 128, 1, 32, 0.75),
    Work("GRU", 64, 128, 1, 32, 0.70),
    Work("RNN", 64, 128, 1, 32, 0.40),
    Work("LSTM", 64, 128, 1, 256, 0.70),
    Work("GRU", 64, 128, 1, 256, 0.70),
    Work("LSTM", 256, 512, 1, 32, 1.0),
    Work("GRU", 256, 512, 1, 32, 1.0),
    Work("LSTM", 64, 128, 4, 1, 0.65),
    Work("LSTM", 64, 128, 4, 32, 1.0),
]
WHOLE = [Work("LSTM", 256, 512, 1, 1, 0.45), Work("LSTM", 256, 512, 1, 32, 0.60)]


class Layer(torch.nn.Module):
    def __init__(self, kind: str, size: int, hidden: int) -> None:
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(size, hidden, batch_first=True)

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> Any:
        y, end = self.rnn(x, states if len(states) == 2 else states[0])
        return (y, *end) if len(states) == 2 else (y, end)


def layer(work: Work) -> Model:
    torch.manual_seed(0)
    kind, size, hidden = work.kind, work.size, work.hidden
    names = ("h", "c") if kind == "LSTM" else ("h",)
    states = (TensorSpec(n, (1, "batch", hidden), role="state") for n in names)
    ends = {n: f"{n}n" for n in names}
    x = TensorSpec("x", ("batch", "time", size))
    module = Layer(kind, size, hidden).eval()
    return Model(module, (x, *states), ("y", *ends.values()), states=ends, name=kind)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that takes turns, built as the project for ONNX Runtime is."""
    folder = tmp_path_factory.mktemp("turns")
    for file in (HERE / "turns.c", HERE / "steps.c", HERE / "CMakeLists.txt"):
        (folder / file.name).write_bytes(file.read_bytes())
    for name in ("ort.h", "onnxruntime.cmake"):
        (folder / name).write_bytes((TARGETS / "common" / name).read_bytes())
    for command in (("cmake", "-S", ".", "-B", "build"), ("cmake", "--build", "build")):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert not done.returncode, done.stdout + done.stderr
    return folder / "turns"


def library(model: Model, folder: Path, precision: str | None = None) -> Path:
    """The functions of a model."""
    bundle = rnnbench.export(model, ("c",), folder, precision=precision)
    code = bundle.artifacts["c"].path
    made = folder / "model.so"
    compile_library([code, code.with_name(WEIGHTS)], made, FLAGS)
    return made


def turns(program: Path, other: Path, own: Path, work: Work) -> Compared:
    """The time of a call of our functions beside that of others."""
    arguments = [program, other, own, work.batch, work.steps, work.calls()]
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    rounds = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return compared([ours for ours, _ in rounds], [theirs for _, theirs in rounds])


def keep_against(keep_ratio: Keep, ratio: Compared, work: Work, title: str, name: str) -> None:
    """A row of the results, and whether it is as fast as was asked for."""
    keep_ratio(ratio, f"c/{name}", f"C against {title}: {work}", work.row(), name)
    assert ratio.ratio <= work.limit


@pytest.mark.parametrize("work", BOUND, ids=str)
def test_c_layer(
    keep_ratio: Keep, request: pytest.FixtureRequest, program: Path, tmp_path: Path, work: Work
) -> None:
    target = find_target("c-onnxruntime")
    if target.missing():
        skip(request, f"C, {work}", target.missing())
    model = layer(work)
    stock = rnnbench.export(model, ("onnx",), tmp_path / "onnx").artifacts["onnx"].path
    ratio = turns(program, stock, library(model, tmp_path / "c"), work)
    keep_against(keep_ratio, ratio, work, "ONNX Runtime", "onnxruntime")


@pytest.mark.parametrize("work", WHOLE, ids=str)
def test_c_whole_numbers(keep_ratio: Keep, program: Path, tmp_path: Path, work: Work) -> None:
    model = layer(work)
    floats = library(model, tmp_path / "float32")
    whole = library(model, tmp_path / "int8", "int8-dynamic")
    ratio = turns(program, floats, whole, work)
    this = work.row() | {"mode": "int8-dynamic"}
    keep_ratio(ratio, "int8/float32", f"C, int8-dynamic against float32: {work}", this, "float32")
    assert ratio.ratio <= work.limit


EMX = [
    Work("LSTM", 16, 32, 1, 1, 0.2),
    Work("LSTM", 64, 128, 1, 1, 0.45),
    Work("GRU", 64, 128, 1, 1, 0.45),
    Work("LSTM", 64, 128, 1, 32, 0.5),
    Work("GRU", 64, 128, 1, 32, 0.5),
    Work("LSTM", 64, 128, 4, 1, 0.3),
    Work("LSTM", 64, 128, 4, 32, 0.3),
]


@pytest.mark.parametrize("work", EMX, ids=str)
def test_against_emx(
    keep_ratio: Keep, request: pytest.FixtureRequest, program: Path, tmp_path: Path, work: Work
) -> None:
    from rnnbench.runtimes.adapters import emx

    missing = get("emx").missing()
    if missing:
        skip(request, f"C against emx-onnx-cgen, {work}", missing)
    from rnnbench.formats.onnx.profiles import pinned

    model = layer(work)
    bundle = rnnbench.export(model, ("onnx",), tmp_path / "onnx", profile="emx")
    stock = bundle.artifacts["portable"].path
    sizes = {"batch": work.batch, "time": work.steps}
    shapes = {s.name: tuple(int(sizes.get(str(d), d)) for d in s.shape) for s in model.inputs}
    source = tmp_path / "model.c"
    source.write_text(emx.code_of(stock, pinned(stock, shapes)), encoding="utf-8")
    other = tmp_path / "emx.so"
    flags = ["-std=c11", "-Ofast", "-march=native", "-fPIC", "-shared", "-w"]
    states = 2 if work.kind == "LSTM" else 1
    compile_library([source, HERE / "emx.c"], other, [*flags, f"-DSTATES={states}"])
    ratio = turns(program, other, library(model, tmp_path / "c"), work)
    keep_against(keep_ratio, ratio, work, "emx-onnx-cgen", "emx")


RTNEURAL = [
    Work("LSTM", 16, 32, 1, 1, 1.0),
    Work("LSTM", 64, 128, 1, 1, 0.95),
    Work("GRU", 64, 128, 1, 1, 0.95),
    Work("LSTM", 256, 512, 1, 1, 1.0),
    Work("LSTM", 64, 128, 1, 32, 0.75),
    Work("GRU", 64, 128, 1, 32, 0.9),
    Work("LSTM", 64, 128, 1, 256, 0.7),
    Work("GRU", 64, 128, 1, 256, 0.85),
]


@pytest.mark.parametrize("work", RTNEURAL, ids=str)
def test_against_rtneural(
    keep_ratio: Keep, request: pytest.FixtureRequest, program: Path, tmp_path: Path, work: Work
) -> None:
    root = os.environ.get("RTNEURAL_ROOT")
    if not root:
        why = "no RTNeural: name its checkout in RTNEURAL_ROOT"
        skip(request, f"C against RTNeural, {work}", why)
    model = layer(work)
    other = _rtneural(Path(str(root)), model, tmp_path, work)
    ratio = turns(program, other, library(model, tmp_path / "c"), work)
    keep_against(keep_ratio, ratio, work, "RTNeural", "rtneural")


def _rtneural(root: Path, model: Model, folder: Path, work: Work) -> Path:
    """RTNeural's layer with the same weights, by its xsimd backend; it gives what PyTorch gives."""
    weights, made = folder / "weights.json", folder / "rtneural.so"
    state = model.module.state_dict(prefix="")
    state = {name.removeprefix("rnn."): value for name, value in state.items()}
    weights.write_text(json.dumps({name: value.tolist() for name, value in state.items()}))
    says = {"LAYER": f"{work.kind}LayerT", "LOAD": f"load{work.kind}", "SIZE": work.size}
    says |= {"HIDDEN": work.hidden, "WEIGHTS": f'"{weights}"', "NDEBUG": 1}
    says |= {
        "RTNEURAL_USE_XSIMD": 1,
        "RTNEURAL_DEFAULT_ALIGNMENT": 32,
        "RTNEURAL_NAMESPACE": "RTNeural",
    }
    includes = [root, root / "modules" / "xsimd" / "include", root / "modules" / "json"]
    command = ["c++", "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-w"]
    command += [f"-D{name}={value}" for name, value in says.items()]
    command += [f"-I{path}" for path in includes]
    done = subprocess.run(
        [*command, str(HERE / "rtneural.cpp"), "-o", str(made)], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    _gives_the_same(made, model, work)
    return made


def _gives_the_same(made: Path, model: Model, work: Work) -> None:
    loaded = ctypes.CDLL(str(made))
    loaded.model_workspace_size(ctypes.c_int64(1), ctypes.c_int64(1))
    x = torch.randn(1, 8, work.size)
    room = torch.zeros(2, 8 * max(work.size, work.hidden) + 16)
    given, y = (r[-r.data_ptr() // 4 % 16 :] for r in room)  # on a cache line
    given[: x.numel()] = x.flatten()
    inputs = (ctypes.c_void_p * 1)(given.data_ptr())
    outputs = (ctypes.c_void_p * 4)(y.data_ptr())
    loaded.model_run(inputs, outputs, None, ctypes.c_int64(1), ctypes.c_int64(8))
    zeros = [torch.zeros(1, 1, work.hidden) for _ in model.states]
    expected = model.module(x, *zeros)[0].detach()
    torch.testing.assert_close(y[: 8 * work.hidden].view(1, 8, -1), expected, rtol=1e-3, atol=1e-5)


STEPS = 100_000


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_steps_of_a_stream(keep_ratio: Keep, program: Path, tmp_path: Path, kind: str) -> None:
    """A silent stream is no slower than a loud one; the largest step stands beside the median."""
    work = Work(kind, 64, 128, 1, 1, 1.1)
    made = library(layer(work), tmp_path)
    states = 2 if kind == "LSTM" else 1
    sizes = map(str, (work.size, work.hidden, states, STEPS))
    command = [str(program.parent / "build" / "steps"), str(made), *sizes]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    rows = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    loud, worst, silent, _ = zip(*rows, strict=True)
    ratio = compared(list(silent), list(loud))
    group = f"C, a silent stream against a loud one: {kind}, one step"
    this = work.row() | {"steps": STEPS, "largest_s": max(worst)}
    keep_ratio(ratio, "silent/loud", group, this, "loud")
    median = sorted(loud)[len(loud) // 2]
    print(f"{STEPS} loud steps: median {median * 1e6:.2f} us, largest {max(worst) * 1e6:.1f} us")
    assert ratio.ratio <= work.limit

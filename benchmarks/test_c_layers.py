"""The C of `--format c` against ONNX Runtime's C API, and its whole numbers against its floats.

Layers with their states as inputs and outputs, one thread, both in one process with their buffers
bound, in turns. The limits are what issue "A file that needs no runtime" asks for on AVX2.
"""

from __future__ import annotations

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
    for file in (HERE / "turns.c", HERE / "CMakeLists.txt"):
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
    group = f"C against ONNX Runtime: {work}"
    keep_ratio(ratio, "c/onnxruntime", group, work.row(), "onnxruntime")
    assert ratio.ratio <= work.limit


@pytest.mark.parametrize("work", WHOLE, ids=str)
def test_c_whole_numbers(keep_ratio: Keep, program: Path, tmp_path: Path, work: Work) -> None:
    model = layer(work)
    floats = library(model, tmp_path / "float32")
    whole = library(model, tmp_path / "int8", "int8-dynamic")
    ratio = turns(program, floats, whole, work)
    this = work.row() | {"mode": "int8-dynamic"}
    keep_ratio(ratio, "int8/float32", f"C, int8-dynamic against float32: {work}", this, "float32")
    assert ratio.ratio <= work.limit

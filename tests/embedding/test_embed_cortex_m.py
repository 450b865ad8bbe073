"""The bare-metal project in an emulator: right with and without an FPU, and as large as it says."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.cases.golden import Record, read_arrays, write_arrays
from rnnbench.embedding.conform import conform
from rnnbench.embedding.project import embed
from rnnbench.embedding.results import read_result
from rnnbench.embedding.target import find_target
from tests.helpers.projects import skip
from tests.zoo import MODELS

CORES = ("m4f", "m3")
LARGE = {"HasPatience"}  # which may give 100,000 steps of any input
NO_STEP = {"WaveBesideFrames"}  # which has a frame for several samples


@pytest.fixture(scope="module")
def project(c_bundle, tmp_path_factory):
    """Built for both cores, each with what its build said; the program of the README too."""
    missing = find_target("cortex-m").missing()
    if missing:
        skip("cortex-m", missing)
    folder = tmp_path_factory.mktemp("cortex") / "p"
    embed(c_bundle("lstm"), find_target("cortex-m"), folder)
    readme = (folder / "README.md").read_text("utf-8")
    (code,) = re.findall(r"^```c\n(.*?)^```$", readme, re.S | re.M)
    (folder / "mine.c").write_text(code, encoding="utf-8")
    strict = "CFLAGS_MORE=-Wall -Wextra -Wpedantic -Wconversion -Werror"
    for core in CORES:
        said = call(folder, ["make", f"MCU={core}", strict])
        (folder / f"{core}.txt").write_text(said)
    return folder


def call(folder, words, code=0, **environment):
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def run(project, *words, core="m4f", code=0, **more):
    return call(project, ["sh", "run.sh", *map(str, words)], code, MCU=core, **more)


def test_conform_builds_it_and_runs_it_in_the_emulator(c_bundle):
    (row,) = conform(c_bundle("ragged"), ["cortex-m"])
    if row.verdict == "not run":
        skip("cortex-m", row.reason)
    assert row.verdict == "same", row
    assert [*row.versions] == ["gcc"]
    assert row.step_s > 0


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_the_zoo_is_right_on_a_cortex_m4f(name, tmp_path):
    """A step of none of them takes more than 256 KiB, but where the outputs alone are larger."""
    bundle = rnnbench.export(MODELS[name].build(), ("c",), tmp_path)
    (row,) = conform(bundle, ["cortex-m"])
    if row.verdict == "not run":
        skip("cortex-m", row.reason)
    assert row.verdict == "same", row
    if not all(dim.allows(1) for dim in bundle.dims.values()) or name in NO_STEP:
        return
    built = embed(bundle, find_target("cortex-m"), tmp_path / "p")
    call(built, ["make", "MCU=m4f"])
    sizes = [int(n) for n in re.findall(r"(?<= )\d+", run(built, "--sizes"))]
    assert (sum(sizes) <= 256 * 1024) == (name not in LARGE), sizes


@pytest.mark.parametrize("core", CORES)
def test_every_golden_case_is_right(project, core):
    assert re.fullmatch(
        r"(\d+) of \1 right, worst error \S+\n", run(project, "--verify", f"{core}.json", core=core)
    )
    row = read_result(project / f"{core}.json")
    assert (row.target, row.verdict) == ("cortex-m", "same")


@pytest.mark.parametrize("core", CORES)
def test_what_it_takes_is_printed(project, c_bundle, core):
    """The flash of the code and of the constants, which are no more than what the model has."""
    said = (project / f"{core}.txt").read_text()
    flash = {
        name: int(size) for size, name in re.findall(r"^ *(\d+)\s.*/(\w+)\.(?:o|elf)$", said, re.M)
    }
    assert flash["model_weights"] == c_bundle("lstm").manifest["artifacts"]["c"]["weight_bytes"]
    assert 0 < flash["model"] < 20_000
    assert flash["main"] > flash["model"] + flash["model_weights"]
    ram = re.fullmatch(
        r"a step: workspace (\d+) bytes, inputs (\d+), outputs (\d+)\n",
        run(project, "--sizes", core=core),
    )
    workspace, inputs, outputs = map(int, ram.groups())
    assert inputs == 4 * (4 + 2 * 2 * 8)
    assert outputs == 4 * (3 + 2 * 2 * 8)
    assert 0 < workspace < 4096


def test_without_an_fpu_there_is_no_instruction_of_one(project):
    for core, has in (("m4f", True), ("m3", False)):
        code = call(project, ["arm-none-eabi-objdump", "-d", f"build/{core}/model.o"])
        assert ("vfma.f32" in code) == has
        assert bool(re.search(r"\tv[a-z]+\.f32", code)) == has


def test_a_stream_gives_the_same_bits_as_one_call(project):
    for core in CORES:
        run(project, "input.json", "whole.json", core=core)
        run(project, "input.json", "steps.json", "--stream", core=core)
        whole, steps = (read_arrays(project / f"{n}.json") for n in ("whole", "steps"))
        for a, b in zip(whole, steps, strict=True):
            assert a.array.tobytes() == b.array.tobytes()


def test_the_program_of_the_readme_runs(project):
    call(project, ["make", "MAIN=mine.c"])
    said = run(project, PROGRAM="mine").split()
    assert len(set(said)) == 10, "each step has an output of its own"


def test_bad_input_is_one_line(project, tmp_path):
    shutil.copytree(project, tmp_path / "p")
    sizes = {"x": (5, 3, 5), "h0": (2, 3, 8), "c0": (2, 3, 8)}
    records = [Record("a", "in", n, np.zeros(size, np.float32)) for n, size in sizes.items()]
    write_arrays(tmp_path / "p", records, "mine.json")
    for words, says in (
        (("mine.json", "out.json"), "input x: dimension 2 is 5, and must be 4"),
        (("nowhere.json", "out.json"), "cannot read nowhere.json"),
        (("--nothing",), "give --verify [RESULT.json]"),
    ):
        (line,) = run(tmp_path / "p", *words, code=2).splitlines()
        assert line.startswith(f"model: {says}")


class Layer(nn.Module):
    """A layer whose hidden size is no multiple of 8, and a linear; with functions around them."""

    def __init__(self, kind, bias, functions=False):
        super().__init__()
        torch.manual_seed(4)
        self.functions = functions
        self.rnn = getattr(nn, kind)(11, 13, batch_first=True, bias=bias)
        self.head = nn.Linear(13, 5, bias=bias)

    def forward(self, x, *states):
        x = torch.sigmoid(x) - torch.tanh(x) if self.functions else x
        y, after = self.rnn(x, states if len(states) > 1 else states[0])
        y = torch.softmax(self.head(y), -1) if self.functions else self.head(y)
        return y, *(after if isinstance(after, tuple) else [after])


def same_bits(module, names, folder):
    """Runs cases in the emulator and here, and compares the bytes."""
    missing = find_target("cortex-m").missing()
    if missing:
        skip("cortex-m", missing)
    states = tuple(TensorSpec(n, (1, "batch", 13), role="state") for n in names)
    specs = (TensorSpec("x", ("batch", "time", 11)), *states)
    ends = {name: f"{name}n" for name in names}
    model = Model(module.eval(), specs, ("y", *ends.values()), states=ends)
    bundle = rnnbench.export(model, ("c",), folder / "b")
    desktop = rnnbench.load(bundle, "c")
    project = embed(bundle, find_target("cortex-m"), folder / "p")
    call(project, ["make"])
    rng = np.random.default_rng(0)
    for batch, time, size in ((1, 1, 1.0), (1, 9, 1.0), (3, 9, 1.0), (3, 7, 30.0), (3, 5, 1e-37)):
        shapes = {"x": (batch, time, 11)} | dict.fromkeys(names, (1, batch, 13))
        given = {
            name: (size * rng.standard_normal(shape)).astype(np.float32)
            for name, shape in shapes.items()
        }
        write_arrays(project, [Record("a", "in", n, a) for n, a in given.items()], "mine.json")
        run(project, "mine.json", "out.json")
        wanted = desktop(given)
        found = {record.name: record.array for record in read_arrays(project / "out.json")}
        assert found.keys() == wanted.keys()
        for name, array in found.items():
            assert array.tobytes() == wanted[name].tobytes(), (name, batch, time, size)


needs_fma = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="this processor has no AVX2 and FMA",
)


@needs_fma
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "names"), [("GRU", "h"), ("RNN", "h"), ("LSTM", "hc")])
def test_the_bits_are_those_of_the_desktop(kind, names, bias, tmp_path):
    """Products and layers: an FMA for an FMA, and below the least normal number 0 for 0."""
    same_bits(Layer(kind, bias), names, tmp_path)


@needs_fma
def test_the_bits_of_functions_are_those_of_a_desktop_that_is_told_of_fma(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "cc -mfma")
    same_bits(Layer("GRU", True, functions=True), "h", tmp_path)

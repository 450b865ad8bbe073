"""The C and C++ projects as their READMEs build them: one line, streams, bad input, allocations."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.cases.golden import Record, read_arrays, write_arrays
from rnnbench.embedding.conform import conform
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.helpers.c_models import Ragged

NAMES = ("c-onnxruntime", "cpp-onnxruntime")
COUNTING = """
#include <malloc.h>
#include "engine.h"
static long calls;
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t n) { calls++; return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { calls++; return __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { calls++; return __real_realloc(p, n); }
int main(void) {
    static engine e;
    array in[MODEL_INPUTS];
    engine_shapes(in, 1, 1);
    if (engine_open(&e, MODEL_FILE, 1) || engine_start(&e, in)) return puts(e.error), 1;
    for (int t = 0; t < 100; t++) if (engine_step(&e)) return puts(e.error), 1;
    long before = calls, all = (long)mallinfo2().uordblks;
    for (int t = 0; t < 20000; t++) if (engine_step(&e)) return puts(e.error), 1;
    printf("%ld %ld %ld\\n", before, calls - before, (long)mallinfo2().uordblks - all);
    engine_close(&e);
}
"""


@pytest.fixture(scope="module")
def weather(shared):
    model = variants.model("lstm", Options(4, 8, 2, output_size=1), bundle_name="weather-lstm")
    return shared.export("weather of native", lambda: model, ("onnx",))


def run(project, *words, **environment):
    return subprocess.run(
        ["./model", *map(str, words)],
        cwd=project,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def root(onnxruntime_root, tmp_path_factory):
    """What a release looks like: `include` and `lib`."""
    root = tmp_path_factory.mktemp("release")
    (root / "include").symlink_to(onnxruntime_root / "include")
    (root / "lib").mkdir()
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    (root / "lib" / "libonnxruntime.so").symlink_to(library)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNXRUNTIME_ROOT", str(root))
        yield root


@pytest.fixture(scope="module", params=NAMES)
def project(request, root, weather, tmp_path_factory):
    """Built by the one line of the README."""
    folder = tmp_path_factory.mktemp("native")
    project = embed(weather, find_target(request.param), folder / "a project")
    readme = (project / "README.md").read_text("utf-8")
    (line,) = re.findall(r"^c(?:c|\+\+) .*", readme, re.M)
    build = f"{line} -Wall -Wextra -Wpedantic -Werror"
    done = subprocess.run(build, shell=True, cwd=project, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return project


def test_the_example_of_the_readme_runs(project):
    readme = (project / "README.md").read_text("utf-8")
    ((kind, code),) = re.findall(r"^```(c|cpp)\n(.*?)^```$", readme, re.S | re.M)
    (project / f"example.{kind}").write_text(code, encoding="utf-8")
    (line,) = re.findall(r"^c(?:c|\+\+) .*", readme, re.M)
    line = line.replace(f"main.{kind}", f"example.{kind}").replace("-o model", "-o example")
    done = subprocess.run(
        f"{line} && ./example", shell=True, cwd=project, capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr
    assert len(set(done.stdout.split())) == 10, "each step has an output of its own"


def test_a_file_of_ones_own_and_the_sample(project):
    readme = (project / "README.md").read_text("utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", readme, re.S | re.M)
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True)
    for given in ("mine.json", "input.json"):
        whole = run(project, given, "out.json")
        steps = run(project, given, "steps.json", "--stream")
        assert whole.returncode == steps.returncode == 0
        assert [line.split(":")[0] for line in whole.stdout.splitlines()] == [
            "y float32[5, 1, 1]",
            "hn float32[2, 1, 8]",
            "cn float32[2, 1, 8]",
        ]
        numbers = [[float(n) for n in re.findall(r"-?\d+\.\S*", d.stdout)] for d in (whole, steps)]
        np.testing.assert_allclose(*numbers, atol=1e-5)


def test_a_stream_gives_the_same(project, tmp_path):
    assert run(project, "--verify").returncode == 0
    (tmp_path / "in").mkdir()
    given = read_arrays(project / "golden" / "cases.json")
    write_arrays(tmp_path / "in", [r for r in given if r.case == "long"])
    whole, stream = tmp_path / "whole.json", tmp_path / "stream.json"
    assert run(project, tmp_path / "in" / "cases.json", whole).returncode == 0
    assert run(project, tmp_path / "in" / "cases.json", stream, "--stream").returncode == 0
    exact = {r.name: r for r in given if r.case == "long" and r.part == "out"}
    for path in (whole, stream):
        made = {r.name: r.array for r in read_arrays(path)}
        assert list(made) == ["y", "hn", "cn"]
        for name, array in made.items():
            assert array.shape == exact[name].array.shape
            assert np.abs(array - exact[name].array).max() <= exact[name].allowed


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("cut data", "beyond the end"),
        ("cut header", "damaged"),
        ("no state", "h0 is missing"),
        ("other dtype", "must be float32"),
        ("other size", "dimension 2 is 5, and must be 4"),
        ("other batch", "dimension 1 is 2, and must be 3"),
        ("no file", "cannot read"),
        ("empty file", "is empty"),
        ("no output", "cannot write"),
        ("a folder", "is empty: give the header"),
        ("control characters", "dtype ?flo?at32 is none of"),
        ("no artifact", "copy it from its bundle again"),
        ("cut artifact", "copy it from its bundle again"),
    ],
)
def test_bad_input_is_one_line(project, tmp_path, damage, says):
    sizes = {"x": (5, 3, 4), "h0": (2, 3, 8), "c0": (2, 3, 8)}
    arrays = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
    if damage == "no state":
        del arrays["h0"]
    elif damage == "other dtype":
        arrays["x"] = arrays["x"].astype(np.float64)
    elif damage == "other size":
        arrays["x"] = np.zeros((5, 3, 5), np.float32)
    elif damage == "other batch":
        arrays["h0"] = np.zeros((2, 2, 8), np.float32)
    write_arrays(tmp_path, [Record("a", "in", name, array) for name, array in arrays.items()])
    header, out = tmp_path / "cases.json", tmp_path / "out.json"
    artifact = project / "model.onnx"
    sound = artifact.read_bytes()
    if damage == "cut data":
        (tmp_path / "cases.bin").write_bytes(bytes(10))
    elif damage == "cut header":
        header.write_text(header.read_text("utf-8")[:130], encoding="utf-8")
    elif damage == "no file":
        header.unlink()
    elif damage == "empty file":
        header.write_text("", encoding="utf-8")
    elif damage == "a folder":
        header = project
    elif damage == "control characters":
        text = header.read_text("utf-8").replace("float32", "\\u001bflo\\nat32")
        header.write_text(text, encoding="utf-8")
    elif damage == "no output":
        out = tmp_path / "nowhere" / "out.json"
    elif damage == "no artifact":
        artifact.unlink()
    elif damage == "cut artifact":
        artifact.write_bytes(sound[:1000])
    try:
        done = run(project, header, out)
    finally:
        artifact.write_bytes(sound)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert says in line
    assert not out.exists()


def test_the_program_of_the_readme_of_libtorch_runs(tmp_path):
    """Built by its CMake, in a folder whose name has a space, a quote and letters of all kinds."""
    missing = find_target("cpp-libtorch").missing()
    if missing:
        pytest.skip(missing)
    model = variants.model("gru", Options(4, 8, 1, output_size=1), bundle_name="gru")
    bundle = rnnbench.export(model, ("torchscript",), tmp_path)
    project = embed(bundle, find_target("cpp-libtorch"), tmp_path / "l'\u00e9t\u00e9 \u4e2d")
    readme = (project / "README.md").read_text("utf-8")
    (code,) = re.findall(r"^```cpp\n(.*?)^```$", readme, re.S | re.M)
    (project / "mine.cpp").write_text(code, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build = 'cmake -S libtorch -B build -DMINE="$PWD/mine.cpp" && cmake --build build'
    environment = os.environ | {"PATH": path}
    made = subprocess.run(
        f"{build} -j 2", shell=True, cwd=project, env=environment, capture_output=True, text=True
    )
    assert not made.returncode, made.stderr

    def call(*words):
        return subprocess.run(words, cwd=project, capture_output=True, text=True)

    done = call("build/mine")
    assert not done.returncode, done.stderr
    shape, *values = done.stdout.splitlines()
    assert shape == "[5, 1, 1]"
    assert len(set(map(float, values))) == 10
    whole = call("build/run", "input.json", "out.json")
    assert whole.stdout == call("build/run", "input.json", "steps.json", "--stream").stdout
    assert whole.stdout.startswith("y float32[5, 1, 1]: ")
    (project / "binary.json").write_bytes(bytes(range(14, 256)))
    for words, says in (
        (("nowhere.json", "out.json"), "it is not there"),
        (("binary.json", "out.json"), "no '{' before"),
        (("input.json", "out.bin"), "is the data file's name: give another"),
        (("input.json", "nowhere/out.json"), "cannot write nowhere/out.json"),
    ):
        done = call("build/run", *words)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert says in line
        assert line.isprintable()


def test_no_library_and_an_old_one(project, tmp_path):
    """A library that says it is 1.4 is never asked for more."""
    done = run(project, "--verify", ONNXRUNTIME_ROOT="/nowhere")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "set ONNXRUNTIME_ROOT" in line
    source = tmp_path / "old.c"
    source.write_text(
        "static const void *api(unsigned n) { (void)n; return 0; }\n"
        'static const char *version(void) { return "1.4.0"; }\n'
        "static const struct { void *a, *b; } base = {(void *)api, (void *)version};\n"
        "const void *OrtGetApiBase(void) { return &base; }\n",
        encoding="utf-8",
    )
    (tmp_path / "lib").mkdir()
    library = tmp_path / "lib" / "libonnxruntime.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    done = run(project, "--verify", ONNXRUNTIME_ROOT=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "version 1.4.0" in line
    assert "install a newer one" in line


def test_a_step_in_c_allocates_nothing(root, weather, tmp_path):
    """Our own calls are counted by the linker's --wrap; the whole process's bytes do not grow."""
    project = embed(weather, find_target("c-onnxruntime"), tmp_path / "project")
    (project / "counting.c").write_text(COUNTING, encoding="utf-8")
    wrapped = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
    include = f"{root}/include"
    command = ["cc", "-std=gnu11", "-O1", "-fno-builtin", "-isystem", include, "counting.c"]
    command += ["engine.c", "-o", "model", "-ldl", "-lm", *wrapped]
    subprocess.run(command, cwd=project, check=True)
    done = run(project)
    before, during, grown = map(int, done.stdout.split())
    assert before > 0, "the counter counts"
    assert during == 0
    assert grown == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_cannot_stream_is_not_streamed(root, tmp_path, name):
    """And its README's program runs whole sequences."""
    both = Options(4, 8, 1, output_size=2, bidirectional=True)
    model = variants.model("gru", both, bundle_name="both")
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    project = embed(bundle, find_target(name), tmp_path / "project")
    readme = (project / "README.md").read_text("utf-8")
    (line,) = re.findall(r"^c(?:c|\+\+) .*", readme, re.M)
    ((kind, code),) = re.findall(r"^```(c|cpp)\n(.*?)^```$", readme, re.S | re.M)
    (project / f"mine.{kind}").write_text(code, encoding="utf-8")
    mine = line.replace(f"main.{kind}", f"mine.{kind}").replace("-o model", "-o mine")
    done = subprocess.run(
        f"{line} && {mine} && ./mine", shell=True, cwd=project, capture_output=True
    )
    assert not done.returncode, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert run(project, "input.json", "out.json").returncode == 0
    done = run(project, "input.json", "out.json", "--stream")
    assert done.returncode == 2
    assert done.stderr == "model: both needs whole sequences: run it without --stream\n"


@pytest.mark.parametrize("name", NAMES)
def test_integers_lengths_and_batch_first(root, tmp_path, name):
    inputs = (
        TensorSpec("ids", ("batch", "time"), "int64", high=7),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 6), role="state"),
    )
    torch.manual_seed(0)
    outputs = ("y", "hn", "best")
    model = Model(Ragged().eval(), inputs, outputs, {"h0": "hn"}, name="ragged")
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    (row,) = conform(bundle, [name])
    assert row.verdict == "same", row
    said = read_arrays(
        embed(bundle, find_target(name), tmp_path / "project") / "golden" / "cases.json"
    )
    assert any(record.stream for record in said), "nothing was streamed"

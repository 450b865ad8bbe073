"""The C and C++ projects as their READMEs build them: one line, streams, bad input, allocations."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import rnnbench
from rnnbench import Model, TensorSpec, variants
from rnnbench.conform import conform
from rnnbench.embed import embed, find_target
from rnnbench.golden import Record, read_arrays, write_arrays
from rnnbench.variants import Options

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


def bundle_of(out):
    model = variants.model("lstm", Options(4, 8, 2, output_size=1), bundle_name="weather-lstm")
    return rnnbench.export(model, ("onnx",), out)


class Ragged(torch.nn.Module):
    """Integers, lengths, and a time axis that is not the first."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(7, 5)
        self.layer = torch.nn.GRU(5, 6, batch_first=True)

    def forward(self, ids, lengths, h0):
        steps = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        y, hn = self.layer(self.table(ids) * steps[:, :, None], h0)
        return y, hn, y.argmax(-1)


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
def project(request, root, tmp_path_factory):
    """Built by the one line of the README."""
    folder = tmp_path_factory.mktemp("native")
    project = embed(bundle_of(folder), find_target(request.param), folder / "a project")
    readme = (project / "README.md").read_text("utf-8")
    (line,) = re.findall(r"^c(?:c|\+\+) .*", readme, re.M)
    build = f"{line} -Wall -Wextra -Wpedantic -Werror"
    done = subprocess.run(build, shell=True, cwd=project, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return project


def test_the_example_of_the_readme_runs(project):
    readme = (project / "README.md").read_text("utf-8")
    ((kind, code),) = re.findall(r"```(c|cpp)\n(.*?)```", readme, re.S)
    (project / f"example.{kind}").write_text(code, encoding="utf-8")
    (line,) = re.findall(r"^c(?:c|\+\+) .*", readme, re.M)
    line = line.replace(f"main.{kind}", f"example.{kind}").replace("-o model", "-o example")
    done = subprocess.run(
        f"{line} && ./example", shell=True, cwd=project, capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr
    assert len(set(done.stdout.split())) == 10, "each step has an output of its own"


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


def test_a_step_in_c_allocates_nothing(root, tmp_path):
    """Our own calls are counted by the linker's --wrap; the whole process's bytes do not grow."""
    project = embed(bundle_of(tmp_path), find_target("c-onnxruntime"), tmp_path / "project")
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

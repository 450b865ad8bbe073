"""The C project without a runtime: right, no warning, safe in an audio thread; C++, Python."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.cases.golden import Record, read_arrays, write_arrays
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import conform
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.helpers import tiers
from tests.helpers.c_models import BUILD
from tests.helpers.projects import skip

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
KINDS = {"c": "c", "cpp": "cpp", "python": "py"}
MISSING = find_target("c").missing()
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("RNNBENCH_EVERY_TARGET"), reason=MISSING
)


@pytest.fixture(scope="session")
def project_of(c_bundle, shared):
    """The project of a model, with the programs of its README; leave it as it is, or copy it."""

    def fill(folder, name):
        project = embed(c_bundle(name), find_target("c"), folder / "a project")
        readme = (project / "README.md").read_text("utf-8")
        for kind, code in re.findall(r"^```(\w+)\n(.*?)^```$", readme, re.S | re.M):
            if kind in KINDS:
                own = "write.py" if "import json, struct" in code else f"mine.{KINDS[kind]}"
                (project / own).write_text(code, encoding="utf-8")
        (project / "mine").mkdir()
        (project / "mine.c").rename(project / "mine" / "mine.c")  # which `*.c` is not
        (line,) = re.findall(r"^cc .*", readme, re.M)
        call(project, f"{line} {' '.join(STRICT)}")
        call(project, f"cc -std=c99 -O1 {' '.join(STRICT)} -I. -c model.c model_weights.c")
        (shared_line,) = re.findall(r"`(cc [^`]*-shared [^`]*)`", readme)
        call(project, shared_line)

    return lambda name: (
        shared.folder(f"project-c {name}", lambda folder: fill(folder, name)) / "a project"
    )


def call(folder, command, code=0, **environment):
    """What it printed; it ends with that exit code."""
    words = {"shell": True} if isinstance(command, str) else {}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | environment, **words
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize("name", BUILD)
def test_a_project_in_c_verifies_itself(c_bundle, name):
    (row,) = conform(c_bundle(name), ["c"])
    if row.verdict == "not run":
        skip("c", row.reason)
    assert row.verdict == "same", row
    assert row.worst_error <= row.allowed
    assert [*row.versions] == ["gcc"] or [*row.versions] == ["clang"]


@pytest.mark.parametrize("name", BUILD)
def test_the_one_line_compiles_without_a_warning_and_streams(project_of, tmp_path, name):
    project = project_of(name)
    assert re.fullmatch(r"(\d+) of \1 right, worst error \S+\n", call(project, "./model --verify"))
    streams = '"streams": true' in (project / "model.json").read_text("utf-8")
    assert "cannot write" in call(project, f"./model input.json {tmp_path}/none/x.json", 2)
    assert streams == (name not in ("both", "double", "episodes"))


@pytest.mark.parametrize("name", ["lstm", "both", "ragged", "keywords"])
def test_the_programs_of_the_readme_say_the_same(project_of, name):
    """In C, in C++ and in Python: ten steps, or one sequence."""
    project = project_of(name)
    objects = "model.o model_weights.o -lm"
    strict = " ".join(STRICT)
    call(project, f"cc -std=c99 {strict} -I. mine/mine.c {objects} -o mine/c")
    call(project, f"c++ -std=c++17 {strict} -Wshadow mine.cpp {objects} -o mine/cpp")
    in_c, in_cpp = call(project, "mine/c"), call(project, "mine/cpp")
    assert in_c == in_cpp
    assert len(in_c.splitlines()) == (1 if name == "both" else 10)
    if name != "ragged":  # whose input is an id, the same at each step
        assert len(set(in_c.splitlines())) == len(in_c.splitlines())
    in_python = call(project, [sys.executable, "mine.py"])
    if name != "both":
        assert len(in_python.splitlines()) >= 11


@pytest.mark.parametrize("name", BUILD)
def test_python_verifies_the_same_cases(project_of, name):
    project = project_of(name)
    said = call(project, [sys.executable, "main.py", "--verify"])
    assert said.split()[:4] == call(project, "./model --verify").split()[:4]


def test_a_file_of_ones_own_whole_and_in_steps(project_of, tmp_path):
    project = tmp_path / "p"
    shutil.copytree(project_of("lstm"), project)
    call(project, [sys.executable, "write.py"])
    for given in ("mine.json", "input.json"):
        call(project, f"./model {given} whole.json")
        call(project, f"./model {given} steps.json --stream")
        whole, steps = (read_arrays(project / f"{n}.json") for n in ("whole", "steps"))
        for a, b in zip(whole, steps, strict=True):
            assert a.array.tobytes() == b.array.tobytes(), "the same bits in steps as at once"


SAFE = """
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "model.hpp"

static long calls;
#define COUNT(type, name, given, named) \\
    extern "C" type __real_##name given; \\
    extern "C" type __wrap_##name given { calls++; return __real_##name named; }
COUNT(void *, malloc, (size_t n), (n))
COUNT(void *, calloc, (size_t n, size_t m), (n, m))
COUNT(void *, realloc, (void *p, size_t n), (p, n))
COUNT(void, free, (void *p), (p))
COUNT(int, pthread_mutex_lock, (pthread_mutex_t *m), (m))
extern "C" void *__real__Znwm(size_t n);
extern "C" void *__wrap__Znwm(size_t n) { calls++; return __real__Znwm(n); }
extern "C" void *__real__Znam(size_t n);
extern "C" void *__wrap__Znam(size_t n) { calls++; return __real__Znam(n); }

int main(int argc, char **) {
    model::Stream stream;
    void *workspace = malloc(model_workspace_size(1, 1));
    const model_inputs inputs = {stream.in.x.data(), stream.in.h0.data(), stream.in.c0.data()};
    model_outputs outputs = {};
    outputs.y = stream.out.y.data();
    outputs.hn = stream.out.hn.data();
    outputs.cn = stream.out.cn.data();
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    const long before = calls;
    /* From here on a system call but read, write and exit kills the process. */
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 3;
    if (argc > 1) (void)getppid();
    for (int t = 0; t < 1000; t++) {
        stream.in.x[0] = static_cast<float>(t % 7);
        stream.step();
        model_step(&inputs, &outputs, workspace, 1);
    }
    stream.reset();
    char said[] = "?? 0\\n";
    said[0] = before > 4 ? 'y' : 'n', said[1] = calls == before ? 'y' : 'n';
    if (write(1, said, sizeof said - 1) < 0) return 4;
    syscall(SYS_exit, 0);
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is of Linux")
@pytest.mark.parametrize("level", ["-O1", "-O2"])
def test_a_step_is_safe_in_an_audio_thread(project_of, tmp_path, level):
    """No allocation and no lock (counted by --wrap), no system call (seccomp), in 1000 steps."""
    project = tmp_path / "p"
    shutil.copytree(project_of("lstm"), project)
    (project / "safe.cpp").write_text(SAFE, encoding="utf-8")
    counted = ("malloc", "calloc", "realloc", "free", "pthread_mutex_lock", "_Znwm", "_Znam")
    wraps = " ".join(f"-Wl,--wrap={name}" for name in counted)
    call(project, f"cc -std=c99 {level} -c model.c model_weights.c")
    objects = "safe.cpp model.o model_weights.o"
    call(project, f"c++ -std=c++17 {level} -fno-builtin {objects} -o safe -lm -lpthread {wraps}")
    assert call(project, "./safe") == "yy 0\n", "nothing is counted, or something is"
    killed = subprocess.run(["./safe", "call"], cwd=project)
    assert killed.returncode == -9, "a system call is noticed"


@pytest.mark.parametrize("name", ["lstm", "ragged"] if tiers.samples(1, 2) == 1 else BUILD)
def test_sanitizers_find_nothing(project_of, tmp_path, name):
    project = tmp_path / "p"
    shutil.copytree(project_of(name), project)
    flags = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    call(project, f"cc -std=c99 {flags} *.c -o model -lm")
    assert " right, worst error " in call(project, "./model --verify")
    call(project, "./model input.json out.json")


def test_cmake_builds_the_program_and_the_library(project_of, tmp_path):
    if shutil.which("cmake") is None:
        skip("c", "cmake is not on the path")
    project = tmp_path / "p"
    shutil.copytree(project_of("lstm"), project)
    for file in ("model", "libmodel.so"):
        (project / file).unlink()
    call(project, "cmake -S . -B build && cmake --build build")
    assert " right, worst error " in call(project, "./model --verify")
    assert " right, worst error " in call(project, [sys.executable, "main.py", "--verify"])


@pytest.mark.parametrize("compiler", ["clang"])
def test_what_is_ours_compiles_without_a_warning_elsewhere(project_of, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on the path")
    project = project_of("keywords")
    call(project, f"{compiler} -std=c99 -fsyntax-only {' '.join(STRICT)} main.c")
    call(project, f"{compiler}++ -std=c++17 -fsyntax-only {' '.join(STRICT)} mine.cpp")


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"x": (5, 3, 5)}, "input x: dimension 2 is 5, and must be 4"),
        ({"h0": (2, 2, 8)}, "input h0: dimension 1 is 2, and must be 3"),
        ({"x": (0, 3, 4)}, "time must be 1 or more"),
        ({"x": (5, 0, 4), "h0": (2, 0, 8), "c0": (2, 0, 8)}, "batch must be 1 or more"),
    ],
)
def test_bad_input_is_one_line(project_of, tmp_path, sizes, says):
    sizes = {"x": (5, 3, 4), "h0": (2, 3, 8), "c0": (2, 3, 8)} | sizes
    write_arrays(
        tmp_path, [Record("a", "in", n, np.zeros(size, np.float32)) for n, size in sizes.items()]
    )
    said = call(project_of("lstm"), ["./model", f"{tmp_path}/cases.json", f"{tmp_path}/o.json"], 2)
    assert said == f"model: {says}\n"


def test_sizes_that_do_not_agree_are_one_line(project_of, tmp_path):
    """Of a shape `envs*time`, in C and in Python: C reads as much as it is told."""
    sizes = {"seen": (7, 3), "starts": (6,)}
    project = project_of("episodes")
    about = read_arrays(project / "input.json")
    hidden = next(r.array.shape[-1] for r in about if r.name == "h0")
    for starts, says in (((6,), "give float32[7]"), ((7,), "its envs*time is 7, and must be 6")):
        sizes |= {"starts": starts, "h0": (1, 2, hidden)}
        records = [Record("a", "in", n, np.zeros(s, np.float32)) for n, s in sizes.items()]
        write_arrays(tmp_path, records)
        words = [f"{tmp_path}/cases.json", f"{tmp_path}/o.json"]
        (line,) = call(project, ["./model", *words], 2).splitlines()
        assert re.search(r"input (seen|starts): dimension 0 must be envs\*time", line)
        (line,) = call(project, [sys.executable, "main.py", *words], 2).splitlines()
        assert says in line


CPP = """
#include <cstdio>
#include "model.hpp"
int main() {
    const model::Sizes sizes = {2, 3};
    std::vector<std::int64_t> ids = {1, 2, 3, 4, 5, 6}, lengths = {3, 2};
    std::vector<float> h0(12);
    model::Inputs inputs;
    inputs.ids = ids, inputs.lengths = lengths, inputs.h0 = h0;
    const model::Outputs outputs = model::run(inputs, sizes);
    std::printf("%zu %d %d %d\\n", outputs.y.size(), static_cast<int>(outputs.best_shape[0]),
                static_cast<int>(outputs.best_shape[1]), static_cast<int>(outputs.hn_shape[2]));
    model::Stream stream(sizes);
    for (std::size_t t = 0; t < 2; t++) {
        stream.in.ids[0] = ids[t], stream.in.ids[1] = ids[3 + t];
        stream.step();
        for (std::size_t i = 0; i < 6; i++)
            if (stream.out.y[i] != outputs.y[t * 6 + i]) return 1;
    }
    ids.pop_back();
    inputs.ids = ids;
    try {
        model::run(inputs, sizes);
    } catch (const std::invalid_argument &error) {
        std::puts(error.what());
    }
    try {
        model::Stream none({0, 1});
    } catch (const std::invalid_argument &error) {
        std::puts(error.what());
    }
}
"""


def test_the_wrapper_for_cpp(project_of, tmp_path):
    project = tmp_path / "p"
    shutil.copytree(project_of("ragged"), project)
    (project / "own.cpp").write_text(CPP, encoding="utf-8")
    objects = "model.o model_weights.o -lm -o own"
    call(project, f"c++ -std=c++17 {' '.join(STRICT)} -Wshadow own.cpp {objects}")
    assert call(project, "./own").splitlines() == [
        "36 2 3 6",
        "ids must be [batch, time]: it has 5 numbers, and not 6",
        "batch must be 1 or more",
    ]


PYTHON = """
import numpy as np
from model import Model
model = Model()
rng = np.random.default_rng(0)
inputs = model.zeros(batch=2, time=6)
inputs["x"][:] = rng.standard_normal(inputs["x"].shape)
whole = model(inputs)
parts = [model.step({"x": inputs["x"][t : t + 1]}) for t in range(6)]
assert np.array_equal(np.concatenate([part["y"] for part in parts]), whole["y"])
assert np.array_equal(parts[-1]["cn"], whole["cn"])
model.reset()
again = model.step({"x": inputs["x"][:1]})
assert np.array_equal(again["y"], parts[0]["y"]) and not np.array_equal(whole["y"][1:2], again["y"])
print("right")
"""


def test_the_class_for_python(project_of, tmp_path):
    project = tmp_path / "p"
    shutil.copytree(project_of("lstm"), project)
    assert call(project, [sys.executable, "-c", PYTHON]) == "right\n"
    (project / "libmodel.so").unlink()
    (line,) = call(project, [sys.executable, "main.py", "--verify"], 2).splitlines()
    assert "cannot be loaded" in line
    assert "cc -std=c99 -O2 -fPIC -shared" in line


# -- what is refused ------------------------------------------------------------------------------


def test_a_bundle_without_c_is_one_line(tmp_path):
    model = variants.model("gru", Options(3, 4, 1), bundle_name="gru")
    bundle = rnnbench.export(model, ("torchscript",), tmp_path)
    with pytest.raises(RnnbenchError, match=r"has no c file, which c needs .*: export it with"):
        embed(bundle, find_target("c"), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_c_of_somebody_else_is_embedded_and_not_run(c_bundle, tmp_path, monkeypatch):
    bundle = c_bundle("lstm")
    monkeypatch.setenv("RNNBENCH_STATE_DIR", str(tmp_path / "other user"))
    (row,) = conform(bundle, ["c"])
    assert row.verdict == "not run"
    assert "was not written by you on this machine" in row.reason
    assert (embed(bundle, find_target("c"), tmp_path / "p") / "model.c").is_file()


@pytest.mark.parametrize("damage", ["model.h", "model_weights.c", "other name"])
def test_c_that_was_not_written_together_is_refused(c_bundle, tmp_path, damage):
    sound = c_bundle("lstm")
    shutil.copytree(sound.path, tmp_path / "b")
    bundle = Bundle(tmp_path / "b", sound.manifest)
    if damage == "other name":
        (tmp_path / "b" / "model.c").rename(tmp_path / "b" / "main.c")
        artifacts = {"c": sound.manifest["artifacts"]["c"] | {"file": "main.c"}}
        bundle = Bundle(tmp_path / "b", sound.manifest | {"artifacts": artifacts})
    else:
        with (tmp_path / "b" / damage).open("a") as file:
            file.write("/* changed */\n")
    with pytest.raises(RnnbenchError, match="export the model again") as caught:
        embed(bundle, find_target("c"), tmp_path / "p")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p").exists()

"""What compilers, sanitizers and clang-tidy find in the C of the zoo: nothing.

The project that `embed --target c` writes runs the golden cases and compares them, with every array
of the workspace in memory of its own: one that is written beyond its end is found.
"""

import os
import re
import shutil
import subprocess

import pytest

import rnnbench
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from tests.helpers import tiers
from tests.zoo import MODELS

SAMPLE = (
    "GruFusedGates",
    "LstmPeephole",
    "StabilisedByItsLargest",
    "LengthsAsAList",
    "RowsOfEpisodes",
    "FromTheThirdStep",
    "SpectralMask",
    "AttentiveUpdates",
    "LoudAndQuiet",
)
NAMES = SAMPLE if tiers.samples(1, 2) == 1 else tuple(MODELS)
COMPILERS = ("gcc", "clang")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
# -O0: nothing that is wrong is optimised away, and it compiles in a tenth of the time.
# float-cast-overflow is in neither compiler's `undefined`: a number that no integer has.
SANITIZED = (
    "-O0",
    "-g",
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
)
# Memory is full of numbers that are none before it is written; the arrays are not freed.
APART = {"ASAN_OPTIONS": "detect_leaks=0:max_malloc_fill_size=1000000000:malloc_fill_byte=255"}
TIDY = ",".join(
    (
        "-*",
        "bugprone-*",
        "clang-analyzer-*",
        "cert-*",
        # Style: that neighbours have one type; y, x, w, b of a product are arrays of floats.
        "-bugprone-easily-swappable-parameters",
    )
)


def needs(*tools):
    """Skips where a tool is missing; in CI none is."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    assert not (missing and os.environ.get("RNNBENCH_EVERY_TARGET")), missing
    if missing:
        pytest.skip(f"{missing[0]} is not on the path")


@pytest.fixture(scope="session")
def project_of(shared):
    """The project of a model of the zoo; leave it as it is."""

    def fill(folder, name):
        bundle = shared.export(f"sound-c {name}", MODELS[name].build, ("c",))
        embed(bundle, find_target("c"), folder / "p")

    return lambda name: shared.folder(f"project-sound-c {name}", lambda f: fill(f, name)) / "p"


def call(folder, words, **environment):
    """What it printed; it ends well."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def with_arrays_apart(code):
    """`model.c`, with a `malloc` for each array that was a place in the workspace."""
    before = r"(?:    /\* \[(.*)\] \*/\n)?"
    taken = (
        r"    (\w+) \*const (\w+) = (.*)\(void \*\)\(base \+ room\.at\d+\);(?: /\* \[(.*)\] \*/)?\n"
    )

    def own(found):
        above, kind, name, cast, behind = found.groups()
        number = f"(size_t)model_max({above or behind}, 0)"
        return f"    {kind} *const {name} = {cast}malloc(sizeof({kind}) * {number});\n"

    apart, count = re.subn(before + taken, own, code)
    assert count == code.count("base + room.") > 0
    return apart.replace('#include "model.h"', '#include "model.h"\n#include <stdlib.h>', 1)


def assert_sound(project, compiler):
    """No warning; and with sanitizers right, as it is and with its arrays apart."""
    for source in ("model", "model_weights"):
        call(project, [compiler, *STRICT, "-O3", "-c", f"{source}.c"])
    built = [compiler, *STRICT, *SANITIZED, "main.c", "model.c", "model_weights.c", "-lm"]
    call(project, [*built, "-o", "model"])
    assert " right, worst error " in call(project, ["./model", "--verify"])

    code, main = (project / n for n in ("model.c", "main.c"))
    code.write_text(with_arrays_apart(code.read_text()))
    assert main.read_text().count("calloc(1, bytes + 1)") == 1
    main.write_text(main.read_text().replace("bytes + 1", "bytes"))
    call(project, [*built, "-o", "apart"])
    assert " right, worst error " in call(project, ["./apart", "--verify"], **APART)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", NAMES)
def test_sanitizers_and_warnings_find_nothing(project_of, tmp_path, name, compiler):
    needs(compiler)
    project = tmp_path / "p"
    shutil.copytree(project_of(name), project)
    assert_sound(project, compiler)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8-weights", "int8-dynamic"])
def test_nor_in_smaller_weights(tmp_path, precision, compiler):
    needs(compiler)
    made = rnnbench.export(
        MODELS["AfterStridedConvolution"].build(), ("c",), tmp_path, precision=precision
    )
    embed(made, find_target("c"), tmp_path / "p")
    assert_sound(tmp_path / "p", compiler)


@pytest.mark.parametrize("name", NAMES)
def test_clang_tidy_finds_no_bug(project_of, name):
    needs("clang-tidy")
    sources = ["model.c", "model_weights.c"]
    options = ["--quiet", f"--checks={TIDY}", "--warnings-as-errors=*"]
    call(project_of(name), ["clang-tidy", *options, *sources, "--", "-std=c99"])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_is_written_beyond_an_array_is_found(project_of, tmp_path, compiler):
    """Of an array within the workspace too: the test above can fail."""
    needs(compiler)
    project = tmp_path / "p"
    shutil.copytree(project_of(SAMPLE[0]), project)
    code = project / "model.c"
    whole = with_arrays_apart(code.read_text())
    code.write_text(whole.replace("(size_t)model_max(", "(size_t)model_max(-1 + ", 1))
    assert code.read_text() != whole
    words = ["-std=c99", *SANITIZED, "main.c", "model.c", "model_weights.c", "-o", "model", "-lm"]
    call(project, [compiler, *words])
    environment = os.environ | APART
    words = ["./model", "--verify"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr

"""The kernels of the C files on other machines: the same bytes as on this one."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rnnbench.formats.c.kernels import DYNAMIC, HEADER, KINDS, SMALLER, products_of
from rnnbench.formats.c.printing import PRELUDE
from rnnbench.runtimes.adapters._compiling import compiler

HELPERS = Path(__file__).parents[1] / "helpers"
STRICT = ("-std=c99", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Wpedantic")
STRICT = (*STRICT, "-Wconversion", "-Werror")
ARM, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
WASM = ("clang", "--target=wasm32-wasi", "-msimd128", "-mnontrapping-fptoint", "-mbulk-memory")
LINKED = ("-nostartfiles", "-Wl,--no-entry", "-Wl,--export=all_of", "-Wl,--export=bytes_of")

RUN_WASM = """
const { readFileSync } = await import("node:fs");
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[1]), {});
const { all_of, bytes_of, memory } = instance.exports;
const at = all_of(Number(process.argv[2]));
process.stdout.write(Buffer.from(memory.buffer, at, bytes_of()));
"""


def needs(*tools):
    """Skips where a tool is missing; in CI none is."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and not os.environ.get("RNNBENCH_EVERY_TARGET"):
        pytest.skip(f"there is no {', '.join(missing)}")
    assert not missing


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    head = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n#include <stddef.h>\n"
    parts = [PRELUDE, HEADER, SMALLER, *map(products_of, KINDS.values()), DYNAMIC]
    file = tmp_path_factory.mktemp("machines") / "kernels.c"
    file.write_text(head + "\n".join([*parts, (HELPERS / "machines.c").read_text()]))
    return file


def compiled(command, source, name, *, libraries=("-lm",)):
    made = source.with_name(name)
    subprocess.run([*command, *STRICT, str(source), "-o", str(made), *libraries], check=True)
    return made


def bytes_of(*command):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, timeout=300)
    assert done.returncode in (0, 3)
    return done.stdout if done.returncode == 0 else None


def flushed(data):
    """The same floats, those below the least normal one as 0: WebAssembly keeps them."""
    values = np.frombuffer(data, np.float32)
    small = np.abs(values) < np.finfo(np.float32).tiny
    return np.where(small, np.copysign(np.float32(0), values), values).tobytes()


@pytest.fixture(scope="module")
def here(source):
    """What this machine gives: with an instruction for FMA, or without."""
    needs(compiler()[0])
    plain = compiled([*compiler(), "-O3"], source, "plain")
    return {level: bytes_of(plain, level) for level in (0, 1)}


@pytest.mark.parametrize("n", [64, 100])
@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_no_size_of_a_product_makes_a_compiler_warn(source, command, n):
    """The only size of a file is a number in it, from which a compiler concludes."""
    needs(command)
    kernels = source.read_text().partition("/* Every kernel of the C files")[0]
    calls = f"""
void all(int level, float *y, const float *x, const float *w, const float *b, int64_t rows);
void all(int level, float *y, const float *x, const float *w, const float *b, int64_t rows)
{{
    model_product(level, y, x, w, b, rows, 40, {n}, 0);
}}
void whole(float *y, const float *x, int16_t *q, const int8_t *w, const float *s, int64_t rows);
void whole(float *y, const float *x, int16_t *q, const int8_t *w, const float *s, int64_t rows)
{{
    model_product_dynamic(model_level(), y, x, q, w, s, s, 32767.0f, rows, 40, {n});
}}
"""
    file = source.with_name(f"{n}-{command}.c")
    file.write_text(kernels + calls)
    words = [command, "-O2", *STRICT, "-c", str(file), "-o", str(file.with_suffix(".o"))]
    subprocess.run(words, check=True)


@pytest.mark.parametrize("optimized", ["-O0", "-O2", "-O3"])
def test_neon_gives_the_bytes_of_avx2(source, here, optimized):
    needs(ARM, EMULATOR)
    if here[1] is None:
        pytest.skip("this processor has no AVX2 and FMA")
    made = compiled([ARM, "-static", optimized], source, f"arm{optimized}")
    assert bytes_of(EMULATOR, made, 1) == here[1]
    assert bytes_of(EMULATOR, made, 0) == here[1]  # plain loops, which have FMA there


def test_webassembly_gives_the_bytes_of_a_machine_without_fma(source, here):
    needs("clang", "wasm-ld", "node")
    made = compiled([*WASM, "-O3", *LINKED], source, "kernels.wasm")
    command = ("node", "--input-type=module", "-e", RUN_WASM, "--", made, 1)
    assert flushed(bytes_of(*command)) == here[0]


@pytest.mark.parametrize("options", [[], ["-march=x86-64-v4"]])
@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_avx512_compiles_and_gives_the_same_where_it_runs(source, here, command, options):
    needs(command)
    made = compiled([command, "-O3", *options], source, f"{command}{len(options)}")
    if "avx512_vnni" in Path("/proc/cpuinfo").read_text().split():
        assert bytes_of(made, 2) == here[1]
    text = subprocess.run(["objdump", "-d", str(made)], capture_output=True, text=True, check=True)
    assert "%zmm" in text.stdout

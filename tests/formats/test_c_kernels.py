"""The functions that every C file has: their errors, sizes, and the order of their sums."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch

from rnnbench.formats.c.kernels import FOURIER, HEADER
from rnnbench.formats.c.printing import PRELUDE
from rnnbench.formats.c.products import padded_bias, panels_of
from rnnbench.runtimes.adapters._compiling import compiler
from rnnbench.runtimes.adapters.c import FLAGS

LEVELS = (0, 1, 2)  # AVX2 and FMA; AVX-512

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")

SHIM = """
#define EACH(name) \\
    void each_##name(float *y, const float *x, int64_t n) \\
    { for (int64_t i = 0; i < n; ++i) { y[i] = model_##name(x[i]); } }
EACH(expf)
EACH(tanhf)
EACH(sigmoidf)
#ifdef MODEL_V8
#define EACH8(name) \\
    MODEL_VECTOR void each_##name##8(float *y, const float *x, int64_t n) \\
    { for (int64_t i = 0; i < n; i += 8) \\
      { model_put8(y + i, model_##name##8(model_get8(x + i))); } }
EACH8(tanh)
EACH8(sigmoid)
#endif
void product(int level, float *y, const float *x, const float *w, const float *b, int64_t rows,
             int64_t k, int64_t n)
{ model_product(level, y, x, w, b, rows, k, n, (int)(rows + n) & 1); }
void fourier(float *result, float *work, const float *w, int64_t n)
{ memcpy(result, model_fourier(work, work + 2 * n, w, n), 2 * (size_t)n * sizeof(float)); }
int level(void) { return model_level(); }
void rnn(int level, float *y, float *h, float *c, const float *xs, const float *hs, int64_t n)
{ (void)c; model_rnn_tanh(level, y, h, xs, hs, n); }
void relu(int level, float *y, float *h, float *c, const float *xs, const float *hs, int64_t n)
{ (void)c; model_rnn_relu(level, y, h, xs, hs, n); }
void gru(int level, float *y, float *h, float *c, const float *xs, const float *hs, int64_t n)
{ (void)c; model_gru(level, y, h, xs, hs, n); }
void lstm(int level, float *y, float *h, float *c, const float *xs, const float *hs, int64_t n)
{ model_lstm(level, y, h, c, xs, hs, n); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    source = folder / "kernels.c"
    head = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n#include <stddef.h>\n"
    source.write_text(head + PRELUDE + HEADER + FOURIER + SHIM)
    made = folder / "kernels.so"
    subprocess.run([*compiler(), *FLAGS, str(source), "-o", str(made), "-lm"], check=True)
    return ctypes.CDLL(str(made))


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def values():
    """Numbers of every size, and around the places where a function changes its formula."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-30, 2.2, 200_000)
    near = [-104, -87.4, -0.625, 0.625, 88.72, 88.73, 9.01, 17.3, 44.4]
    around = np.concatenate([v + rng.normal(0, 1e-4, 2000) for v in near])
    plain = rng.uniform(-20, 20, 200_000)
    edges = [0.0, -0.0, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, 1.2e-38]
    signs = rng.choice([-1, 1], sizes.size)
    return np.concatenate([edges, sizes * signs, around, plain]).astype(np.float32)


EXACT = {
    "expf": np.exp,
    "tanhf": np.tanh,
    "sigmoidf": lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
}


EXACT |= {"tanh8": EXACT["tanhf"], "sigmoid8": EXACT["sigmoidf"]}


def each(library, name, x):
    """A function of every number; x has a multiple of 8 of them."""
    if name.endswith("8") and library.level() == 0:
        pytest.skip("this processor has no such instructions")
    y = np.zeros_like(x)
    getattr(library, f"each_{name}")(address(y), address(x), ctypes.c_int64(x.size))
    return y


@pytest.mark.parametrize("name", EXACT)
def test_functions_are_within_3_ulp(library, name):
    x = values()
    x = x[: x.size // 8 * 8]
    y = each(library, name, x)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        exact = np.where(np.isneginf(x) & name.startswith("sigmoid"), 0.0, exact)
        nearest = exact.astype(np.float32)
    finite = np.isfinite(nearest)
    assert np.array_equal(y[~finite], nearest[~finite])
    least = np.finfo(np.float32).tiny
    ulp = np.spacing(np.maximum(np.abs(nearest[finite]), least))
    error = np.abs(y[finite] - exact[finite])
    if name.startswith("sigmoid"):  # below the least normal number it is any of those
        error[np.abs(exact[finite]) < least] -= least
    assert np.max(error / ulp) <= 3.0
    assert np.array_equal(np.signbit(y), np.signbit(exact))


@pytest.mark.parametrize("name", EXACT)
def test_no_number_stays_none(library, name):
    assert np.isnan(each(library, name, np.full(16, np.nan, np.float32))).all()


def product(library, level, x, matrix, bias):
    rows, (k, n) = len(x), matrix.shape
    panels = panels_of(torch.from_numpy(matrix)).numpy()
    offset = padded_bias(torch.from_numpy(bias), n, torch.from_numpy(matrix)).numpy()
    y = np.full((rows, n), np.nan, np.float32)
    sizes = [ctypes.c_int64(s) for s in (rows, k, n)]
    library.product(level, *map(address, (y, x, panels, offset)), *sizes)
    return y


@pytest.mark.parametrize("level", LEVELS)
def test_products_of_every_size_and_the_same_bits_in_a_batch(library, level):
    if level > library.level():
        pytest.skip("this processor has no such instructions")
    rng = np.random.default_rng(1)
    for n in (*range(1, 71), *range(71, 200, 7)):
        k, rows = int(rng.integers(1, 71)), int(rng.integers(1, 12))
        x = rng.standard_normal((rows, k)).astype(np.float32)
        matrix = rng.standard_normal((k, n)).astype(np.float32)
        bias = rng.standard_normal(n).astype(np.float32)
        y = product(library, level, x, matrix, bias)
        exact = x.astype(np.float64) @ matrix + bias
        allowed = 1e-6 * (np.abs(x) @ np.abs(matrix) + np.abs(bias))
        assert (np.abs(y - exact) <= allowed).all(), (n, k, rows)
        for row in range(rows):
            alone = product(library, level, np.ascontiguousarray(x[row : row + 1]), matrix, bias)
            assert np.array_equal(alone[0], y[row]), (n, k, rows, row)
        if level == 2:
            assert np.array_equal(product(library, 1, x, matrix, bias), y), "the bits are AVX2's"


def stepped(kind, h, c, xs, hs):
    """A step in float64, as PyTorch has it: gates in its order."""
    sigmoid, n = EXACT["sigmoidf"], h.size
    x, s = xs.reshape(-1, n), hs.reshape(-1, n)
    if kind in ("rnn", "relu"):
        a = x[0] + s[0]
        return (np.tanh(a) if kind == "rnn" else np.maximum(a, 0)), c
    if kind == "gru":
        r, z = sigmoid(x[0] + s[0]), sigmoid(x[1] + s[1])
        return (1 - z) * np.tanh(x[2] + r * s[2]) + z * h, c
    i, f, g, o = x + s
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("kind", "gates"), [("rnn", 1), ("relu", 1), ("gru", 3), ("lstm", 4)])
def test_a_step_of_every_hidden_size(library, level, kind, gates):
    if level > library.level():
        pytest.skip("this processor has no such instructions")
    rng = np.random.default_rng(2)
    for hidden in range(1, 71):
        h, c = (rng.standard_normal(hidden).astype(np.float32) for _ in "hc")
        xs, hs = (3 * rng.standard_normal(gates * hidden).astype(np.float32) for _ in "xh")
        exact = stepped(kind, *(a.astype(np.float64) for a in (h, c, xs, hs)))
        y = np.full(hidden + 1, 7, np.float32)  # one more, which stays
        arrays = map(address, (y, h, c, xs, hs))
        getattr(library, kind)(level, *arrays, ctypes.c_int64(hidden))
        assert np.allclose(y[:-1], exact[0], rtol=1e-6, atol=1e-6), hidden
        assert np.array_equal(y[:-1], h)
        assert np.allclose(c, exact[1], rtol=1e-6, atol=1e-6), hidden
        assert y[-1] == 7


@pytest.mark.parametrize("n", [*range(1, 71), 97, 128, 400, 512, 1000, 1009, 2048])
def test_a_fourier_transform_of_every_length(library, n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(2, n)).astype(np.float32)
    turns = np.arange(n) * (2 * np.pi / n)
    table = np.stack([np.cos(turns), -np.sin(turns)]).astype(np.float32)
    work = np.concatenate([x.reshape(-1), np.full(2 * n, np.nan, np.float32)])
    result = np.empty((2, n), np.float32)
    library.fourier(address(result), address(work), address(table), ctypes.c_int64(n))
    exact = np.fft.fft(x[0].astype(np.float64) + 1j * x[1])
    error = np.hypot(result[0] - exact.real, result[1] - exact.imag)
    # What is added in a row: 4 at a time, and a prime factor as a whole.
    prime = max(p for p in range(1, n + 1) if n % p == 0 and all(p % d for d in range(2, p)))
    assert error.max() <= 2e-7 * np.sqrt(n) * (np.log2(n + 1) + np.sqrt(prime))

"""Weights in fewer bits in C: right by the rule, small, and the same bits in a batch."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.cases.cases import layout_of
from rnnbench.cases.standard import standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.checking.check import check
from rnnbench.checking.runner import RunResult
from rnnbench.checking.verdicts import Judge
from rnnbench.formats import c as c_format
from rnnbench.formats.c.kernels import DYNAMIC, HEADER, KINDS, SMALLER, products_of
from rnnbench.formats.c.printing import PRELUDE
from rnnbench.formats.c.products import _pairs_of, most_of, padded_bias, panels_of
from rnnbench.models.precision import round_weights, whole_numbers
from rnnbench.runtimes.adapters._compiling import compiler
from rnnbench.runtimes.adapters.c import FLAGS
from rnnbench.runtimes.job import Job
from tests.helpers.tagger import tagger

PRECISIONS = c_format.FORMAT.precisions
pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_model_is_right_with_its_rounded_weights(precision, kind, tmp_path):
    model = tagger(kind)
    before = {name: p.clone() for name, p in model.module.named_parameters()}
    bundle = rnnbench.export(model, ("c",), tmp_path, precision=precision)
    assert all(torch.equal(p, before[name]) for name, p in model.module.named_parameters())
    report = check(bundle, ["c", "eager"], model=model, isolate=False)
    wrong = [(r.output, r.verdict, r.reason) for r in report.rows if r.verdict != "same"]
    assert not wrong, wrong
    assert {row.runtime for row in report.rows} == {"c", "eager"}
    said = bundle.manifest["precision"]
    assert said["name"] == precision
    assert said["signal_db"]["tags"] > (25 if "int8" in precision else 40)
    code = bundle.artifacts["c"].path.read_text()
    plain = [line for line in code.splitlines() if "model_product(level" in line and ";" in line]
    assert not plain, "a product kept its floats"
    floats = rnnbench.export(model, ("c",), tmp_path / "floats").artifacts["c"]
    share = bundle.artifacts["c"].details["weight_bytes"] / floats.details["weight_bytes"]
    assert share < (0.40 if "int8" in precision else 0.62)


def test_the_module_is_judged_as_floats_however_coarse_the_file_is(tmp_path):
    bundle = rnnbench.export(tagger("GRU"), ("c",), tmp_path, precision="int8-dynamic")
    cases = read_cases(bundle)
    case = cases[0]
    judge = Judge(bundle, {case.name: case}, standard_of(layout_of(bundle, cases), cases))
    assert judge.standard.coarseness == 1

    def verdict(format, off):
        own = case.rounded if format == "c" else case
        given = {"tags": own.eager["tags"] + np.float32(off)}
        (result,) = judge.judge(RunResult(Job(format, format), {case.name: given}))
        return result.verdict

    assert [verdict("c", off) for off in (0, 1e-5, 1e-3)] == ["same", "same", "DIFFERS"]
    assert [verdict("eager", off) for off in (0, 1e-5)] == ["same", "DIFFERS"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_bits_in_a_batch_and_in_chunks(precision, tmp_path):
    class Streamed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(5, 11, 2, batch_first=True)

        def forward(self, x, h):
            return self.rnn(x, h)

    torch.manual_seed(0)
    specs = TensorSpec("x", ("batch", "time", 5)), TensorSpec("h", (2, "batch", 11), role="state")
    model = Model(Streamed().eval(), specs, ("y", "hn"), states={"h": "hn"})
    run = rnnbench.load(rnnbench.export(model, ("c",), tmp_path, precision=precision), "c")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 9, 5)).astype(np.float32)
    h = rng.standard_normal((2, 6, 11)).astype(np.float32)
    whole = run({"x": x, "h": h})
    for row in range(6):
        state, parts = h[:, row : row + 1], []
        for chunk in np.split(x[row : row + 1], [1, 4], axis=1):
            out = run({"x": chunk, "h": state})
            state = out["hn"]
            parts.append(out["y"])
        assert np.array_equal(np.concatenate(parts, 1)[0], whole["y"][row])
        assert np.array_equal(state[:, 0], whole["hn"][:, row])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.booleans())
def test_rounded_weights_are_whole_numbers_of_a_step(rows, columns, seed, turned):
    torch.manual_seed(seed)
    layer = nn.Linear(columns, rows)
    layer.weight.data *= 10.0 ** torch.randint(-6, 6, (rows, 1))
    layer.weight.data[0] *= 0
    exact = layer.weight.detach().clone()
    round_weights(layer, "int8-weights")
    rounded = layer.weight.detach()
    step = exact.abs().amax(1, keepdim=True) / 127
    assert ((rounded - exact).abs() <= step * 0.5001).all()
    found = whole_numbers((rounded * (-1.5 if turned else 1)).t().contiguous())
    assert found is not None
    whole, steps = found
    assert torch.allclose(whole.float() * steps, rounded.t() * (-1.5 if turned else 1), rtol=1e-6)


def test_what_is_no_whole_number_stays_a_float():
    torch.manual_seed(0)
    assert whole_numbers(torch.randn(64, 3)) is None


def test_refusals(tmp_path):
    with pytest.raises(RnnbenchError, match=r"precision 'int4'.*float16"):
        rnnbench.export(tagger(), ("c",), tmp_path, precision="int4")
    with pytest.raises(RnnbenchError, match=r"float16 makes a smaller file in .* onnx and c, not"):
        rnnbench.export(tagger(), ("torchscript",), tmp_path, precision="float16")
    with pytest.raises(RnnbenchError, match="int8-dynamic computes with whole numbers"):
        rnnbench.export(tagger(), ("c", "onnx"), tmp_path, precision="int8-dynamic")
    large = tagger()
    large.module.out.weight.data[0, 0] = 7e4
    with pytest.raises(RnnbenchError, match=r"out.weight has a weight of 7e.04.*bfloat16"):
        rnnbench.export(large, ("c",), tmp_path, precision="float16")
    x = TensorSpec("x", ("batch", "time", 3))
    with pytest.raises(RnnbenchError, match="no matrix of float32 weights to keep as int8"):
        rnnbench.export(Model(nn.ReLU(), (x,), ("y",)), ("c",), tmp_path, precision="int8-weights")
    assert not list(tmp_path.iterdir())


SHIM = """
#define TAKES(type) int level, float *y, const float *x, const type *w, const float *s, \\
    const float *b, int64_t rows, int64_t k, int64_t n, int16_t *q, float most
#define UNUSED (void)s; (void)q; (void)most;
void float16(TAKES(uint16_t))
{ UNUSED model_product_float16(level, y, x, w, b, rows, k, n, (int)(n & 1)); }
void bfloat16(TAKES(uint16_t))
{ UNUSED model_product_bfloat16(level, y, x, w, b, rows, k, n, (int)(n & 1)); }
void weights(TAKES(int8_t))
{ UNUSED model_product_int8(level, y, x, w, s, b, rows, k, n, (int)(n & 1)); }
void dynamic(TAKES(int8_t))
{ model_product_dynamic(level, y, x, q, w, s, b, most, rows, k, n); }
float half(uint16_t w) { return model_load_float16(w); }
int level(void) { return model_level(); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precisions")
    source, made = folder / "kernels.c", folder / "kernels.so"
    head = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n#include <stddef.h>\n"
    parts = [head, PRELUDE, HEADER, SMALLER, *map(products_of, KINDS.values()), DYNAMIC, SHIM]
    source.write_text("\n".join(parts))
    subprocess.run([*compiler(), *FLAGS, str(source), "-o", str(made), "-lm"], check=True)
    return ctypes.CDLL(str(made))


def product(library, name, level, x, weights, scales, bias, n, k):
    y = np.full((len(x), n), np.nan, np.float32)
    room = np.zeros(4 * (k + 1), np.int16)
    arrays = [ctypes.c_void_p(a.ctypes.data) for a in (y, x, weights, scales, bias)]
    sizes = [ctypes.c_int64(s) for s in (len(x), k, n)]
    most = ctypes.c_float(most_of(k))
    getattr(library, name)(level, *arrays, *sizes, ctypes.c_void_p(room.ctypes.data), most)
    return y


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "weights", "dynamic"])
def test_products_of_every_size(library, level, name):
    if level > library.level():
        pytest.skip("this processor has no such instructions")
    rng = np.random.default_rng(3)
    for n in (*range(1, 71), *range(71, 200, 13)):
        k, rows = int(rng.integers(1, 90)), int(rng.integers(1, 12))
        x = rng.standard_normal((rows, k)).astype(np.float32)
        bias = torch.from_numpy(rng.standard_normal(n).astype(np.float32))
        whole = torch.from_numpy(rng.integers(-127, 128, (k, n)).astype(np.int8))
        steps = torch.from_numpy(rng.uniform(0.01, 0.1, n).astype(np.float32))
        if name in ("float16", "bfloat16"):
            exact = torch.from_numpy(rng.standard_normal((k, n))).to(getattr(torch, name))
            packed, matrix = panels_of(exact).view(torch.uint16), exact.double().numpy()
        else:
            packed = panels_of(whole) if name == "weights" else _pairs_of(whole)
            matrix = whole.double().numpy() * steps.double().numpy()
        offset, scales = (padded_bias(v, n, bias).numpy() for v in (bias, steps))
        given = (packed.numpy(), scales, offset, n, k)
        y = product(library, name, level, x, *given)
        reference = x.astype(np.float64) @ matrix + bias.numpy()
        size = np.abs(x) @ np.abs(matrix) + np.abs(bias.numpy())
        allowed = 1e-6 * size
        if name == "dynamic":  # half a step for each number
            allowed = allowed + np.abs(x).max(1, keepdims=True) / 65534 * np.abs(matrix).sum(0)
        assert (np.abs(y - reference) <= allowed).all(), (n, k, rows)
        for row in range(rows):
            alone = product(library, name, level, np.ascontiguousarray(x[row : row + 1]), *given)
            assert np.array_equal(alone[0], y[row]), (n, k, rows, row)


def test_whole_numbers_have_the_same_bits_at_each_level(library):
    if library.level() == 0:
        pytest.skip("this processor has no such instructions")
    rng = np.random.default_rng(4)
    for k, n in ((1, 1), (33, 50), (516, 24), (1000, 30)):
        x = rng.standard_normal((3, k)).astype(np.float32)
        x[1] *= 1e30
        whole = torch.from_numpy(rng.choice([-127, 127], (k, n)).astype(np.int8))
        x[2] = np.where(whole.numpy()[:, 0] > 0, 5, -5)  # the largest sum that there is
        ones, zeros = torch.ones(n), torch.zeros(n)
        given = (_pairs_of(whole).numpy(), padded_bias(ones, n, ones).numpy())
        given = (*given, padded_bias(zeros, n, ones).numpy(), n, k)
        found = [
            product(library, "dynamic", level, x, *given) for level in range(library.level() + 1)
        ]
        assert all(np.array_equal(found[0], other) for other in found[1:])
        assert np.allclose(found[0][2, 0], 5 * 127 * k, rtol=1e-6)


def test_no_number_and_infinity_stay_what_they_are(library):
    whole = torch.ones(3, 2, dtype=torch.int8)
    ones = np.ones(24, np.float32)
    x = np.array([[1, np.nan, 2], [1, np.inf, 2], [0, 0, 0], [1e-37, 0, -2e-38]], np.float32)
    for level in range(library.level() + 1):
        y = product(library, "dynamic", level, x, _pairs_of(whole).numpy(), ones, ones, 2, 3)
        assert np.isnan(y[:2]).all()
        assert (y[2:] == 1).all()


def test_every_half_is_what_it_is(library):
    library.half.restype = ctypes.c_float
    bits = np.arange(2**16, dtype=np.uint16)
    bits = bits[np.isfinite(bits.view(np.float16))]
    for one, exact in zip(bits[::7], bits.view(np.float16)[::7], strict=True):
        assert library.half(ctypes.c_uint16(int(one))) == np.float32(exact)

"""C that multiplies whole numbers is judged by its program, rounded where the C rounds."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.judging import WrongOutput
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Conditions, Implementation
from rnnbench.capture.pipeline import capture
from rnnbench.cases.cases import layout_of
from rnnbench.cases.standard import standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.checking.check import check
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import conform, format_conformed
from rnnbench.formats.c.products import most_of
from rnnbench.formats.c.program import rounding_of
from rnnbench.formats.c.rounding import RoundingProgram
from rnnbench.models import rebuild
from rnnbench.models.calls import call_float64, undisturbed
from rnnbench.models.lifting import lifted
from rnnbench.models.precision import round_weights
from rnnbench.runtimes.adapters._compiling import compiler
from tests.helpers import tiers
from tests.helpers.between_linears import between_linears
from tests.helpers.projects import skip
from tests.zoo import MODELS

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")

INT8 = "int8-dynamic"
FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
CONDITIONS, STEPS = Conditions(batch=2, time=5), Conditions(batch=1, time=2)


def net(levels_off=0):
    """The model; one weight of its last product is another by so many of its 127 levels."""
    model = between_linears()
    module = model.module
    round_weights(module, INT8)
    row = module.out.weight.data[0]
    step = row.abs().max() / 127
    place = int(row.abs().argmin())
    row[place] = row[place] + (levels_off if row[place] <= 0 else -levels_off) * step
    return model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return rnnbench.export(net(), ("c",), tmp_path_factory.mktemp("right"), precision=INT8)


@pytest.fixture(scope="module")
def damaged(bundle, tmp_path_factory):
    """The bundle with files of which one weight is another by 3 of its 127 levels."""
    folder = tmp_path_factory.mktemp("wrong")
    other = rnnbench.export(net(3), ("c",), folder / "other", precision=INT8)
    found = Bundle.open(shutil.copytree(bundle.path, folder / bundle.name), trust_code=True)
    files = ("model.c", "model.h", "model_weights.c")
    for name in files:
        shutil.copy(other.path / name, found.path / name)
    return found


def test_a_weight_that_is_another_by_three_levels_is_found(bundle, damaged):
    for found, verdict in ((bundle, "same"), (damaged, "DIFFERS")):
        for model in (None, net()):  # at the stored cases, and at further ones
            report = check(found, ["c"], model=model, isolate=False)
            rows = {row.output: row for row in report.rows}
            assert rows["y"].verdict == verdict, rows["y"]
            assert rows["(values)"].verdict == "same", rows["(values)"]
            assert "but for its rounding of values, above which is y by" in rows["(values)"].reason
        assert rows["y"].cases > 15


def test_it_is_judged_ten_times_as_closely_as_by_how_coarse_an_int16_is(bundle):
    cases = [case for case in read_cases(bundle) if not case.empty and not case.feed_mode.chunks]
    standard = standard_of(layout_of(bundle, cases), cases)
    assert standard.coarseness == 1
    coarse = replace(standard, coarseness=1024.0)
    for case in cases:
        own = standard.allowed(case.as_rounded(), "y").max()
        assert own < 0.1 * coarse.allowed(case, "y").max(), case.name


def test_programs_in_c_are_verified_by_the_same(bundle, damaged):
    for found, verdict in ((bundle, "same"), (damaged, "DIFFERS")):
        (row,) = conform(found, ["c"])
        if row.verdict == "not run":
            skip("c", row.reason)
        assert row.verdict == verdict, format_conformed([row])


@pytest.mark.parametrize("code", ["here", "elsewhere"])
def test_what_is_timed_is_judged_by_the_same(bundle, damaged, code, monkeypatch):
    if code == "here":
        monkeypatch.setattr(rebuild, "rebuild", lambda bundle: net())
    way = Implementation("model", "c")
    with Artifacts() as artifacts:
        artifacts.subject(str(bundle.path), way, CONDITIONS)
        if code == "here":
            times = artifacts.held(str(bundle.path), way, STEPS, 2, FAST)
            assert not [t for t in times.values() if isinstance(t, Exception)], times
        with pytest.raises(WrongOutput, match="y off by"):
            artifacts.subject(str(damaged.path), way, CONDITIONS)


# ---- the program


class Layers(nn.Module):
    """Convolutions, a layer of rows of their own lengths, and a loop with a condition."""

    def __init__(self, kind, bidirectional, options):
        super().__init__()
        self.front = nn.Conv2d(1, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
        self.over = nn.Conv1d(12, 7, 3, padding=2, dilation=2)
        self.rnn = getattr(nn, kind)(7, 9, 2, bidirectional=bidirectional, **options)
        self.step = nn.Linear(9 * (1 + bidirectional) + 4, 4)

    def forward(self, x, lengths):
        maps = self.front(x[:, None].transpose(2, 3))  # [batch, 3, features, time - 2]
        y = self.over(maps.flatten(1, 2)).transpose(1, 2)
        packed = nn.utils.rnn.pack_padded_sequence(
            y, lengths, batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=y.shape[1]
        )
        h, steps = y.new_zeros(len(y), 4), []
        for t in range(y.shape[1]):
            h = torch.sin(self.step(torch.cat([y[:, t], h], -1)))
            steps.append(h)
        return torch.stack(steps, 1)


KINDS = [
    ("RNN", False, {"nonlinearity": "relu"}),
    ("RNN", True, {}),
    ("GRU", True, {"bias": False}),
    ("LSTM", False, {}),
    ("LSTM", True, {}),
]


@pytest.mark.parametrize(("kind", "bidirectional", "options"), KINDS)
def test_without_its_rounding_the_program_is_the_module(kind, bidirectional, options):
    torch.manual_seed(0)
    module = Layers(kind, bidirectional, options).eval()
    round_weights(module, INT8)
    inputs = (
        TensorSpec("x", ("batch", "time + 2", 8)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
    )
    model = Model(module, inputs, ("y",))
    program = RoundingProgram(*rounding_of(capture(model), INT8))
    rng = np.random.default_rng(0)
    for batch, time in ((1, 1), (4, 6), (3, 17)):
        arrays = {
            "x": rng.standard_normal((batch, time + 2, 8)).astype(np.float32),
            "lengths": rng.integers(1, time + 1, batch),
        }
        with undisturbed(module, double=True):
            exact = call_float64(module, inputs, ("y",), arrays)["y"]
        with undisturbed(program, double=True):
            with program.unrounded():
                plain = call_float64(program, inputs, ("y",), arrays)["y"]
            whole = call_float64(program, inputs, ("y",), arrays)["y"]
        assert plain.dtype == np.float64
        np.testing.assert_allclose(plain, exact, rtol=0, atol=1e-13)
        off = np.abs(whole - exact).max()
        assert 1e-9 < off < 1e-3, off


def test_rows_are_multiples_of_a_step_of_their_own():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 700)) * 10.0 ** np.arange(-3, 2)[:, None]
    x[1] = 0
    program = RoundingProgram(torch.fx.symbolic_trace(nn.Identity()), {})
    with np.errstate(all="ignore"):
        found = program.rounded(x)
    most = most_of(700)
    assert most == (2**31 - 1) // (127 * 700)
    for row, rounded in zip(x, found, strict=True):
        step = np.abs(row).max() / most
        if step:
            assert np.abs(row - rounded).max() <= 0.5001 * step
            np.testing.assert_allclose(rounded / step, np.rint(rounded / step), atol=1e-6)
    assert not found[1].any()
    x[2, 3], x[3, 4] = np.nan, np.inf
    with np.errstate(all="ignore"):
        found = program.rounded(x)
    assert np.isnan(found[2:4]).all()
    assert np.isfinite(found[[0, 1, 4]]).all()


# ---- the zoo

UNLIKE = {"ElmanInFloat64": "it has no float32 weight"}
SAMPLE = ("SoFar", "EveryThirdStep", "TextRecognition", "StreamingFilters")
NAMES = SAMPLE if tiers.samples(1, 2) == 1 else tuple(name for name in MODELS if name not in UNLIKE)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_zoo_is_right_beside_its_program(name, tmp_path):
    """Also at cases that the bundle has not, for which its module is captured again."""
    model = MODELS[name].build()
    found = rnnbench.export(model, ("c",), tmp_path, precision=INT8)
    whole = found.artifacts["c"].details["whole"]
    for case in read_cases(found):
        assert case.empty or case.rounded is not None or not whole, case.name
    report = check(found, ["c"], model=lifted(model), isolate=False)
    wrong = [row for row in report.rows if row.verdict != "same"]
    assert not wrong, wrong

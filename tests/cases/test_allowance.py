"""What an element may be off by: no tolerance is borrowed from a larger neighbour."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnbench import Model, TensorSpec
from rnnbench.cases.allowance import Axes, Rule, allowance, typical_sizes
from rnnbench.cases.cases import Case, layout_of, make_cases
from rnnbench.cases.feeding import StreamLayout
from rnnbench.cases.noise import RUNS, error_of, measure_noise, neighbours
from rnnbench.cases.plans import plan_cases
from rnnbench.cases.standard import standard_of
from rnnbench.cases.tolerance import compare

SEQUENCE = Axes(time=0, batch=1)  # [time, batch, channels]


class Tagger(nn.Module):
    """Scores, with a mask on the steps after each row's end."""

    def __init__(self, low):
        super().__init__()
        torch.manual_seed(6)
        self.low = low
        self.rnn, self.out = nn.GRU(6, 8), nn.Linear(8, 5)

    def forward(self, x, lengths):
        steps = torch.arange(x.shape[0]).unsqueeze(1)
        scores = self.out(self.rnn(x)[0])
        low = torch.finfo(scores.dtype).min if self.low is None else self.low
        return scores.masked_fill((steps >= lengths.unsqueeze(0)).unsqueeze(-1), low)


class Weather(nn.Module):
    """A pressure in Pa, beside a humidity between 0 and 1."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(9)
        self.rnn, self.out = nn.LSTM(6, 8), nn.Linear(8, 2)
        self.register_buffer("scale", torch.tensor([1000.0, 0.1]))
        self.register_buffer("mean", torch.tensor([101325.0, 0.5]))

    def forward(self, x):
        return self.out(self.rnn(x)[0]) * self.scale + self.mean


class Chaotic(nn.Module):
    """The logistic map: an error doubles in each step."""

    def forward(self, x, h):
        seen = []
        for t in range(x.shape[0]):
            h = 3.97 * h * (1 - h) + 0.002 * torch.sigmoid(x[t, :, :4])
            seen.append(h)
        return torch.stack(seen)


X = TensorSpec("x", ("time", "batch", 6))
LENGTHS = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")


def judged(model):
    """The quick cases of a model, and the standard by which they are judged."""
    sizes = {"batch": 3, "time": 9}
    cases = make_cases(model, plan_cases(model, sizes)).cases
    return {case.name: case for case in cases}, standard_of(layout_of(model, cases), cases)


def verdict(standard, case, change, coarseness=1.0):
    (name,) = case.eager
    given = case.eager[name].copy()
    change(given)
    return standard.compare(case, name, given, coarseness)


@pytest.mark.parametrize("low", [-1e9, None, -1e4, -np.inf, 0.0])
def test_a_mask_lends_nothing(low):
    cases, standard = judged(Model(Tagger(low), (X, LENGTHS), ("scores",)))
    case = cases["traced"]
    over = np.arange(9)[:, None] >= case.inputs["lengths"]  # [time, batch]
    assert over.any()
    assert verdict(standard, case, lambda y: None).reason == ""
    assert verdict(standard, case, lambda y: None).error < 1e-5

    def beside(y):
        y[~over] += 1e-5

    def no_mask(y):
        y[over] = 0.25

    def noisy(y):
        y[over] += np.float32(300.0)

    assert verdict(standard, case, beside).reason.startswith("off by 1.0e-05")
    assert verdict(standard, case, no_mask).reason
    if low is not None and np.isfinite(low):  # float32 has no -3.4e38 + 300
        assert verdict(standard, case, noisy).reason
        assert verdict(standard, case, noisy, coarseness=10.0).reason


@pytest.mark.parametrize("value", [1.0, -1e9])
def test_a_saturated_gate_is_no_mask(value):
    """ONNX Runtime's tanh is 0.99999952 where PyTorch's is exactly 1 in every run."""
    exact, typical = np.full((5, 2, 3), value), np.full(3, 0.2)
    eager, noise = exact.astype(np.float32), np.zeros(exact.shape)
    for coarseness, allowed in ((1.0, value == 0), (4.0, value == 1)):
        rule = Rule(Axes(0, 1), coarseness=coarseness, typical=typical)
        off = 4.8e-7 * abs(value)
        assert (allowance(exact, eager, noise, rule).allowed > off).all() == allowed


def test_a_large_state_behind_a_coarse_gate():
    """ONNX Runtime's sigmoid of -17.05 is 1.2e-7 and not 3.9e-8, of a first state of 547."""
    exact = np.linspace(0.1, 0.6, 30).reshape(5, 2, 3)
    eager, noise = exact.astype(np.float32), np.full(exact.shape, 3e-8)
    for coarseness, state, allowed in ((4.0, 547.0, True), (4.0, 0.0, False), (1.0, 547.0, False)):
        rule = Rule(Axes(0, 1), coarseness=coarseness, enlarged=state)
        assert (allowance(exact, eager, noise, rule).allowed > 1.9e-5).all() == allowed


def test_a_large_unit_lends_nothing():
    cases, standard = judged(Model(Weather(), (X,), ("forecast",)))
    case = cases["long"]

    def constant(y):
        y[..., 1] = y[..., 1].mean()

    def coarse(y):
        y[..., 1] += np.float32(1e-5)

    def rounded(y):
        y[..., 0] += np.float32(0.0078125)  # one step of float32 there

    assert verdict(standard, case, constant).reason
    assert verdict(standard, case, coarse).reason.startswith("off by 1.0e-05")
    assert verdict(standard, case, rounded).reason == ""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_masked_in_most_cases_is_judged_by_its_own_size(dtype):
    """Where every class but one is the least number of the dtype, that says nothing of sizes."""
    plain = np.random.default_rng(0).uniform(0.2, 0.8, (6, 2, 3))
    masked, noise = plain.copy(), np.full(plain.shape, 1e-8)
    masked[..., 1] = np.finfo(dtype).min
    eager = plain.astype(np.float32)
    eager[..., 1] = np.finfo(np.float32).min
    cases = [
        Case("a", {}, {}, {"y": masked}, {"y": eager}, {"y": noise * (masked > 0)}),
        Case("b", {}, {}, {"y": plain}, {"y": plain.astype(np.float32)}, {"y": noise}),
    ]
    standard = standard_of(StreamLayout((), {}, "batch", "time", {"y": 1}, {"y": 0}), cases)
    assert (standard.typical["y"] < 1).all()
    assert standard.allowed(cases[1], "y").max() < 1e-5


def test_what_is_chaotic_is_proved_as_long_as_it_can_be():
    state = TensorSpec("h", ("batch", 4), role="state")

    def sample(dims, rng):
        x = rng.standard_normal((dims["time"], dims["batch"], 6)).astype(np.float32)
        return {"x": x, "h": rng.uniform(0.2, 0.8, (dims["batch"], 4)).astype(np.float32)}

    model = Model(Chaotic(), (X, state), ("y",), sample=sample)
    cases, standard = judged(model)
    found = verdict(standard, cases["long"], lambda y: None)
    assert found.reason == ""
    assert 8 < found.unproved_from < 40
    assert found.proves
    assert verdict(standard, cases["traced"], lambda y: None).unproved_from is None

    def early(y):
        y[3] += np.float32(1e-3)

    def late(y):
        y[150] = 0.5

    assert verdict(standard, cases["long"], early).first_step == 3
    assert verdict(standard, cases["long"], late).reason == ""  # nothing is proved there


def test_a_larger_error_of_later_steps_is_not_that_of_earlier_ones():
    exact = np.ones((100, 1, 1))
    noise = np.full_like(exact, 1e-7)
    noise[60:] = 1e-2
    eager = exact.astype(np.float32)
    found = allowance(exact, eager, noise, Rule(SEQUENCE)).allowed[:, 0, 0]
    assert (found[:50] < 2e-6).all()
    assert (found[64:] >= 0.1).all()


def test_what_overflows_in_the_module_itself_proves_nothing():
    exact = np.ones((100, 1, 2))
    eager = exact.astype(np.float32)
    eager[60:] = np.inf
    found = compare(np.where(np.isinf(eager), np.nan, eager), exact, eager, rule=Rule(SEQUENCE))
    assert (found.reason, found.unproved_from) == ("", 60)
    eager[:] = np.nan
    found = compare(np.zeros_like(eager), exact, eager, rule=Rule(SEQUENCE))
    assert not found.proves


def test_an_element_is_judged_by_its_channels_typical_size():
    exact = np.zeros((50, 2, 3))
    exact[..., 0], exact[..., 1] = 1000.0, 0.5
    noise = np.zeros_like(exact)
    found = allowance(exact, exact.astype(np.float32), noise, Rule(SEQUENCE)).allowed
    assert found[..., 1].max() < 1e-6
    assert found[..., 2].max() < 1e-8  # of nothing but zeros
    one = Rule(SEQUENCE, typical=np.array([1000.0, 0.5, 2.0]))
    assert allowance(exact, exact.astype(np.float32), noise, one).allowed[0, 0, 2] == 2e-6


def test_sizes_are_those_of_what_is_no_mask():
    exact = np.full((50, 2, 3), -1e9)
    exact[:20] = np.random.default_rng(0).uniform(0.5, 1.5, (20, 2, 3))
    noise = np.where(exact < 0, 0.0, 1e-7)
    sizes = typical_sizes([(exact, noise)], SEQUENCE)
    assert ((sizes > 0.5) & (sizes < 1.5)).all()


@given(
    time=st.integers(1, 40),
    batch=st.integers(1, 4),
    channels=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-4, 1.0, 300.0]),
)
@settings(max_examples=60, deadline=None)
def test_noise_of_the_same_kind_is_the_same_and_more_is_not(time, batch, channels, seed, scale):
    rng = np.random.default_rng(seed)
    exact = rng.standard_normal((time, batch, channels)) * scale

    def noisy():
        return (exact + rng.standard_normal(exact.shape) * 1e-6 * scale).astype(np.float32)

    eager = noisy()
    noise = np.max([error_of(noisy(), exact) for _ in range(1 + RUNS)], 0)
    rule = Rule(SEQUENCE)
    assert compare(noisy(), exact, eager, noise=noise, rule=rule).reason == ""
    wrong = noisy()
    place = tuple(int(rng.integers(0, n)) for n in exact.shape)
    wrong[place] += np.float32(1e-3 * scale)
    found = compare(wrong, exact, eager, noise=noise, rule=rule)
    assert "off by" in found.reason
    assert found.excess > 1


def test_a_module_is_left_as_it_was_and_thresholds_are_not_crossed():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.3, 2.0]))
            self.register_buffer("low", torch.tensor(-1e9))

        def forward(self, x):
            return torch.where(x >= 1.0, x * self.w[1], self.low)

    module = Steps()
    before, storage = module.w.detach().clone(), module.w.data_ptr()
    x = np.array([0.0, 1.0, 2.0, 0.5], np.float32)

    def run(arrays):
        with torch.no_grad():
            return {"y": module(torch.from_numpy(arrays["x"])).numpy()}

    eager = {"one": run({"x": x})}
    exact = {"one": {"y": eager["one"]["y"].astype(np.float64)}}
    noise = measure_noise(module, run, {"one": {"x": x}}, eager, exact)
    assert torch.equal(module.w, before)
    assert module.w.data_ptr() == storage
    assert noise["one"]["y"].tolist() == [0, 0, 0, 0]  # whole numbers and buffers stay


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3, 0.01])
def test_a_mask_of_a_part_of_the_least_number_is_compared(share):
    """In float64 it is beyond what float32 has: the module's own number is what is owed."""
    model = masked(share)
    cases = make_cases(model, plan_cases(model, {"time": 7, "batch": 3})).cases
    standard = standard_of(layout_of(model, cases), cases)
    for case in cases:
        assert not standard.compare(case, "scores", case.eager["scores"]).reason
        wrong = case.eager["scores"].copy()
        wrong[-1, -1, -1] *= 0.9
        if wrong.size and abs(wrong[-1, -1, -1]) > 1e30:
            assert standard.compare(case, "scores", wrong).reason, case.name


def masked(share):
    class Masked(Tagger):
        def forward(self, x, lengths):
            least = torch.finfo(x.dtype).min
            return super().forward(x, lengths).clamp(min=least * share)

    inputs = (
        TensorSpec("x", ("time", "batch", 6)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
    )
    return Model(Masked(None), inputs, ("scores",), name="masked")


def test_where_a_rounding_makes_an_infinity_nothing_is_owed():
    """And nothing is proved: the neighbour of a pole may be it."""
    exact = np.linspace(1, 2, 40).reshape(10, 4)
    eager, noise = exact.astype(np.float32), np.full(exact.shape, 1e-7, np.float32)
    noise[3, 1] = np.inf
    for value in (1.5, np.inf, np.nan):
        given = eager.copy()
        given[3, 1] = value
        assert not compare(given, exact, eager, noise, Rule(Axes(time=0))).reason
        given[4, 1] += 0.1
        assert compare(given, exact, eager, noise, Rule(Axes(time=0))).reason
    assert compare(eager, exact, eager, np.full_like(noise, np.inf)).unproved_from == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_moved_numbers_are_neighbours(seed):
    """Down, up or not at all, each as often; whole numbers, and what is no number, stay."""
    rng = np.random.default_rng(seed)
    kind = rng.choice([np.float16, np.float32, np.float64])
    values = (rng.normal(size=(300, 3)) * 10.0 ** rng.integers(-4, 3, (300, 3))).astype(kind)
    values[:4, 0] = [0.0, -3.0, np.inf, np.nan]
    moved = neighbours(values, rng)
    near = [np.nextafter(values, kind(way)) for way in (-np.inf, np.inf)]
    below, above = moved == near[0], moved == near[1]
    stays = (moved == values) | np.isnan(values)
    assert (below | above | stays).all()
    assert stays[:4, 0].all()
    if kind != np.float16:  # of which many are whole numbers
        assert min(below.mean(), above.mean(), stays.mean()) > 0.25


@pytest.mark.parametrize("low", [-1e9, -1e30, float(torch.finfo(torch.float32).min) / 2])
def test_a_channel_that_is_masked_throughout_most_cases_lends_them_nothing(low):
    """Its typical size in the other cases is that of its own numbers there."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(9, 2, 2))
    masked = numbers.copy()
    masked[..., 1] = low
    cases = [(exact, np.full(exact.shape, 1e-7) * (exact != low)) for exact in (masked,) * 4]
    cases.append((numbers, np.full(numbers.shape, 1e-7)))
    typical = typical_sizes(cases, SEQUENCE)
    assert typical[1] < 5
    eager = numbers.astype(np.float32)
    found = allowance(numbers, eager, cases[-1][1], Rule(SEQUENCE, typical=typical))
    assert found.allowed.max() < 1e-5
    assert typical_sizes(cases[:4], SEQUENCE)[1] == -low


@pytest.mark.parametrize("from_end", [False, True])
def test_after_an_explosion_a_quiet_stretch_proves_nothing(from_end):
    """Until the runs agree to roundings again: there, an error differs as ever."""
    rng = np.random.default_rng(5)
    exact = rng.normal(size=(200, 3, 4))
    noise = np.full(exact.shape, 1e-7)
    noise[30:50] = np.geomspace(1e-7, 1, 20)[:, None, None]  # it grows,
    ends = 200 if from_end else 120
    noise[50:ends, :2] = 1.0  # is as large as the values,
    noise[80:90, :2] = 1e-3  # small by chance,
    noise[50:, 2] = 1e-7  # or at an end where inputs drive it
    if from_end:
        exact, noise = exact[::-1], noise[::-1]
    rule = Rule(SEQUENCE)

    def excess(step, row, error):
        given = exact.astype(np.float32)
        given[199 - step if from_end else step, row] += error
        return compare(given, exact, exact.astype(np.float32), noise, rule).excess

    assert excess(85, 0, 1.0) <= 1
    assert excess(85, 2, 0.1) > 1
    assert from_end or excess(140, 0, 1e-2) > 1
    assert excess(20, 0, 1e-2) > 1
    found = allowance(exact, exact.astype(np.float32), noise, rule).unproved
    found = found[::-1] if from_end else found
    assert found[50 : ends - 2, :2].all()
    assert not found[ends + 5 :].any()
    assert not found[: 28 if from_end else 40].any()


def single_samples(channels=8000, seed=0):
    """Scores, or samples of a sound: one element of each channel, judged by a few runs of its own.

    Returns:
        the reference, the noise of four runs, and the errors of another engine twice as coarse.
    """
    rng = np.random.default_rng(seed)
    exact = np.exp(rng.uniform(np.log(0.1), np.log(20), (1, 1, channels)))
    noise = 1e-7 * np.abs(rng.standard_normal((4, *exact.shape))).max(0)
    return exact, noise, 2e-7 * rng.standard_normal(exact.shape)


@pytest.mark.parametrize("seed", range(5))
def test_a_few_runs_that_agree_by_chance_blame_nobody(seed):
    exact, noise, errors = single_samples(seed=seed)
    by_its_own = np.maximum(10 * noise, 1e-6 * exact)
    assert (np.abs(errors) > by_its_own).any()
    found = allowance(exact, exact.astype("f"), noise.astype("f"), Rule())
    assert (np.abs(errors) <= found.allowed).all()


def test_what_agrees_better_than_by_chance_is_lent_nothing():
    """A copy of an input among computed channels of its size."""
    exact, noise, _ = single_samples()
    exact[..., :3], noise[..., :3] = 0.15, [1e-9, 2e-8, 0.0]
    found = allowance(exact, exact.astype("f"), noise.astype("f"), Rule())
    copied, lucky, constant = found.allowed[0, 0, :3]
    assert max(copied, constant) < 3e-7
    assert lucky > 1e-6

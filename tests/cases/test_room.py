"""Cases are no larger than there is room for, where a step has many numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.cases import making
from rnnbench.cases.cases import count_outputs
from rnnbench.cases.making import Wanted, make_wanted
from rnnbench.cases.plans import plan_cases, plan_further, plan_sweep
from rnnbench.cases.room import Room, room_for
from rnnbench.cases.stored import read_cases

TRACED = {"batch": 3, "time": 5}


class Scores(nn.Module):
    """A score for each of many words, of each step or of the last."""

    def __init__(self, words, last):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.out, self.last = nn.GRU(4, 4, batch_first=True), nn.Linear(4, words), last

    def forward(self, x):
        y = self.rnn(x)[0]
        return self.out(y[:, -1] if self.last else y)


def scores(words, last=False):
    x = TensorSpec("x", ("batch", "time", 4))
    return Model(Scores(words, last), (x,), ("scores",), name="scores")


def room(model, most, fixed=()):
    return room_for(model, count_outputs(model), TRACED, most, fixed)


def test_what_the_size_follows():
    assert room(scores(1000), 10**5).grows == ("batch", "time")
    assert room(scores(1000, last=True), 10**5).grows == ("batch",)
    assert room(scores(1000), 10**5, {"batch": 3}).grows == ("time",)


def test_small_outputs_have_room_for_all():
    model = scores(4)
    for plans in (plan_cases, lambda *a: plan_further(a[0], a[1], {}, *a[2:])):
        assert plans(model, TRACED, room(model, 2**20)) == plans(model, TRACED)


def test_large_outputs_are_kept_small():
    """Rows of a case that is about rows last, and none of what was traced."""
    model, most = scores(2000), 40_000
    there = room(model, most)
    quick = plan_cases(model, TRACED, there)
    sizes = {plan.name: plan.dims for plan in quick}
    assert sizes["traced"] == TRACED
    assert sizes["wider"]["batch"] == 6
    assert sizes["longer"]["time"] > 5
    full = plan_sweep(model, TRACED, {}, there)
    for plan in (*quick, *plan_further(model, TRACED, {}, there), *full):
        assert plan.dims["batch"] * plan.dims["time"] * 2000 <= most, plan.name
    assert len({plan.name for plan in plan_further(model, TRACED, {}, there)}) >= 5


def test_steps_stay_where_the_output_has_none():
    model = scores(2000, last=True)
    times = {plan.dims["time"] for plan in plan_further(model, TRACED, {}, room(model, 40_000))}
    assert times >= {2, 3, 31, 32, 33, 64, 65, 128, 257, 1025}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 40), st.integers(1, 5000))
def test_a_fit_ends_and_has_room(numbers, most, rows, steps):
    model = scores(4)
    there = Room(model, TRACED, numbers, ("batch", "time"), most)
    found = there.fit({"batch": rows, "time": steps}, ["time"])
    assert found["batch"] <= rows
    assert found["time"] <= steps
    size = numbers * found["batch"] * found["time"] / 15
    assert size <= max(most, numbers) or set(found.values()) == {1}


@pytest.mark.parametrize(
    ("done", "seconds", "count"),
    [(0, 0, 1), (1, 0.1, 2), (3, 0.3, 6), (9, 0.9, 6), (1, 20, 0), (1, 14, 1), (2, 31, 0)],
)
def test_as_many_at_once_as_there_is_time_for(done, seconds, count):
    assert making._next(done, seconds, 30) == count


def test_a_slow_module_gets_fewer_cases(tmp_path, monkeypatch):
    """And a line says so; those that were asked for are made however long they take."""
    model = scores(4)
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    monkeypatch.setitem(making.SECONDS, "quick", 0)
    asked = ("batch=2,time=3", "batch=2,time=3", "batch=1,time=9")
    made = make_wanted(bundle, model, Wanted("quick", asked))
    assert [case.name for case in made.cases] == [*dict.fromkeys(asked), "batch=8,time=31"]
    assert "further cases were left out" in made.notes[0]


def test_a_bundle_of_a_large_vocabulary_is_proved_in_little_memory(tmp_path):
    model = scores(100_000)
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    stored = read_cases(bundle)
    assert max(case.eager["scores"].size for case in stored) == 1_500_000  # the traced one
    made = make_wanted(bundle, model, Wanted("quick")).cases
    assert max(case.eager["scores"].size for case in made) <= 2**22
    assert len(made) >= 6
    assert not np.isnan(made[0].noise["scores"]).any()

"""The least sizes of a module are found by running it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnbench
from rnnbench import Dim, Model, RnnbenchError, TensorSpec
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.cases.least_sizes import with_least_sizes

WAVE = TensorSpec("wave", ("batch", "time"))


class Windowed(nn.Module):
    def __init__(self, least, multiple):
        super().__init__()
        self.least, self.multiple = least, multiple

    def forward(self, wave):
        if wave.size(1) < self.least:
            raise ValueError("too short")
        return wave.reshape(wave.size(0), -1, self.multiple).sum(-1)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 300), st.sampled_from([1, 1, 2, 3, 5, 8, 32]))
def test_the_least_size_and_the_multiple(least, multiple):
    model = Model(Windowed(least, multiple), (WAVE,), ("y",))
    found = with_least_sizes(model, traced_sizes(model)).dims["time"]
    assert found.fit(1) == Dim(least, multiple).fit(1)
    assert found.multiple_of == multiple


def test_what_runs_and_what_never_does_stay_as_they_are():
    short = Model(Windowed(1, 1), (WAVE,), ("y",))
    assert with_least_sizes(short, traced_sizes(short)) is short

    class Broken(nn.Module):
        def forward(self, wave):
            raise ValueError("always")

    broken = Model(Broken(), (WAVE,), ("y",))
    assert with_least_sizes(broken, traced_sizes(broken)) is broken


def test_no_input_of_many_dimensions_is_large():
    largest = []

    class Refuses(nn.Module):
        def forward(self, x):
            largest.append(x.numel())
            raise TypeError("no tensor")

    model = Model(Refuses(), (TensorSpec("x", ("batch", "time", "height", "width")),), ("y",))
    assert with_least_sizes(model, traced_sizes(model)) is model
    assert max(largest) <= 2**24


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.front, self.rnn = nn.Conv1d(1, 3, 10), nn.GRU(3, 4, batch_first=True)

    def forward(self, wave):
        return self.rnn(self.front(wave.unsqueeze(1)).transpose(1, 2))[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    model = Model(Convolved(), (WAVE,), ("y",))
    return rnnbench.export(model, ("onnx",), tmp_path_factory.mktemp("least"))


def test_a_bundle_says_what_was_found(bundle):
    assert bundle.dims == {"batch": Dim(), "time": Dim(min=10)}
    (note,) = bundle.manifest["notes"]
    assert note.startswith("'time' is 10 or more, as running the module showed: dims={'time': Dim(")
    assert all(case["dims"]["time"] >= 10 for case in bundle.manifest["cases"])
    report = rnnbench.check(bundle, ["onnxruntime"], cases="full")
    assert report.ok, report.rows


def test_a_size_that_is_too_small_is_named_with_the_least_one(bundle):
    session = rnnbench.load(bundle, "onnx", runtime="onnxruntime")
    assert session({"wave": np.zeros((2, 10), np.float32)})["y"].shape == (2, 1, 4)
    with pytest.raises(RnnbenchError, match="'time' is 9, and Convolved takes 10 or more: give 10"):
        session({"wave": np.zeros((2, 9), np.float32)})


def test_a_product_has_to_be_one():
    bundle = rnnbench.core.bundle.Bundle(
        None,
        {
            "name": "rows",
            "inputs": [
                {"name": "rows", "shape": ["envs*time", 3]},
                {"name": "h", "shape": ["envs", 2]},
                {"name": "steps", "shape": ["time"]},
            ],
        },
    )
    from rnnbench.core.fitting import fitting

    def given_rows(rows):
        zeros = np.zeros((rows, 3), np.float32), np.zeros((2, 2), np.float32)
        return dict(zip(("rows", "h", "steps"), (*zeros, np.zeros(5, np.float32)), strict=True))

    assert fitting(bundle, given_rows(10))["rows"].shape == (10, 3)
    with pytest.raises(RnnbenchError, match=r"input 'rows' has shape .*11.*envs\*time"):
        fitting(bundle, given_rows(11))

"""The cases of a bundle, and a module that is run in float64 and left as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnbench.cases.cases import check_declaration, plan_cases
from rnnbench.cases.stored import read_cases, write_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, TensorSpec
from rnnbench.models.calls import call, undisturbed
from tests.helpers import handmade


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("bundle"))


def test_cases_cover_shapes_states_and_large_inputs(bundle):
    cases = {case.name: case for case in read_cases(bundle)}
    dims = [tuple(case.dims.values()) for case in cases.values()]
    assert cases["traced"].dims == handmade.TRACED
    assert {1, 2, 5, 37, 200} == {time for time, _ in dims}
    assert {0, 1, 2, 3, 6} == {batch for _, batch in dims}
    assert not cases["zero-state"].inputs["h0"].any()
    assert cases["traced"].inputs["h0"].any()
    assert cases["large"].inputs["x"].std() > 10
    assert not cases["zero"].inputs["x"].any()
    assert cases["stream-7"].feed_mode.chunks == (7,)
    assert cases["interleaved"].feed_mode.interleaved
    assert cases["reset"].feed_mode.reset
    for case in cases.values():
        assert case.inputs["x"].shape == (case.dims["time"], case.dims["batch"], 3)
        assert case.reference["y"].dtype == np.float64
        assert case.eager["y"].dtype == np.float32
        assert np.abs(case.reference["y"] - case.eager["y"]).max(initial=0) < 1e-6


def test_cases_without_time_without_state_and_with_ids():
    class Fixed(nn.Module):
        def forward(self, ids):
            return ids.sum(1)

    model = Model(Fixed(), [TensorSpec("ids", ("batch", 7), "int64", high=5)], ["y"])
    assert [plan.name for plan in plan_cases(model, {"batch": 2})] == [
        "traced",
        "batch-1",
        "wider",
        "zero",
    ]
    spread = Model(Fixed(), [TensorSpec("ids", ("batch", "width"), "int64", high=5)], ["y"])
    plans = plan_cases(spread, {"batch": 1, "width": 7})
    assert [plan.name for plan in plans] == ["traced", "wider", "other-width", "zero"]


class Awkward(nn.Module):
    """All that makes a float64 run hard, and must be as it was afterwards."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.old = nn.utils.weight_norm(nn.Linear(4, 4))
        self.new = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.tied = nn.Linear(4, 12)
        self.tied.weight = self.rnn.weight_hh_l0
        self.plain, self.listed = torch.ones(4), [torch.ones(4)]
        self.register_buffer("count", torch.zeros(1))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, h0):
        self.count += 1
        y, hn = self.rnn(x, h0 + torch.zeros(4))
        y = self.new(self.old(y)) * self.plain + self.listed[0] + self.tied(y)[..., :4]
        return {"y": self.dropout(y), "state": (hn, None)}


def awkward():
    inputs = (
        TensorSpec("x", ("time", "batch", 3)),
        TensorSpec("h0", (1, "batch", 4), role="state"),
    )
    return Model(Awkward(), inputs, ("y", "hn"), {"h0": "hn"})


@pytest.fixture
def model():
    with pytest.warns(FutureWarning, match="weight_norm"):
        return awkward()


def test_the_module_is_left_as_it_was(model, tmp_path):
    module = model.module
    module(torch.zeros(5, 3, 3), torch.zeros(1, 3, 4))
    tensors = {
        k: (v, v.clone(), v.data_ptr()) for k, v in module.state_dict(keep_vars=True).items()
    }
    weight, flat = module.old.weight, list(module.rnn._flat_weights)
    write_cases(model, tmp_path, plan_cases(model, handmade.TRACED))
    for key, value in module.state_dict(keep_vars=True).items():
        same, copy, pointer = tensors[key]
        assert value is same
        assert value.data_ptr() == pointer
        assert value.dtype == copy.dtype
        assert torch.equal(value, copy), key
    assert module.old.weight is weight
    assert all(a is b for a, b in zip(flat, module.rnn._flat_weights, strict=True))
    assert module.plain.dtype == module.listed[0].dtype == torch.float32
    assert module.training
    assert torch.get_default_dtype() == torch.float32
    assert module.count.item() == 1


def test_the_module_is_left_as_it_was_after_an_error(model):
    def fail():
        with undisturbed(model.module, double=True):
            assert model.module.plain.dtype == torch.float64
            assert not model.module.training
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert {v.dtype for v in model.module.state_dict().values()} == {torch.float32}
    assert model.module.plain.dtype == torch.float32
    assert model.module.training


class InsistsOnFloat32(nn.Module):
    def forward(self, x):
        return x.float() @ torch.eye(3, dtype=torch.float32) @ torch.eye(3).to(x.dtype)


class NeedsFiveSteps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 5)

    def forward(self, x):
        return self.conv(x.permute(1, 2, 0))


def of_x(module, *outputs):
    return Model(module, [TensorSpec("x", ("time", "batch", 3))], outputs)


def test_cases_that_the_module_cannot_run_are_named(tmp_path):
    model = of_x(NeedsFiveSteps(), "y")
    entries = write_cases(model, tmp_path, plan_cases(model, handmade.TRACED))
    skipped = {e["name"] for e in entries if "skipped" in e}
    assert skipped == {"time-1", "batch-1-time-1", "shorter", "stream-7"}
    bundle = Bundle(
        tmp_path,
        {"cases": entries, "inputs": [vars(s) for s in model.inputs], "outputs": ["y"]},
    )
    assert {case.name for case in read_cases(bundle)} == {e["name"] for e in entries} - skipped


def test_a_module_that_insists_on_float32_is_its_own_reference(tmp_path):
    model = of_x(InsistsOnFloat32(), "y")
    entries = write_cases(model, tmp_path, plan_cases(model, handmade.TRACED))
    assert all("float64 fails" in entry["reference"] for entry in entries)
    with np.load(tmp_path / "cases.npz") as stored:
        assert stored["traced/ref/y"].dtype == np.float64
        assert np.array_equal(stored["traced/ref/y"], stored["traced/eager/y"])


def test_a_module_that_contradicts_its_declaration_is_one_line():
    for module, outputs, message in (
        (nn.Linear(3, 2), ("y", "z"), "returned 1 tensors and declares 2 outputs"),
        (nn.Linear(7, 2), ("y",), "fails on inputs of its own declaration"),
    ):
        model = of_x(module, *outputs)
        with pytest.raises(RnnbenchError, match=message) as caught:
            check_declaration(model, plan_cases(model, handmade.TRACED)[0])
        assert "\n" not in str(caught.value)


def test_call_copies_what_goes_in_and_out():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.add_(1), {"same": x}

    x = np.zeros((2, 3), np.float32)
    x.flags.writeable = False
    outputs = call(InPlace(), [TensorSpec("x", ("batch", 3))], ("a", "b"), {"x": x})
    outputs["a"][:] = 7
    assert not x.any()
    assert (outputs["b"] == 1).all()
    with pytest.raises(RnnbenchError, match="returned a str: return tensors"):
        call(lambda x: (x, "text"), [TensorSpec("x", ("batch", 3))], ("a", "b"), {"x": x})
    with pytest.raises(RnnbenchError, match=r"output 'a' is torch\.bfloat16"):
        call(lambda x: x.bfloat16(), [TensorSpec("x", ("batch", 3))], ("a",), {"x": x})

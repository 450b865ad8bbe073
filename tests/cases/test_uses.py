"""What a module makes of its weights alone is told from what its inputs and sizes go into."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from rnnbench import Model, TensorSpec
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.cases.cases import make_cases
from rnnbench.cases.plans import plan_cases
from rnnbench.cases.uses import uses, varied

X = (TensorSpec("x", ("batch", "time", 4)),)
IDS = (TensorSpec("ids", ("batch", "time"), dtype="int64", high=50),)


def cases_of(model):
    return make_cases(model, plan_cases(model, traced_sizes(model))).cases


def used(forward, inputs=X, **parts):
    """What a module of these parts makes of its weights."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, given):
            return forward(self, given)

    model = Model(Net(), inputs, ("y",))
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    found = uses(model, list(before), cases_of(model))
    after = model.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    return found, {name: tensor.detach().numpy() for name, tensor in before.items()}


def square():
    return nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))


def only(made):
    (array,) = made
    return array.squeeze()


def masked_loop(self, x):
    w = self.w * (1 - torch.eye(4))
    h, found = torch.ones(x.shape[0], 4) * 0.1, []  # its first product is of constants as well
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] + h @ w.t())
        found.append(h)
    return torch.stack(found, 1)


def test_a_masked_matrix_in_a_loop():
    found, state = used(masked_loop, w=square())
    made = {array.shape: array for array in found["w"]}
    np.testing.assert_array_equal(made[4, 4].T, state["w"] * (1 - np.eye(4, dtype=np.float32)))
    assert len(made) == 1


def test_a_number_that_goes_to_python():
    found, state = used(lambda self, x: x * self.w.sum().item(), w=square())
    np.testing.assert_allclose(only(found["w"]), state["w"].sum(), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w.clamp(-1, 1),
        lambda w: torch.where(w > 0.5, 2 * w, w),
        lambda w: w.double().exp().float(),
        lambda w: w.softmax(-1),
        lambda w: w.sum() * torch.ones(4, 4),
    ],
)
def test_what_is_made_of_it_alone(function):
    found, state = used(lambda self, x: x @ function(self.w), w=square())
    expected = function(torch.from_numpy(state["w"])).numpy()
    np.testing.assert_array_equal(only(found["w"]), expected)


def test_pruned_and_normed_layers():
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", amount=0.3)
    normed = parametrizations.weight_norm(nn.Linear(4, 4))
    found, state = used(lambda self, x: self.normed(self.layer(x)), layer=layer, normed=normed)
    expected = state["layer.weight_orig"] * state["layer.weight_mask"]
    for name in ("layer.weight_orig", "layer.weight_mask"):
        np.testing.assert_array_equal(only(found[name]).T, expected)
    assert found["layer.bias"] is None
    weights = [f"normed.parametrizations.weight.original{i}" for i in (0, 1)]
    np.testing.assert_allclose(only(found[weights[0]]).T, layer_weight(normed), rtol=1e-6)
    assert [a.tobytes() for a in found[weights[0]]] == [a.tobytes() for a in found[weights[1]]]


def layer_weight(layer):
    return layer.weight.detach().numpy()


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        (lambda self, ids: self.table[ids], IDS),
        (lambda self, ids: nn.functional.embedding(ids, self.table), IDS),
        (lambda self, x: x @ self.table[:4], X),
        (lambda self, x: x @ (self.table[:4] / x.shape[1]), X),  # another at each size
        (lambda self, x: x + torch.zeros(x.shape[0], 1, 50) @ self.table, X),
        (lambda self, x: x @ self.table[:4] + self.table.clamp(0, 1).sum(), X),
        (lambda self, x: x + self.table.mean() * self.table[x.shape[1] % 7], X),
    ],
)
def test_a_weight_that_is_used_as_it_is(forward, inputs):
    found, _ = used(forward, inputs, table=nn.Parameter(torch.randn(50, 4)))
    assert found["table"] is None


def test_a_copy_of_a_table_is_to_be_found_whole():
    table = nn.Parameter(torch.randn(50, 4))
    found, state = used(lambda self, ids: self.table.clone()[ids], IDS, table=table)
    np.testing.assert_array_equal(only(found["table"]), state["table"])


def test_weights_that_nothing_reads_and_outputs_that_are_weights():
    found, _ = used(lambda self, x: x + 1, unread=square())
    assert found["unread"] == []
    model = Model(Both(), X, ("y", "w"))
    assert uses(model, ["w", "another"], cases_of(model)) == {"w": None}


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = square()

    def forward(self, x):
        return x + 1, self.w + 0 * x.sum()


def test_what_cannot_be_watched_says_nothing():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.calls = square(), 0

        def forward(self, x):
            from torch.utils._python_dispatch import _get_current_dispatch_mode

            if _get_current_dispatch_mode() is not None:
                raise RuntimeError("not so")
            return x @ self.w

    model = Model(Stubborn(), X, ("y",))
    assert uses(model, ["w"], cases_of(model)) == {}


def test_each_size_differs_between_the_cases():
    model = Model(nn.GRU(4, 3, batch_first=True), X, ("y", "h"))
    chosen = varied(cases_of(model))
    for dim in ("batch", "time"):
        assert len({case.dims[dim] for case in chosen}) > 1
    assert all(min(case.dims.values()) > 1 for case in chosen)

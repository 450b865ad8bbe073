"""Whether a weight matters is found whatever stands behind it."""

import pytest
import torch
from torch import nn

from rnnbench import Model, TensorSpec
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.cases.cases import make_cases
from rnnbench.cases.effects import changed, effects
from rnnbench.cases.plans import plan_cases

X = (TensorSpec("x", ("batch", "time", 3)),)


def cases_of(model):
    return make_cases(model, plan_cases(model, traced_sizes(model))[:3]).cases


class Hidden(nn.Module):
    """Weights that a softmax, a norm or their own size hides from what is added to all alike."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.before = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4, elementwise_affine=False)
        self.rnn = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("huge", torch.full((3,), 1e9))
        self.register_buffer("empty", torch.tensor([torch.nan, 1.0, torch.nan]))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("flag", torch.tensor([True, False, True]))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        y = self.head(self.rnn(self.norm(self.before(x)))[0])
        y = torch.log_softmax(y, -1) * (self.huge / 1e9) / self.count
        return torch.where(self.flag, y, 0.0) + torch.nan_to_num(self.empty)


def test_what_matters_and_what_does_not():
    model = Model(Hidden(), X, ("y",))
    state = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    found = effects(model, list(state), cases_of(model), every=True)
    without = {name for name, matters in found.items() if not matters}
    assert without == {"unused.weight", "unused.bias", "seen"}
    after = model.module.state_dict()
    assert all(torch.equal(after[n].nan_to_num(), t.nan_to_num()) for n, t in state.items())


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e9])
def test_each_number_is_changed_by_as_much_as_is_usual(size):
    weight = size * torch.randn(200, generator=torch.Generator().manual_seed(1))
    weight[:3] = torch.tensor([0.0, torch.nan, torch.inf])
    other = changed(weight)
    assert other.dtype == weight.dtype
    assert torch.isfinite(other).all()
    assert (other != weight).all()
    assert (other[3:] - weight[3:]).abs().max() < 3 * weight[3:].abs().max()
    assert torch.equal(other, changed(weight))

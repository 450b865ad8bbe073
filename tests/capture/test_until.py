"""A loop that ends on data: the same in Python, as PyTorch's operator, and as it is written."""

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.capture.operators.until import as_dimension, first_steps, run_until
from rnnbench.core.known_warnings import torchscript_deprecation

LONGEST = 6


class Loop(nn.Module):
    """Adds x[t] to h until h is above the limit; its values are h and the truth."""

    def forward(self, h, x, limit, begins):
        def body(h, x_t, limit):
            after = torch.tanh(h) + x_t
            return (after,), (after * 2, (after > limit).reshape(()))

        number, last, values, _ = run_until(
            body, [h], [x], [limit], (1, False), begins, LONGEST, LONGEST
        )
        steps = as_dimension(number, 0)
        return number, last, first_steps(values, steps.shape[0])


def expected(h, x, limit, begins):
    seen, count = [], 0
    while begins and count < LONGEST:
        h = torch.tanh(h) + x[count]
        count += 1
        seen.append(h * 2)
        if h > limit:
            break
    return torch.tensor(count), h, torch.stack(seen) if seen else torch.zeros(0, 1)


@pytest.fixture(scope="module")
def exported():
    given = inputs(2.0, True)
    return torch.export.export(Loop(), given, strict=False).module()


def inputs(limit, begins):
    x = torch.full((LONGEST, 1), 0.5)
    return torch.zeros(1), x, torch.tensor(limit), torch.tensor(begins)


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("limit", [0.1, 0.9, 1.2, 5.0])
def test_it_runs_as_long_as_it_is_to(limit, begins, exported):
    given = inputs(limit, begins)
    wanted = expected(*given)
    for run in (Loop(), exported):
        for a, b in zip(wanted, run(*given), strict=True):
            torch.testing.assert_close(b, a)


class EndsBefore(nn.Module):
    """It asks before each step, up to `most` times, and gives the state alone."""

    def __init__(self, most):
        super().__init__()
        self.cell, self.most = nn.GRUCell(4, 4), most

    def forward(self, z, limit):
        h, t = z, 0
        while t < self.most and h.abs().max() > limit:
            h = self.cell(z, h)
            t += 1
        return h


def ends_before(most, **declared):
    torch.manual_seed(0)
    ports = TensorSpec("z", ("batch", 4)), TensorSpec("limit", ())
    return Model(EndsBefore(most), ports, ("h",), **declared)


@pytest.mark.parametrize("limit", [9.0, 0.6, 0.3, -1.0])
def test_no_step_some_and_all_of_them(limit, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    bundle = rnnbench.export(ends_before(12, max_steps=12), ("onnx", "torchscript"), tmp_path)
    torch.manual_seed(0)
    module, z = EndsBefore(12), torch.randn(5, 4)
    with torch.no_grad():
        wanted = module(z, torch.tensor(limit))
        with torchscript_deprecation():
            script = torch.jit.load(str(bundle.path / "model.ts"))(z, torch.tensor(limit))
    session = onnxruntime.InferenceSession(str(bundle.path / "model.onnx"))
    feeds = {"z": z.numpy(), "limit": torch.tensor(limit).numpy()}
    torch.testing.assert_close(script, wanted)
    torch.testing.assert_close(torch.from_numpy(session.run(None, feeds)[0]), wanted)


def test_more_steps_than_are_declared_are_refused(tmp_path):
    with pytest.raises(RnnbenchError, match="goes on for more steps than max_steps=9: declare"):
        rnnbench.export(ends_before(12, max_steps=9), ("onnx",), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_number_of_steps_is_a_number():
    with pytest.raises(RnnbenchError, match="max_steps=0 must be a whole number above 0, or None"):
        ends_before(12, max_steps=0)

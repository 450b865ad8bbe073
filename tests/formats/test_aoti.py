"""AOTInductor packages: right at any batch and length, or not written."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.capture.operators.recurrence import DIRECTIONS, fused, num_directions
from rnnbench.capture.operators.stepwise import run_stepwise
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.recurrence import GATES, KINDS
from rnnbench.formats import aoti
from rnnbench.runtimes.adapters import aoti as runtime

compiled = pytest.mark.skipif(aoti.FORMAT.missing() is not None, reason=str(aoti.FORMAT.missing()))


class Tagger(nn.Module):
    """A ragged bidirectional GRU and an LSTM: a loop over steps, and a fused kernel."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(3, 4, bidirectional=True, batch_first=True)
        self.lstm = nn.LSTM(8, 5, batch_first=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return self.lstm(y)[0]


def tagger():
    x = TensorSpec("x", ("batch", "time", 3))
    lengths = TensorSpec("lengths", ("batch",), "int64", role="lengths")
    return Model(Tagger(), (x, lengths), ("y",))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return rnnbench.export(tagger(), ("aoti",), tmp_path_factory.mktemp("aoti"))


@compiled
@pytest.mark.xdist_group("package")
def test_a_package_is_right_at_every_case(bundle):
    assert bundle.artifacts["aoti"].path.name == "model.aoti.pt2"
    assert bundle.artifacts["aoti"].details["stepwise"] == 1
    rows = [
        row for row in rnnbench.check(bundle, ["aoti"], isolate=False).rows if row.format == "aoti"
    ]
    assert [(row.verdict, row.reason) for row in rows] == [("same", "")]
    assert rows[0].cases >= 8


@compiled
@pytest.mark.xdist_group("package")
def test_plain_pytorch_loads_it(bundle):
    with (
        rnnbench.core.known_warnings.export_warnings(),
        rnnbench.core.known_warnings.torchscript_deprecation(),
    ):
        package = torch._inductor.aoti_load_package(str(bundle.artifacts["aoti"].path))
    x, lengths = torch.randn(2, 23, 3), torch.tensor([23, 9])
    with torch.no_grad():
        expected = Tagger().eval()(x, lengths)
    torch.testing.assert_close(package(x, lengths)[0], expected)
    assert package.get_metadata()["producer"] == "rnnbench"


@compiled
def test_a_package_that_is_wrong_elsewhere_is_not_kept(tmp_path, monkeypatch):
    # What AOTInductor makes of a fused GRU: right at the traced length alone.
    monkeypatch.setattr(aoti, "_stays_fused", lambda node: True)
    spec = TensorSpec("x", ("time", "batch", 2))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(2, 3)

        def forward(self, x):
            return self.rnn(x)[0]

    with pytest.raises(RnnbenchError, match=r"made fails at .*time=.*not kept; use pt2"):
        rnnbench.export(Model(Net(), (spec,), ("y",)), ("aoti",), tmp_path)
    assert not list(tmp_path.iterdir())


@compiled
@pytest.mark.xdist_group("package")
def test_a_damaged_package_is_one_line(bundle, tmp_path):
    path = tmp_path / "model.aoti.pt2"
    path.write_bytes(b"no zip at all")
    with pytest.raises(RnnbenchError, match="export it again"):
        runtime.load(bundle, path)
    with pytest.raises(RnnbenchError, match="cannot use device 'cuda' here: choose from cpu"):
        rnnbench.load(bundle, "aoti", device="cuda")


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setattr(aoti.shutil, "which", lambda name: None)
    assert "no C++ compiler" in aoti.FORMAT.missing()
    monkeypatch.setattr(aoti.shutil, "which", lambda name: name)
    assert aoti.FORMAT.missing() is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("lengths", [None, [4, 1, 3]])
def test_steps_compute_what_the_layer_computes(kind, direction, lengths):
    torch.manual_seed(0)
    directions = num_directions(direction)
    gates = GATES[kind] * 5
    weights = [torch.randn(gates, n) for n in (3, 5)] + [torch.randn(gates) for _ in range(2)]
    weights = [w for _ in range(directions) for w in weights]
    x = torch.randn(4, 3, 3)
    states = [torch.randn(directions, 3, 5) for _ in range(2)]
    lengths = None if lengths is None else torch.tensor(lengths)
    given = (x, lengths, states[0], states[1] if kind == "lstm" else None, weights)
    with torch.no_grad():
        expected = fused(*given, kind, direction)
        actual = run_stepwise(*given, kind, direction)
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


class InFront(nn.Module):
    """A convolution of few channels before a layer: Inductor takes it for fewer than 16 rows."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.rnn(y)[0][:, -1]


@compiled
def test_a_package_takes_any_number_of_rows_or_is_not_kept(tmp_path):
    """Seen with torch 2.13.0: one that was traced at 3 rows refuses 16 and more."""
    torch.manual_seed(0)
    model = Model(InFront(), (TensorSpec("x", ("batch", "time", 6)),), ("last",))
    bundle = rnnbench.export(model, ("pt2", "aoti"), tmp_path)
    if "aoti" in bundle.artifacts:
        session = rnnbench.load(bundle, "aoti")
        assert session({"x": np.zeros((40, 5, 6), np.float32)})["last"].shape == (40, 8)
    else:
        why = bundle.manifest["failed"]["aoti"]
        assert re.search("fails at batch=17.*so it is not kept; use pt2 or torchscript", why), why

"""Weights that a module masks, clamps, prunes or never reads: sound files are, damaged not."""

import shutil
from contextlib import nullcontext

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import rnnbench
import rnnbench.onnx
from rnnbench import Model, TensorSpec
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions, check
from rnnbench.checking.proved import _unproved
from rnnbench.checking.report import CheckReport
from rnnbench.checking.weights import prove_weights
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.pool import Isolation

X = (TensorSpec("x", ("batch", "time", 8)),)
IDS = (TensorSpec("ids", ("batch", "time"), dtype="int64", high=30_000),)
FORMATS = {"onnx": "onnxruntime", "torchscript": "torchscript", "pt2": "pt2"}


class ZeroDiagonal(nn.Module):
    def __init__(self):
        super().__init__()
        self.i = nn.Linear(8, 16)
        self.w = nn.Parameter(torch.randn(16, 16) * 0.2)

    def forward(self, x):
        w = self.w * (1 - torch.eye(16))
        h, found = torch.zeros(x.shape[0], 16), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.i(x[:, t]) + h @ w.t())
            found.append(h)
        return torch.stack(found, 1)


class Clamped(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.GRU(8, 16, batch_first=True)
        self.f = nn.Linear(16, 64, bias=False)
        self.a = nn.Parameter(torch.linspace(-1.05, 1.05, 64))  # four are beyond 1

    def forward(self, x):
        return self.f(self.g(x)[0]) * torch.clamp(self.a, -1, 1)


class Pruned(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.GRU(8, 16, batch_first=True)
        self.f = nn.Linear(16, 32)
        prune.l1_unstructured(self.f, "weight", amount=0.1)

    def forward(self, x):
        return self.f(self.g(x)[0])


class Tuned(nn.Module):
    """A table of which the copy from before it was tuned is kept."""

    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(30_000, 4)
        self.g = nn.GRU(4, 16, batch_first=True)
        before = self.e.weight.detach().clone()
        before[:5] += 0.1
        self.register_buffer("pretrained", before)

    def forward(self, ids):
        return self.g(self.e(ids))[0]


MODELS = {kind.__name__: kind for kind in (ZeroDiagonal, Clamped, Pruned, Tuned)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    known = {}

    def of(name):
        if name not in known:
            torch.manual_seed(0)
            kind = MODELS[name]
            model = Model(kind().eval(), IDS if kind is Tuned else X, ("y",))
            folder = tmp_path_factory.mktemp(name)
            known[name] = model, rnnbench.export(model, tuple(FORMATS), folder)
        return known[name]

    return of


def proved(model, bundle, format):
    """The row about weights; the module says nothing where there is none."""
    path = bundle.artifacts[format].path
    job = Job(FORMATS[format], format, path, bundle.path)
    at_hand = None if model is None else lambda: nullcontext(model)
    ((_, row, _),) = prove_weights(bundle, [job], None, at_hand)
    return row


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_sound_files(made, name, format):
    model, bundle = made(name)
    row = proved(model, bundle, format)
    assert (row.verdict, row.reason) == ("same", "")
    if name == "Tuned" and format != "pt2":  # which holds what nothing reads, too
        assert "1 without effect" in row.worst_case
    alone = proved(None, bundle, format)
    assert alone.verdict == "same", alone.reason


def altered(bundle, folder, shape, change):
    """A copy of the bundle, of whose ONNX file the one array with that many numbers is another."""
    target = folder / bundle.path.name
    shutil.copytree(bundle.path, target)
    other = Bundle.open(target)
    path = other.artifacts["onnx"].path
    proto = onnx.load(str(path))
    (tensor,) = (t for t in proto.graph.initializer if np.prod(t.dims) == np.prod(shape))
    array = onnx.numpy_helper.to_array(tensor).copy()
    change(array.reshape(-1))
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, str(path))
    return other


DAMAGES = {
    "one more": lambda flat: flat.__setitem__(18, flat[18] + 1),
    "one masked": lambda flat: flat.__setitem__(18, 0),
    "one clamped": lambda flat: flat.__setitem__(flat.argmax(), 0.5),
    "a row of zeros": lambda flat: flat.__setitem__(slice(len(flat) - 4, len(flat)), 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("name", "shape"),
    [("ZeroDiagonal", (16, 16)), ("Clamped", (64,)), ("Pruned", (16, 32)), ("Tuned", (30_000, 4))],
)
def test_damaged_files(made, tmp_path, name, shape, damage):
    model, bundle = made(name)
    other = altered(bundle, tmp_path, shape, DAMAGES[damage])
    row = proved(model, other, "onnx")
    assert row.verdict == "DIFFERS"
    if name == "Tuned":  # the words that no case draws: found without the module, too
        assert "e.weight: 1 of 30000 rows are others" in row.reason
        assert proved(None, other, "onnx").verdict == "DIFFERS"


def test_a_table_in_the_place_of_another_that_is_used(tmp_path):
    class Two(Tuned):
        def forward(self, ids):
            return self.g(self.e(ids) + nn.functional.embedding(ids, self.pretrained))[0]

    model = Model(Two().eval(), IDS, ("y",))
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    assert proved(model, bundle, "onnx").verdict == "same"
    path = bundle.artifacts["onnx"].path
    proto = onnx.load(str(path))
    first, second = (t for t in proto.graph.initializer if np.prod(t.dims) == 120_000)
    for node in proto.graph.node:  # the file has one of them for both
        for i, name in enumerate(node.input):
            if name == second.name:
                node.input[i] = first.name
    proto.graph.initializer.remove(second)
    onnx.save(proto, str(path))
    row = proved(model, bundle, "onnx")
    assert row.verdict == "DIFFERS"
    assert "5 of 30000 rows are others, the first 0" in row.reason


def test_in_processes_of_their_own(made):
    model, bundle = made("Clamped")
    options = CheckOptions(CaseSelection(further=False))
    report = check(bundle, ["onnxruntime"], options=options, model=model)
    (row,) = (row for row in report.rows if row.is_about_weights)
    assert (row.verdict, row.reason) == ("same", "")
    assert row.worst_case.endswith("1 folded")


def test_a_proof_that_takes_too_long_is_said(made, monkeypatch):
    _, bundle = made("Tuned")
    job = Job("onnxruntime", "onnx", bundle.artifacts["onnx"].path, bundle.path)
    for isolation in (Isolation(seconds=1e-3), Isolation(memory=2**20)):
        ((_, row, result),) = prove_weights(bundle, [job], isolation)
        assert row.verdict == result.verdict == "not judged"
        assert row.reason
        assert row.cases == 0

    def refuse(_job, _uses):
        raise MemoryError("unable to allocate 4 GB")

    monkeypatch.setattr("rnnbench.checking.weights.account_of", refuse)
    report = check(bundle, ["onnxruntime"], isolate=False)
    assert report.ok
    (row,) = (row for row in report.rows if row.is_about_weights)
    assert row.verdict == "not judged"
    (line,) = (line for line in report.notes if "not judged" in line)
    assert "weights of the onnx file are not judged (unable to allocate 4 GB)" in line


@pytest.mark.parametrize("name", MODELS)
def test_the_drop_in_writes_it(name, tmp_path):
    torch.manual_seed(0)
    module = MODELS[name]().eval()
    given = torch.randint(0, 30_000, (2, 5)) if name == "Tuned" else torch.randn(2, 5, 8)
    file = tmp_path / "model.onnx"
    axes = {"x": {0: "batch", 1: "time"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    rnnbench.onnx.export(module, (given,), file, dynamo=False, dynamic_axes=axes, **names)
    assert file.exists()


def test_what_the_drop_in_says_of_weights(made, tmp_path):
    model, bundle = made("Tuned")
    row = proved(model, altered(bundle, tmp_path, (30_000, 4), DAMAGES["one more"]), "onnx")
    said = _unproved("Tuned", "onnx", CheckReport((row,), ok=False, skipped={}))
    assert isinstance(said, RnnbenchError)
    assert "the onnx file holds other weights than the module (1 of 6 weights, at e.we" in str(said)
    assert "reordered" not in str(said)

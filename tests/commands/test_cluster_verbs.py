"""`check` and `conform` on a cluster say what the plain commands say, in the same order."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.checking.report import OutputRow
from rnnbench.cluster.parcels import pack, unpack
from rnnbench.commands._cluster import _here
from rnnbench.core import trust
from rnnbench.core.bundle import Bundle
from rnnbench.core.verdicts import Verdict
from rnnbench.models import variants
from rnnbench.models.rebuild import rebuild

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

ROOT = Path(__file__).parents[2]
LAYERS = "hidden = 4\n"
NET = """
import torch
from layers import hidden
from rnnbench import Model, TensorSpec


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, hidden, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


def build():
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y",), name="net")
"""


def small(name):
    return variants.model(name, variants.Options(3, 4, 1), bundle_name=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three bundles, of which one holds a file that is none."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("lstm", "elman", "gru"):
        rnnbench.export(small(name), formats=("onnx",), out=folder / "exports")
    (folder / "exports/elman/model.onnx").write_bytes(b"damaged")
    return folder


@pytest.fixture
def bundles(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return [f"exports/{name}" for name in ("lstm", "elman", "gru")]


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rnnbench", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_check_on_a_cluster_says_the_same(bundles):
    plain = run("check", *bundles, "--json")
    there = run("check", *bundles, "--json", "--cluster", "local")
    assert plain.returncode == there.returncode == 1, there.stderr
    assert json.loads(there.stdout) == json.loads(plain.stdout)
    assert json.loads(there.stdout)["rows"][0]["model"] == "lstm"
    assert "[3/3] " in there.stderr


def test_conform_on_a_cluster_says_the_same(bundles):
    words = ("conform", *bundles, "--engine", "tract", "--profile", "plain")
    plain, there = run(*words), run(*words, "--cluster", "local")
    assert there.stdout == plain.stdout != ""
    assert there.returncode == plain.returncode


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("check", "--cluster", "local", "--save-failures", "x"),
            "--save-failures and --cluster:",
        ),
        (
            ("bench", "--cluster", "auto", "--crossover", "hidden=8..64"),
            "--crossover and --cluster:",
        ),
        (("check", "--on", "gpu"), "--on 'gpu' chooses nodes of a cluster: give --cluster as well"),
        (
            ("conform", "x", "--cluster", "auto", "--result", "y"),
            "--result and --cluster: a ",
        ),
        (("check", "--cluster", "ray://x:1", "exports"), "Ray's client is not supported"),
        (("check", "--cluster", "nowhere", "gru"), "no Ray cluster answers there (it has no port)"),
    ],
)
def test_what_does_not_go_together_is_one_line(words, said, exported):
    words = ["exports/net" if word in ("exports", "gru", "x") else word for word in words]
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_path_on_a_node_is_the_path_here():
    reason = "/cache/ab/net/model.onnx is wrong"
    row = OutputRow("onnx", "x", reason=reason, model="net", verdict=Verdict.FAILED)
    (moved,) = _here([row], "/cache/ab/net", "exports/net")
    assert moved.reason == "exports/net/model.onnx is wrong"
    assert moved.model == "net"


# ---- what travels


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of a file that imports another beside it, and the record of that."""
    base = tmp_path_factory.mktemp("made")
    here = base / "here"
    here.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv(trust.FOLDER, str(base / "state"))
        Path("net.py").write_text(NET)
        Path("layers.py").write_text(LAYERS)
        done = run("export", "net.py", "--format", "onnx", "--out", "exports")
    assert done.returncode == 0, done.stderr
    return here


@pytest.fixture
def exported(made, tmp_path, monkeypatch):
    """That bundle; and a node: elsewhere, with no record, and a cache of its own."""
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.setenv(trust.FOLDER, str(made.parent / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield made / "exports/net", node
    (made / "layers.py").write_text(LAYERS)


def arrive(parcel, node, objects, monkeypatch):
    """Unpacks on the node, where the folder of the driver is not."""
    monkeypatch.chdir(node)
    monkeypatch.setenv(trust.FOLDER, str(node / "state"))
    return unpack(parcel, node, objects.__getitem__)


def keep(objects):
    def put(value):
        objects.append(value)
        return len(objects) - 1

    return put


def test_code_travels_with_what_this_user_exported(exported, monkeypatch):
    bundle, node = exported
    objects = []
    parcel = pack(bundle, keep(objects))
    (bundle.parents[1] / "layers.py").unlink()  # the node has another, or none
    there = arrive(parcel, node, objects, monkeypatch)
    model = rebuild(Bundle.open(there))
    assert model.module.rnn.hidden_size == 4
    assert Bundle.open(there).name == "net"


def test_code_that_has_changed_or_that_nobody_exported_does_not_travel(exported, monkeypatch):
    bundle, node = exported
    (bundle.parents[1] / "layers.py").write_text("hidden = 5\n")
    objects = []
    parcel = pack(bundle, keep(objects))
    assert parcel.code is None
    there = arrive(parcel, node, objects, monkeypatch)
    with pytest.raises(RnnbenchError, match="is not run: it was not exported from there by you"):
        rebuild(Bundle.open(there))


def test_a_node_gets_each_content_once_and_believes_nothing_that_was_changed(exported, monkeypatch):
    bundle, node = exported
    (bundle.parents[1] / "layers.py").write_text("hidden = 5\n")  # of the bundle alone
    objects, asked = [], []

    class Asked(list):
        def __getitem__(self, n):
            asked.append(n)
            return super().__getitem__(n)

    parcel = pack(bundle, keep(objects))
    there = arrive(parcel, node, Asked(objects), monkeypatch)
    assert arrive(parcel, node, Asked(objects), monkeypatch) == there
    assert len(asked) == 1
    (there / "model.onnx").write_bytes(b"another")
    arrive(parcel, node, Asked(objects), monkeypatch)
    assert len(asked) == 2
    assert (there / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()

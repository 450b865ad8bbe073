"""What a module's code does to the process or to itself is put back, also after a refusal."""

import functools
import os
import random

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.core.errors import RnnbenchError
from rnnbench.models.as_it_was import left_as_it_was, process_as_it_was
from rnnbench.models.calls import call, call_float64, undisturbed

X = TensorSpec("x", ("batch", "time", 3))


def set_of_backend(precision):
    torch.backends.cuda.matmul.fp32_precision = precision


DONE = {
    "dtype": lambda module: torch.set_default_dtype(torch.float64),
    "device": lambda module: torch.set_default_device("meta"),
    "gradients off": lambda module: torch._C._set_grad_enabled(False),
    "threads": lambda module: torch.set_num_threads(3),
    "precision": lambda module: torch.set_float32_matmul_precision("medium"),
    "a backend's precision": lambda module: set_of_backend("tf32"),
    "deterministic": lambda module: torch.use_deterministic_algorithms(True),
    "deterministic, warned": lambda module: torch.use_deterministic_algorithms(
        True, warn_only=True
    ),
    "folder": lambda module: os.chdir("/"),
    "environment": lambda module: os.environ.update(RNNBENCH_OF_A_MODULE="1", HOME="/"),
    "less environment": lambda module: os.environ.pop("PATH"),
    "torch's numbers": lambda module: torch.manual_seed(7),
    "Python's numbers": lambda module: random.seed(7),
    "NumPy's numbers": lambda module: np.random.seed(7),
    "weights": lambda module: module.gru.weight_ih_l0.data.mul_(1.5),
    "a buffer": lambda module: module.scale.add_(1),
    "training mode": lambda module: module.train(),
    "evaluation mode": lambda module: module.gru.eval(),
}


class Does(nn.Module):
    """It does something, and raises then, if it is to be refused."""

    def __init__(self, what=None, refused=False):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.register_buffer("scale", torch.ones(1))
        self.what, self.refused = what, refused
        self.eval()
        self.gru.train()

    def forward(self, x):
        if self.what is not None:
            DONE[self.what](self)
        if self.refused:
            raise ValueError("of itself")
        return self.gru(x)[0]


def precision():
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set for one backend
        return None


def state(module):
    numbers = np.random.get_state()
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "precision": precision(),
        "backends": [
            torch.backends.cuda.matmul.fp32_precision,
            torch.backends.mkldnn.matmul.fp32_precision,
        ],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "only warned": torch.is_deterministic_algorithms_warn_only_enabled(),
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": (numbers[0], numbers[1].tolist(), *numbers[2:]),
        "weights": {name: t.tolist() for name, t in module.state_dict().items()},
        "storage": [t.data_ptr() for t in module.parameters()],
        "modes": [part.training for part in module.modules()],
    }


@pytest.mark.parametrize("what", DONE)
@pytest.mark.parametrize("refused", [False, True])
def test_what_a_block_does_is_put_back(what, refused):
    module = Does()
    before = state(module)
    try:
        with left_as_it_was(module), process_as_it_was():
            DONE[what](module)
            if refused:
                raise ValueError("of itself")
    except ValueError:
        assert refused
    after = state(module)
    modes = {"modes"} if "mode" in what else set()  # put back by whoever sets them
    assert {name for name in after if after[name] != before[name]} == modes


def test_each_use_of_a_module_leaves_the_process_as_it_was():
    before = state(Does())
    with process_as_it_was():
        for what in ("dtype", "device", "gradients off", "threads", "folder", "environment"):
            DONE[what](None)
    after = state(Does())
    assert all(after[name] == before[name] for name in ("dtype", "device", "gradients", "folder"))
    assert after["environment"] == before["environment"]


@pytest.mark.parametrize("what", DONE)
def test_settings_of_the_caller_stay(what):
    """Also those that torch's own older functions cannot tell, and to warn alone."""
    set_of_backend("tf32")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = state(Does())
        assert before["precision"] is None
        module = Does()
        with left_as_it_was(module), process_as_it_was():
            DONE[what](module)
        after = state(module)
        names = ("backends", "deterministic", "only warned", "dtype", "gradients", "folder")
        assert {n: after[n] for n in names} == {n: before[n] for n in names}
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
        set_of_backend("none")


def test_an_export_with_the_precision_of_a_backend(tmp_path):
    set_of_backend("tf32")
    try:
        model = Model(Does(), (X,), ("y",), name="does")
        bundle = rnnbench.export(model, ("torchscript",), tmp_path)
        assert rnnbench.check(bundle, ["torchscript"], isolate=False, model=model).ok
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        set_of_backend("none")


@pytest.fixture(scope="module")
def _libraries(tmp_path_factory):
    """What a first export imports sets variables of its own."""
    model = Model(Does(), (X,), ("y",), name="first")
    rnnbench.export(model, ("onnx",), tmp_path_factory.mktemp("first"))


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize("what", DONE)
def test_a_refused_export_leaves_all_as_it_was(what, tmp_path):
    torch.manual_seed(0)
    module = Does(what, refused=True)
    before = state(module)
    with pytest.raises(RnnbenchError):
        rnnbench.export(Model(module, (X,), ("y",)), ("onnx",), tmp_path)
    after = state(module)
    assert {name for name in after if after[name] != before[name]} == set()
    assert not any(tmp_path.iterdir())


HARMLESS = (
    *("gradients off", "threads", "precision", "folder", "environment", "a backend's precision"),
    "deterministic, warned",
    *("Python's numbers", "NumPy's numbers", "evaluation mode"),
)


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize("what", HARMLESS)
def test_an_export_leaves_all_as_it_was(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = Does(what)
    before = state(module)
    bundle = rnnbench.export(Model(module, (X,), ("y",), name="does"), ("onnx",), "out")
    after = state(module)
    assert {name for name in after if after[name] != before[name]} == set()
    assert bundle.artifacts["onnx"].path.is_file()
    assert (tmp_path / "out" / "does").is_dir()


class Enables(nn.Module):
    """As a model with a gradient penalty, or one that somebody has trained in its forward."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x):
        torch.set_grad_enabled(True)
        x = self.gru(x)[0]
        h = x.new_zeros(x.size(0), 4)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return h


@pytest.mark.parametrize("formats", [("onnx", "torchscript", "pt2")])
def test_a_forward_that_enables_gradients_is_exported(formats, tmp_path):
    torch.manual_seed(0)
    bundle = rnnbench.export(Model(Enables(), (X,), ("y",), name="enables"), formats, tmp_path)
    assert [*bundle.artifacts] == [*formats]
    assert bundle.manifest["failed"] == {}
    assert rnnbench.check(bundle).ok
    assert torch.is_grad_enabled()


@functools.lru_cache
def window(size):
    """A table that is as wide as numbers are when it is first asked for."""
    return torch.linspace(0.5, 1, size)


def shares(size):
    if not hasattr(shares, "held") or len(shares.held) < size:
        shares.held = torch.linspace(1, 2, size)
    return shares.held[:size]


class Windowed(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x * window(3) * shares(3))[0]


@pytest.mark.parametrize("used_before", [False, True])
def test_what_functions_keep_is_not_of_another_precision_afterwards(tmp_path, used_before):
    """The float64 reference fills the caches of a module's files: it would fail with them after."""
    window.cache_clear()
    vars(shares).clear()
    module = Windowed().eval()
    x = torch.ones(2, 5, 3)
    expected = module(x) if used_before else None
    bundle = rnnbench.export(Model(module, (X,), ("y",), name="windowed"), ("onnx",), tmp_path)
    assert rnnbench.check(bundle, model=Model(module, (X,), ("y",), name="windowed")).ok
    found = module(x)
    assert found.dtype == torch.float32
    assert expected is None or torch.equal(found, expected)
    vars(shares).clear()
    window.cache_clear()
    arrays = {"x": x.numpy()}
    with undisturbed(module, double=True):
        wide = call_float64(module, (X,), ("y",), arrays)["y"]
    assert wide.dtype == np.float64
    assert np.abs(call(module, (X,), ("y",), arrays)["y"] - wide).max() < 1e-6
    assert window(3).dtype == shares(3).dtype == torch.float32

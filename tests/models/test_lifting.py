"""State that a module keeps becomes inputs and outputs: fed back, they give what it gives."""

import json
from collections import deque
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError
from rnnbench import __main__ as cli
from rnnbench.models.calls import weights_digest
from rnnbench.models.lifting import lifted
from tests.zoo import MODELS, XB, stateful

CHUNKS = (4, 1, 7)


@pytest.mark.parametrize(
    "cls", [stateful.KeepsItsHidden, stateful.LeakyNeurons, stateful.StreamingFilters]
)
def test_a_stream_is_the_module_called_chunk_by_chunk(cls, tmp_path):
    model = MODELS[cls.__name__].build()
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / bundle.name / "model.onnx")
    torch.manual_seed(1)
    module = model.module.eval()  # as the user has it
    states = {
        spec.name: np.zeros([2 if d == "batch" else d for d in spec.shape], spec.dtype)
        for spec in bundle.inputs
        if spec.role == "state"
    }
    assert states.keys() == bundle.states.keys()
    for steps in CHUNKS:
        x = torch.randn(2, steps, 3)
        outputs = session.run(None, {"x": x.numpy(), **states})
        by_name = dict(zip(bundle.outputs, outputs, strict=True))
        states = {source: by_name[target] for source, target in bundle.states.items()}
        with torch.no_grad():
            np.testing.assert_allclose(outputs[0], module(x).numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_lifted_and_under_which_names():
    def found(cls):
        model = lifted(MODELS[cls.__name__].build())
        return {spec.name: spec.shape for spec in model.inputs[1:]}

    assert found(stateful.KeepsItsHidden) == {
        "hidden_0": (2, "batch", 4),
        "hidden_1": (2, "batch", 4),
    }
    # What each call adds to is a state, whoever reads it.
    assert found(stateful.LeakyNeurons) == {"mem": ("batch", 4), "count": (4,)}
    assert found(stateful.StreamingFilters) == {
        "states_0": (1, "batch", 4),
        "states_1": (1, "batch", 4),
        "tail": ("batch", 3, 2),
        "filters_2_tail": ("batch", 4, 2),
    }


@pytest.mark.parametrize("cls", [stateful.KeepsItsHidden, stateful.LeakyNeurons])
def test_the_module_stays_as_it_was(cls):
    model = MODELS[cls.__name__].build()
    x = torch.ones(2, 3, 3)
    if cls is stateful.KeepsItsHidden:
        model.module(x)  # mid-stream
    before = {k: v for k, v in vars(model.module).items() if k != "_buffers"}
    buffers = {k: v.clone() for k, v in model.module.named_buffers()}
    digest = weights_digest(model.module)
    result = lifted(model)
    assert result.module is not model.module
    assert {k: v for k, v in vars(model.module).items() if k != "_buffers"} == before
    assert all(torch.equal(v, buffers[k]) for k, v in model.module.named_buffers())
    assert weights_digest(model.module) == weights_digest(result.module) == digest
    assert result.module.state_dict().keys() == model.module.state_dict().keys()


def test_from_the_command_line_and_checked_again(tmp_path, monkeypatch, capsys):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom rnnbench import Model, TensorSpec\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.rnn, self.h = torch.nn.GRU(3, 4, batch_first=True), None\n"
        "    def forward(self, x):\n"
        "        y, self.h = self.rnn(x, self.h)\n"
        "        return y\n"
        "def build():\n"
        "    return Model(Net(), (TensorSpec('x', ('batch', 'time', 3)),), ('y',))\n"
    )
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        return ended.value.code, *capsys.readouterr()

    code, _, err = run("export", "net.py", "--format", "onnx")
    assert code == 2
    line = err.splitlines()[-1]
    assert "keeps its state in self.h" in line
    assert "--lift-state" in line
    code, _, err = run("export", "net.py", "--format", "onnx", "--lift-state")
    assert code == 0, err
    manifest = json.loads((tmp_path / "exports/Net/manifest.json").read_text())
    assert manifest["states"] == {"h": "h_next"}
    assert manifest["source"]["lift_state"] is True
    report = json.loads(run("check", "exports/Net", "--json")[1])
    assert report["ok"], report
    assert {row["runtime"] for row in report["rows"]} >= {"eager", "onnxruntime"}


class _Cell(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.h, self.calls = nn.GRU(3, 4, batch_first=True), None, 0


class Counts(_Cell):
    def forward(self, x):
        self.calls += 1
        y, self.h = self.rnn(x, self.h)
        return y * self.calls


class CountsToEight(_Cell):
    def forward(self, x):
        self.calls += 1
        y, self.h = self.rnn(x, self.h)
        return y if self.calls <= 8 else y * 0.5


class KeepsInAnObject(_Cell):
    def __init__(self):
        super().__init__()
        self.memory = SimpleNamespace(h=None)

    def forward(self, x):
        before = 0.0 if self.memory.h is None else self.memory.h
        self.h = self.memory.h = x.mean() + before
        return self.rnn(x)[0] + before


class Grows(_Cell):
    def forward(self, x):
        self.h = x if self.h is None else torch.cat([self.h, x], 1)
        return self.rnn(self.h)[0][:, -1]


class FromTheInput(_Cell):
    def forward(self, x):
        h = x[:, :1].mean(-1, keepdim=True).expand(-1, -1, 4).transpose(0, 1).contiguous()
        y, self.h = self.rnn(x, h if self.h is None else self.h)
        return y


class TheLastChunk(_Cell):
    def forward(self, x):
        before = 0.0 if self.h is None else self.h.sum()
        self.h = x
        return self.rnn(x)[0] + before


class MidStream(_Cell):
    """It has the state of a batch of 3, and no shape that tells."""

    def __init__(self):
        super().__init__()
        self.mem = torch.full((3, 1, 4), 0.5)

    def forward(self, x):
        h = self.mem if len(self.mem) == len(x) else self.mem[:1].expand(len(x), -1, -1)
        y, h = self.rnn(x, h.transpose(0, 1).contiguous())
        self.mem = h.transpose(0, 1)
        return y


class CutsToTheBatch(_Cell):
    """Its state is cut, or grown, from the batch size of the call before."""

    def __init__(self):
        super().__init__()
        self.batch, self.mem = 1, torch.zeros(1, 1, 4)

    def forward(self, x):
        more = len(x) - self.batch
        if more > 0:
            self.mem = torch.cat([self.mem, self.mem.new_zeros(1, more, 4)], 1)
        elif more < 0:
            self.mem = self.mem[:, : len(x)].contiguous()
        self.batch = len(x)
        y, self.mem = self.rnn(x, self.mem)
        return y


class KeepsNone(_Cell):
    def forward(self, x):
        return self.rnn(x)[0]


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (Counts, "self.calls is a number that calls count, and is read: make it a tensor"),
        (CountsToEight, "self.calls is a number that calls count, and is read"),
        (KeepsInAnObject, "it keeps something in an object of its own"),
        (
            MidStream,
            "the first call does not begin with zeros in self.mem: give them a first",
        ),
        (Grows, "self.h has another shape after each call: fix its size"),
        (FromTheInput, "the first call does not begin with zeros in self.h"),
        (TheLastChunk, "self.h is [3, 5, 3] after a call with batch=3, time=5: a state has fixed"),
        (CutsToTheBatch, "since the module keeps more than tensors in its attributes"),
        (KeepsNone, "it keeps no tensor from one call to the next: leave lift_state out"),
    ],
)
def test_what_cannot_be_lifted_is_refused_in_one_line(cls, text):
    module = cls()
    with pytest.raises(RnnbenchError) as error:
        lifted(Model(module, (XB,), ("y",), lift_state=True))
    assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert module.h is None
    assert module.calls == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_a_scripted_module_is_refused():
    scripted = torch.jit.script(nn.GRU(3, 4))
    with pytest.raises(RnnbenchError, match="lift the eager module"):
        lifted(Model(scripted, (XB,), ("y", "h"), lift_state=True))


class OnlyLooksAt(_Cell):
    """Each call sets what no call reads."""

    def forward(self, x):
        y, self.h = self.rnn(x)
        return y


def test_what_is_only_looked_at_is_left_out(tmp_path):
    model = Model(OnlyLooksAt(), (XB,), ("y",), lift_state=True)
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    assert bundle.states == {}
    assert rnnbench.check(bundle).ok


class Hangover(_Cell):
    """Whole numbers, which ordinary inputs set anew, and which only silence reads."""

    def __init__(self):
        super().__init__()
        self.register_buffer("left", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        loud = x.abs().amax() > 0.5
        self.left = torch.where(loud, torch.full_like(self.left, 3), (self.left - 1).clamp(min=0))
        return x * (self.left > 0)


class Started(_Cell):
    """A flag says that the state is there; a queue has the last two of them."""

    def __init__(self):
        super().__init__()
        self.started, self.queue = False, deque(maxlen=2)

    def forward(self, x):
        if not self.started:
            self.started, self.h = True, x.new_zeros(1, x.size(0), 4)
            self.queue.extend([self.h, self.h])
        y, self.h = self.rnn(x, self.queue[0])
        self.queue.append(self.h)
        return y


@pytest.mark.parametrize("cls", [Hangover, Started])
def test_states_that_are_seldom_read(cls):
    module = cls().eval()
    model = lifted(Model(module, (XB,), ("y",), lift_state=True))
    states = [
        torch.zeros(spec.resolve({"batch": 2}), dtype=getattr(torch, spec.dtype))
        for spec in model.inputs[1:]
    ]
    assert states
    for scale in (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        x = scale * torch.randn(2, 3, 3)
        y, *states = model.module(x, *states)
        torch.testing.assert_close(y, module(x))

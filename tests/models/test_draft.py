"""`rnnbench init`: a draft that can be exported at once, or says what to fill in."""

import importlib.util
import subprocess
import sys

import pytest

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.core.errors import RnnbenchError
from rnnbench.models import sources
from rnnbench.models.declaration.draft import draft, write

NETS = """
import torch
from torch import nn

class Tagger(nn.Module):
    def __init__(self, hidden=6):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.rnn = nn.GRU(8, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, tokens, h0=None):
        y, h = self.rnn(self.embedding(tokens), h0)
        return self.head(y), h

class Stepper(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(5, 7)

    def forward(self, x, h0, c0):
        h, c, steps = h0, c0, []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            steps.append(h)
        return torch.stack(steps, 1), h, c

class Ragged(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 5, 2, bidirectional=True)

    def forward(self, x, lengths, hx=None):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed, hx)[0])[0]

class Spotter(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(12, 8, 3, padding=1)
        self.rnn = nn.RNN(8, 5, batch_first=True)

    def forward(self, mels, scale=1.0):
        y, h = self.rnn(self.conv(mels).transpose(1, 2))
        return {"scores": y * scale, "last": h}

class EncoderDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.GRU(4, 5), nn.GRU(4, 5)

    def forward(self, source, target, weights):
        y, _ = self.decoder(target * weights, self.encoder(source)[1])
        return y

class Zipped(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 3)

    def forward(self, x, gates):
        h, steps = torch.zeros_like(x[0]), []
        for step, gate in zip(x, gates):
            h = self.cell(step * gate, h)
            steps.append(h)
        return torch.stack(steps)

class Sized(nn.Module):
    def __init__(self, input_size, *, hidden_size):
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden_size)

    def forward(self, x, state):
        return self.rnn(x, state)

class Riddle(nn.Module):
    def __init__(self, input_size, secret):
        super().__init__()
        if secret != "sesame":
            raise ValueError("the secret is wrong")
        self.rnn = nn.GRU(input_size, 4)

    def forward(self, x):
        return self.rnn(x)

class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        raise ValueError("no weights\\nat all")

    def forward(self, x):
        return x

class Backbone(nn.Module):
    pass

class Tabular(nn.Linear):
    def parameters(self, family=None):
        return {"weights": self.weight}

VERSION = 3
"""

SHAPES = {
    "Tagger": ({"tokens": ("batch", "time"), "h0": (1, "batch", 6)}, ("y", "hn")),
    "Stepper": (
        {"x": ("batch", "time", 5), "h0": ("batch", 7), "c0": ("batch", 7)},
        ("y", "hn", "cn"),
    ),
    "Ragged": ({"x": ("time", "batch", 4), "lengths": ("batch",)}, ("y",)),
    "Spotter": ({"mels": ("batch", 12, "time")}, ("scores", "last")),
    "EncoderDecoder": (
        {
            "source": ("time", "batch", 4),
            "target": ("target_time", "batch", 4),
            "weights": ("target_time", "batch", 4),
        },
        ("y",),
    ),
    "Zipped": ({"x": ("time", "batch", 3), "gates": ("time", "batch", 3)}, ("y",)),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drafted_nets.py").write_text(NETS)
    yield tmp_path
    sys.modules.pop("drafted_nets", None)


@pytest.mark.parametrize("name", SHAPES)
def test_a_draft_is_exported_as_it_is(folder, name):
    drafted = draft(f"drafted_nets:{name}", folder)
    assert drafted.complete
    path = write(drafted, folder / "my_model.py")
    model = sources.load(str(path))
    shapes, outputs = SHAPES[name]
    assert {spec.name: spec.shape for spec in model.inputs} == shapes
    assert model.outputs == outputs
    assert set(model.states) == {n for n in shapes if n in ("h0", "c0")}
    bundle = rnnbench.export(model, ("pt2",), folder / "exports")
    rows = rnnbench.check(bundle, ["pt2"]).rows
    assert {(row.verdict, row.reason) for row in rows} == {("same", "")}


def test_lengths_of_their_own_are_said(folder):
    drafted = draft("drafted_nets:EncoderDecoder", folder)
    assert "# Give time and target_time one name where they always agree.\n" in drafted.text
    assert drafted.notes == (
        "it ran with unequal time and target_time: give them one name where they agree",
    )
    assert "one name" not in draft("drafted_nets:Zipped", folder).text


def test_integers_and_lengths_are_known_by_their_names(folder):
    tokens, _ = sources.load(str(write(draft("drafted_nets:Tagger"), folder / "a.py"))).inputs
    assert (tokens.dtype, tokens.high) == ("int64", 20)
    drafted = draft("drafted_nets:Ragged")
    _, lengths = sources.load(str(write(drafted, folder / "b.py"))).inputs
    assert (lengths.dtype, lengths.role) == ("int64", "lengths")
    assert drafted.notes == ("these arguments of forward keep their defaults: hx",)


def test_what_is_not_known_is_marked(folder):
    drafted = draft("drafted_nets:Riddle")
    assert not drafted.complete
    assert "input_size=...,  # FILL IN" in drafted.text
    assert "secret=...,  # FILL IN" in drafted.text
    assert drafted.notes[:2] == (
        "fill in input_size, secret: the constructor has no defaults for them (--arg)",
        "fill in the constructor's arguments: Riddle() raises ValueError: the secret is wrong",
    )
    compile(drafted.text, "my_model.py", "exec")
    broken = draft("drafted_nets:Broken")
    assert "# FILL IN the arguments" in broken.text
    assert "Broken() raises ValueError: no weights" in broken.notes[0]


@pytest.mark.skipif(not importlib.util.find_spec("ruff"), reason="ruff is not installed")
def test_ruff_has_nothing_to_say(folder):
    for name in (*SHAPES, "Sized", "Riddle", "Broken"):
        write(draft(f"drafted_nets:{name}", folder), folder / f"{name.lower()}.py")
    (folder / "drafted_nets.py").rename(folder / "elsewhere.txt")
    for command in (["check", "--select", "E,F,W,UP,B,D4", "--isolated"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("drafted_nets", "names no class: give package.module:Class"),
        ("drafted nets:Tagger", "names no class"),
        ("no_such_module:Net", "module 'no_such_module' cannot be imported"),
        ("drafted_nets:Nope", "drafted_nets has no 'Nope': choose from Tagger, Stepper"),
        ("drafted_nets:VERSION", "has a int, not a module class, 'VERSION': choose from"),
        ("drafted_nets:Backbone", "has no forward method"),
        ("drafted_nets:Tabular", r"has a method parameters\(\) of its own, .* that holds it"),
    ],
)
def test_bad_input_is_one_line(folder, spec, message):
    with pytest.raises(RnnbenchError, match=message) as caught:
        draft(spec, folder)
    assert "\n" not in str(caught.value)


def test_a_file_is_not_named_as_the_package(folder, capsys):
    assert cli._run(["init", str(folder / "torch.py"), "--from", "torch.nn:GRU"]) == 2
    assert "in the place of torch" in capsys.readouterr().err


def test_on_the_command_line(folder, capsys):
    def run(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        return caught.value.code, *capsys.readouterr()

    code, out, err = run("init", "my_model.py", "--from", "drafted_nets:Sized")
    assert code == 0
    assert out == "my_model.py: look it over, then: rnnbench export my_model.py\n"
    assert err == (
        "chosen, as the constructor has no defaults: input_size=8, hidden_size=16 "
        "(--arg gives others)\n"
    )
    code, out, err = run("init", "my_model.py", "--from", "drafted_nets:Tagger")
    assert (code, out) == (2, "")
    assert err == "error: my_model.py exists: choose another name, or --force\n"
    assert "Sized" in (folder / "my_model.py").read_text()
    assert run("init", "my_model.py", "--force", "--from", "drafted_nets:Tagger")[0] == 0
    assert "Tagger" in (folder / "my_model.py").read_text()
    assert run("init", "a.txt", "--from", "drafted_nets:Tagger")[0] == 2
    assert run("init", "no/folder/a.py", "--from", "drafted_nets:Tagger")[0] == 2

"""`export --explain`: the line, the submodule, the reason, and a remedy that fits."""

import inspect

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.capture.explain import explain, find_obstacle
from rnnbench.core.errors import RnnbenchError
from rnnbench.models import sources

X = TensorSpec("x", ("batch", "time", 3))


class Stops(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 4)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            if h.max() > 0.9:  # here
                break
        return h


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.register_buffer("h", torch.zeros(1, 4))

    def forward(self, x):
        self.h.copy_(self.cell(x[:1, 0], self.h))  # here
        return self.h + x[:, 0, :1]


class Scaled(nn.Module):
    def forward(self, x):
        return x * float(x[0, 0, 0])  # here


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.rnn = nn.GRU(3, 3, batch_first=True)
        self.scale = inner

    def forward(self, x):
        return self.scale(self.rnn(x)[0])


class Wrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(7, 2)

    def forward(self, x):
        return self.linear(x)  # here


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.numpy().cumsum(0))  # here


class Uneven(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        steps = [x.new_zeros(x.size(0), 4)]
        for t in range(x.size(1)):
            h = torch.stack(steps).amax(0)  # here
            steps.append(self.cell(x[:, t], h))
        return torch.stack(steps, 1)


def here(cls):
    lines, first = inspect.getsourcelines(cls)
    return next(first + i for i, line in enumerate(lines) if line.endswith("# here\n"))


@pytest.mark.parametrize(
    ("module", "guilty", "submodule", "remedy"),
    [
        (Stops, Stops, "(the model itself): Stops", "run every step"),
        (Keeps, Keeps, "(the model itself): Keeps", "take the state as an argument"),
        (lambda: Outer(Scaled()), Scaled, "scale: Scaled", "keep the value a tensor"),
        (lambda: Outer(Wrong()), Wrong, "scale.linear: Linear", "make the declared shape"),
        (lambda: Outer(Numpy()), Numpy, "scale: Numpy", "in place of numpy"),
        (Uneven, Uneven, "(the model itself): Uneven", "let every step do the same"),
    ],
)
def test_the_obstacle_is_named(tmp_path, module, guilty, submodule, remedy):
    model = Model(module(), (X,), ("y",))
    with pytest.raises(RnnbenchError) as caught:
        rnnbench.export(model, ("pt2",), tmp_path)
    found = find_obstacle(caught.value, model)
    assert (found.file, found.line) == (__file__, here(guilty))
    assert found.code.endswith("# here")
    assert found.submodule == submodule
    assert remedy in found.remedy
    text = explain(caught.value, model)
    assert f"{__file__}:{found.line}" in text
    assert 4 <= len(text.splitlines()) <= 6


def test_without_the_model_what_can_be_said_is_said():
    text = explain(RnnbenchError("model 'M': dimension 'time' at 5 became a constant: do this"))
    assert text.splitlines()[0] == "model 'M' cannot be exported"
    assert "take sizes from the input" in text


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom rnnbench import Model, TensorSpec\n\n"
        "class Net(torch.nn.Module):\n    def forward(self, x):\n        return x.numpy()\n\n"
        'def build():\n    return Model(Net(), (TensorSpec("x", ("batch", 3)),), ("y",))\n'
    )
    with pytest.raises(SystemExit) as caught:
        cli.main(["export", "mine.py", "--explain"])
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert "  change  use torch's own operations" in err or "return tensors" in err
    assert err.splitlines()[-1].startswith("error: model 'Net'")
    with pytest.raises(SystemExit):
        cli.main(["export", "mine.py"])
    assert "  change" not in capsys.readouterr().err


def test_a_folder_may_be_called_torch(tmp_path, monkeypatch):
    """The line, its code and its remedy are the same wherever an equal model lies."""
    source = (
        "import torch\nfrom rnnbench import Model, TensorSpec\n\n"
        "class Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.from_numpy(x.numpy().cumsum(0))\n\n"
        'def build():\n    return Model(Net(), (TensorSpec("x", ("batch", 3)),), ("y",))\n'
    )
    texts = []
    for folder in (tmp_path / "mine", tmp_path / "torch", tmp_path / "rnnbench" / "capture"):
        folder.mkdir(parents=True)
        (folder / "net.py").write_text(source)
        model = sources.load(f"{folder}/net.py")
        with pytest.raises(RnnbenchError) as caught:
            rnnbench.export(model, ("pt2",), tmp_path)
        found = find_obstacle(caught.value, model)
        assert (found.file, found.line) == (str(folder / "net.py"), 6)
        assert found.code == "return torch.from_numpy(x.numpy().cumsum(0))"
        texts.append(explain(caught.value, model).replace(str(folder), ""))
    assert texts[0] == texts[1] == texts[2]

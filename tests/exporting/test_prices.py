"""What rounding costs in the task's own terms: by the model's `evaluate`, and of built-in tasks."""

import json

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.__main__ import main
from rnnbench.core.bundle import Bundle
from rnnbench.exporting.prices import format_prices
from rnnbench.exporting.rounding import cost_in_words
from rnnbench.models.training.train import train

SOURCE = """
import torch
from torch import nn
from rnnbench import Model, TensorSpec

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(8, 48, batch_first=True)
        self.out = nn.Linear(48, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0])

def evaluate(module):
    x = torch.linspace(-1, 1, 160).reshape(1, 20, 8)
    return {"MAE, degC": 5 + module(x).abs().mean(), "steps": 20}

def build():
    return Model(Net(), (TensorSpec("x", ("batch", "time", 8)),), ("y",), evaluate=evaluate)
"""


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.out = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.out(self.drop(x))


def model(evaluate, module=None):
    x = TensorSpec("x", ("batch", 4))
    return Model(module or Net(), (x,), ("y",), name="Net", evaluate=evaluate)


def test_evaluate_is_called_with_the_module_before_and_after(tmp_path):
    seen = []

    def evaluate(module):
        seen.append((module, module.training, torch.is_grad_enabled(), module.out.weight.clone()))
        return {"sum": module.out.weight.sum()}

    given = model(evaluate)
    before = given.module.out.weight.detach().clone()
    bundle = rnnbench.export(given, ("onnx",), tmp_path, precision="int8-weights")
    assert [entry[:3] for entry in seen] == [(given.module, False, False)] * 2
    assert torch.equal(seen[0][3], before)
    assert not torch.equal(seen[1][3], before)
    assert torch.equal(given.module.out.weight, before)
    assert given.module.training
    assert bundle.manifest["precision"]["errors"] == {
        "before": {"sum": seen[0][3].sum().item()},
        "after": {"sum": seen[1][3].sum().item()},
    }


def test_it_is_not_called_where_nothing_is_rounded(tmp_path):
    def evaluate(module):
        raise AssertionError("it was called")

    rnnbench.export(model(evaluate), ("onnx",), tmp_path)


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        (lambda: {}, "failed .TypeError: .* it is called with the module alone"),
        (lambda module: module.nothing, "failed .AttributeError: "),
        (lambda module: 1.0, "gave 1.0: return a number for each name"),
        (lambda module: {"a": "b"}, "gave {'a': 'b'}: return a number for each name"),
    ],
)
def test_what_evaluate_gets_wrong_is_said_in_one_line(evaluate, said, tmp_path):
    with pytest.raises(RnnbenchError, match=said) as caught:
        rnnbench.export(model(evaluate), ("onnx",), tmp_path, precision="float16")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_not_finite_is_said(tmp_path):
    bundle = rnnbench.export(
        model(lambda module: {"e": float("nan")}), ("onnx",), tmp_path, precision="float16"
    )
    assert bundle.manifest["precision"]["errors"]["after"] == {"e": None}
    assert "; e: not finite -> not finite;" in cost_in_words(bundle.manifest["precision"])
    assert Bundle.open(bundle.path).manifest == bundle.manifest


def test_a_module_that_keeps_a_state_is_evaluated_as_it_was_written(tmp_path):
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cell = nn.GRUCell(4, 3)
            self.h = None

        def forward(self, x):
            self.h = self.cell(x, self.h)
            return self.h

    seen = []

    def evaluate(module):
        module.h = None
        seen.append(module)
        return {"e": module(torch.ones(2, 4)).sum()}

    given = Model(
        Keeps(), (TensorSpec("x", ("batch", 4)),), ("y",), lift_state=True, evaluate=evaluate
    )
    said = rnnbench.export(given, ("onnx",), tmp_path, precision="int8-weights").manifest
    assert seen == [given.module] * 2
    errors = said["precision"]["errors"]
    assert errors["before"]["e"] == pytest.approx(errors["after"]["e"], rel=0.05)
    assert errors["before"] != errors["after"]


@pytest.mark.parametrize("task", ["hello", "weather"])
def test_a_built_in_task_is_judged_by_the_errors_that_train_says(task, tmp_path):
    trained = train("gru", task, hidden=8, epochs=1)
    bundle = rnnbench.export(trained.model, ("onnx",), tmp_path, precision="float16")
    before = bundle.manifest["precision"]["errors"]["before"]
    metrics = trained.metrics
    unit = metrics.get("unit")
    wanted = (
        {f"mae, {unit}": metrics["mae"], f"rmse, {unit}": metrics["rmse"]}
        if unit
        else {"loss, nats": metrics["loss"], "accuracy": metrics["accuracy"]}
    )
    assert before == pytest.approx(wanted, rel=1e-4)


def test_several_precisions_stand_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE, "utf-8")
    words = ["--format", "onnx", "--precision", "bfloat16,int8-weights"]
    with pytest.raises(SystemExit) as ended:
        main(["export", "net.py", *words])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    names = ("Net", "Net-bfloat16", "Net-int8-weights")
    bundles = [Bundle.open(tmp_path / "exports" / name) for name in names]
    table = format_prices(bundles)
    assert printed.endswith(f"\n{table}\n")
    lines = [line.split() for line in table.splitlines()]
    sizes = [bundle.artifacts["onnx"].path.stat().st_size for bundle in bundles]
    for name, size, line in zip(
        ("float32", "bfloat16", "int8-weights"), sizes, lines[3:], strict=False
    ):
        assert line[:3] == [name, f"{size:,}", f"{size / sizes[0]:.3f}"]
    assert sizes[0] > sizes[1] > sizes[2]
    last = (
        f"Smallest within 1% of every error: int8-weights, {sizes[2] / sizes[0]:.3f} of the bytes."
    )
    assert table.splitlines()[-1] == last


def test_what_costs_too_much_is_not_recommended(tmp_path):
    calls = iter([1.0, 1.005, 1.0, 1.5])
    given = model(lambda module: {"e": next(calls)})
    bundles = [rnnbench.export(given, ("onnx",), tmp_path)]
    for precision in ("float16", "int8-weights"):
        named = Model(
            given.module, given.inputs, given.outputs, name=precision, evaluate=given.evaluate
        )
        bundles.append(rnnbench.export(named, ("onnx",), tmp_path, precision=precision))
    last = format_prices(bundles).splitlines()[-1]
    assert last.startswith("Smallest within 1% of every error: float16, ")
    path = bundles[1].path / "manifest.json"
    said = json.loads(path.read_text("utf-8"))
    del said["precision"]["errors"]
    path.write_text(json.dumps(said), "utf-8")
    table = format_prices([bundles[0], Bundle.open(bundles[1].path)])
    assert table.splitlines()[-1].startswith("float16")  # without `evaluate`, nothing is said

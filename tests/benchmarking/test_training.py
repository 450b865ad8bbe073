"""Forward and backward: what is timed trains, and stands apart from what is shipped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rnnbench import __main__ as cli
from rnnbench.benchmarking.measuring.judging import WrongOutput, assert_gradients
from rnnbench.benchmarking.plan import Plan, items
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.report import format_report, make_report
from rnnbench.benchmarking.report.values import to_csv
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import TensorSpec
from rnnbench.runtimes.adapters import eager
from rnnbench.runtimes.timed import Source
from rnnbench.runtimes.training import TRAINING, exact_gradients, loss_of, loss_weights

SPECS = (TensorSpec("x", ("batch", "time", 3)),)


class Net(nn.Module):
    """Two layers with a dropout between them, and one behind."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(3, 5, 2, dropout=0.5, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        y, h = self.rnn(x)
        return self.out(self.drop(y)), h


def subject_of(module):
    source = Source(SPECS, ("y", "h"), module)
    arrays = {"x": np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)}
    return eager.prepare(source, arrays, "cpu", 1, TRAINING), source, arrays


def test_gradients_are_those_of_pytorch_and_the_module_stays_as_it_was():
    module = Net().eval()
    subject, source, arrays = subject_of(module)
    outputs = subject.read(subject.run())
    subject.run()  # of which nothing is added
    plain = Net().eval()
    returned = plain(torch.from_numpy(arrays["x"]))
    loss_of(returned, loss_weights(returned)).backward()
    gradients = subject.gradients()
    assert gradients.keys() == dict(plain.named_parameters()).keys()
    for name, parameter in plain.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad, rtol=1e-5, atol=1e-6)
    for name, tensor in zip(("y", "h"), returned, strict=True):
        np.testing.assert_allclose(outputs[name], tensor.detach(), rtol=1e-5, atol=1e-6)
    assert not module.training
    assert module.rnn.dropout == 0.5
    assert all(p.grad is None for p in module.parameters())
    assert_gradients(gradients, exact_gradients(source, arrays))


def test_a_gradient_that_is_off_is_no_measurement():
    subject, source, arrays = subject_of(Net())
    subject.run()
    exact = exact_gradients(source, arrays)
    wrong = {n: np.where(g == g.max(), g * 1.01, g) for n, g in subject.gradients().items()}
    with pytest.raises(WrongOutput, match=r"the gradient of rnn.weight_ih_l0 is off by"):
        assert_gradients(wrong, exact)
    wrong.pop("out.bias")
    with pytest.raises(WrongOutput, match="gradients of"):
        assert_gradients(wrong, exact)


def test_what_cannot_be_trained_is_one_line():
    fixed = nn.ReLU()
    with pytest.raises(RnnbenchError, match="no parameter to train: bench it without --training"):
        eager.prepare(Source(SPECS, ("y",), fixed), {}, "cpu", 1, TRAINING)
    with pytest.raises(RnnbenchError, match=r"runtime that trains 'onnxruntime'.*eager, compile"):
        check_plan(Plan(runtimes=("onnxruntime",), training=True))


def test_a_plan_has_forward_and_backward_alone_or_not_at_all():
    plan = Plan(("lstm",), time=(8,), hidden=(16,), quick=True, training=True)
    assert [(i.kind, i.what, str(i.way)) for i in items(plan)] == [
        ("latency", "", "loop-eager-training"),
        ("latency", "", "fused-eager-training"),
        ("ratio", "loop/fused", "loop-eager-training"),
    ]
    assert {i.way.runtime for i in items(replace(plan, quick=False))} == {"eager", "compile"}
    usual = replace(plan, training=False)
    assert not [i for i in items(usual) if i.way.mode == TRAINING]


def bench(words, folder, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", "elman", *words, "--out", str(folder)])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_bench_training_has_tables_of_its_own(tmp_path, capsys):
    sizes = ["--time", "4", "--hidden", "8", "--quick"]
    bench([*sizes, "--runtime", "eager"], tmp_path, capsys)
    said = bench([*sizes, "--training"], tmp_path, capsys)
    assert "Forward and backward of a call in microseconds" in said
    assert "fused, eager (training)" in said
    assert "x limit" not in said
    report = make_report([tmp_path])
    (machine,) = report.material.machines
    assert {row.mode for row in machine.training} == {TRAINING}
    assert len(machine.training) == 3
    assert not [row for row in (*machine.latencies, *machine.ratios) if row.mode == TRAINING]
    assert "training" not in report.sentences[0]
    assert "Forward and backward: Latency of a call" in format_report(report)
    assert to_csv(report.material).count(TRAINING) >= 3

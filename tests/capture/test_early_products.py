"""Products of a step's own inputs leave a loop that stays one; what would grow does not."""

import onnx
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.capture.operators.scan import SCAN
from rnnbench.capture.pipeline import capture

aten = torch.ops.aten


class Leaky(nn.Module):
    """h = a h + (1 - a) tanh(W x_t + U h), a of x_t alone: no known cell."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.w, self.u, self.a = nn.Linear(3, 5), nn.Linear(5, 5, bias=False), nn.Linear(3, 5)

    def forward(self, x):
        h, seen = x.new_zeros(x.shape[0], 5), []
        for t in range(x.shape[1]):
            keep = torch.sigmoid(self.a(x[:, t]))
            h = keep * h + (1 - keep) * torch.tanh(self.w(x[:, t]) + self.u(h))
            seen.append(h)
        return torch.stack(seen, 1), h


class Halves(Leaky):
    """Gates that are two halves of one product."""

    def __init__(self):
        super().__init__()
        self.both = nn.Linear(3, 10)

    def forward(self, x):
        h, seen = x.new_zeros(x.shape[0], 5), []
        for t in range(x.shape[1]):
            keep, new = self.both(x[:, t]).chunk(2, dim=-1)
            h = torch.sigmoid(keep) * h + torch.sin(new + self.u(h))
            seen.append(h)
        return torch.stack(seen, 1), h


class Attends(nn.Module):
    """In each step every row of a memory is seen anew: [batch, rows, 4] of each step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.query, self.cell = nn.Linear(3, 4), nn.Linear(8, 4)

    def forward(self, x, memory):
        h, seen = x.new_zeros(x.shape[0], 4), []
        for t in range(x.shape[1]):
            scores = torch.tanh(memory + self.query(x[:, t]).unsqueeze(1))  # [batch, rows, 4]
            context = (scores * h.unsqueeze(1)).sum(1)
            h = torch.tanh(self.cell(torch.cat([context, h], -1)))
            seen.append(h)
        return torch.stack(seen, 1)


def model_of(module, *more):
    x = TensorSpec("x", ("batch", "time", 3))
    return Model(module.eval(), (x, *more), ("y", "h") if isinstance(module, Leaky) else ("y",))


def products_of(graph):
    return [n for n in graph.nodes if n.target is aten.linear.default]


def step_of(program):
    (scan,) = program.graph.find_nodes(op="call_function", target=SCAN)
    return getattr(program.graph_module, scan.args[0].target).graph


def test_a_product_of_the_input_is_one_for_all_steps():
    program = capture(model_of(Leaky())).program
    assert len(products_of(program.graph)) == 2
    assert len(products_of(step_of(program))) == 1
    assert not [n for n in step_of(program).nodes if n.target is aten.sigmoid.default]
    assert all(n.meta["val"].dim() == 3 for n in products_of(program.graph))  # [time, batch, 5]


def test_parts_of_a_product_are_parts_for_all_steps():
    program = capture(model_of(Halves())).program
    assert len(products_of(program.graph)) == len(products_of(step_of(program))) == 1


def test_with_keep_loops_a_loop_stays_as_it_is_written():
    program = capture(model_of(Leaky()), keep_loops=True).program
    assert not products_of(program.graph)
    assert len(products_of(step_of(program))) == 3


def test_what_would_be_kept_of_every_step_for_every_row_stays_inside():
    memory = TensorSpec("memory", ("batch", "rows", 4))
    program = capture(model_of(Attends(), memory)).program
    assert not products_of(program.graph)
    assert len(products_of(step_of(program))) == 2


@pytest.mark.parametrize("formats", [("onnx", "torchscript", "pt2")])
def test_it_computes_the_same(tmp_path, formats):
    bundle = rnnbench.export(model_of(Leaky()), formats, tmp_path)
    report = rnnbench.check(bundle, isolate=False)
    assert {row.format for row in report.rows} >= {*formats}
    assert [row for row in report.rows if row.verdict.is_wrong] == []
    graph = onnx.load(bundle.artifacts["onnx"].path).graph
    (scan,) = (n for n in graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    assert sum(n.op_type in ("Gemm", "MatMul") for n in body.node) == 1

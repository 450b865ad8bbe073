"""The step of a Scan in fewer nodes: the same numbers, and no product that is not the model's."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_ir.passes.common import RemoveUnusedNodesPass

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.formats.onnx.steps import lighten_steps

INPUT, HIDDEN = 3, 4


def scan_of(nodes, weights, result, *, reverse=False):
    """A model: a Scan over x [time, batch, 3] with a state h [batch, 4], which `result` becomes.

    It works in float64, so that another order of sums is seen as an error of 1e-15.
    """
    tensor, values = TensorProto.DOUBLE, helper.make_tensor_value_info
    body = helper.make_graph(
        [*nodes, helper.make_node("Tanh", [result], ["h_next"])],
        "step",
        [values("h", tensor, ["batch", HIDDEN]), values("x_t", tensor, ["batch", INPUT])],
        [values("h_next", tensor, ["batch", HIDDEN]), values("y_t", tensor, ["batch", HIDDEN])],
    )
    body.node.append(helper.make_node("Identity", ["h_next"], ["y_t"]))
    directions = {"scan_input_directions": [1], "scan_output_directions": [1]} if reverse else {}
    scan = helper.make_node(
        "Scan", ["h0", "x"], ["hn", "y"], name="scan", body=body, num_scan_inputs=1, **directions
    )
    graph = helper.make_graph(
        [scan],
        "net",
        [
            values("h0", tensor, ["batch", HIDDEN]),
            values("x", tensor, ["time", "batch", INPUT]),
        ],
        [
            values("hn", tensor, ["batch", HIDDEN]),
            values("y", tensor, ["time", "batch", HIDDEN]),
        ],
        [helper.make_tensor(n, tensor, a.shape, a.ravel()) for n, a in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)


def run(model, time=5, batch=2, seed=0):
    draw = np.random.default_rng(seed)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    given = {
        "h0": draw.standard_normal((batch, HIDDEN)),
        "x": draw.standard_normal((time, batch, INPUT)),
    }
    return session.run(None, given)


def lightened(model):
    found = ir.from_proto(model)
    places = lighten_steps(found)
    RemoveUnusedNodesPass()(found)
    made = ir.to_proto(found)
    onnx.checker.check_model(made, full_check=True)
    return places, made


def assert_same(one, other):
    for time, batch in ((5, 2), (1, 1), (3, 4)):
        for a, b in zip(run(one, time, batch), run(other, time, batch), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def body_of(model):
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    return [node.op_type for node in helper.get_node_attr_value(scan, "body").node]


class Nodes:
    """Nodes of a step, with names and weights of their own."""

    def __init__(self, seed):
        self.nodes, self.weights = [], {}
        self._draw = np.random.default_rng(seed)

    def __call__(self, kind, inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        name = f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        self.weights[name] = self._draw.standard_normal(shape)
        return name

    def gemm(self, value, inner, columns=HIDDEN, *, bias=True):
        given = [value, self.weight(columns, inner), *([self.weight(columns)] if bias else [])]
        return self("Gemm", given, transB=1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_step_of_products_and_sums_computes_the_same(data):
    n = Nodes(data.draw(st.integers(0, 99)))
    known = {"h": HIDDEN, "x_t": INPUT}
    wide = ["h"]  # [batch, hidden]
    for _ in range(data.draw(st.integers(1, 7))):
        kind = data.draw(st.sampled_from(["Gemm", "Add", "Mul", "Concat", "gates", "Tanh"]))
        if kind == "Gemm":
            value = data.draw(st.sampled_from(sorted(known)))
            found = n.gemm(value, known[value], bias=data.draw(st.booleans()))
        elif kind == "Concat":
            value = data.draw(st.permutations(["x_t", data.draw(st.sampled_from(wide))]))
            both = n("Concat", value, axis=1)
            found = n.gemm(both, INPUT + HIDDEN, bias=data.draw(st.booleans()))
        elif kind == "gates":
            value = data.draw(st.sampled_from(wide))
            first = n.gemm("x_t", INPUT, 3 * HIDDEN, bias=data.draw(st.booleans()))
            second = n.gemm(value, HIDDEN, 3 * HIDDEN, bias=data.draw(st.booleans()))
            parts = [n("Split", [g], 3, axis=1, num_outputs=3) for g in (first, second)]
            sums = [n("Add", list(pair)) for pair in list(zip(*parts, strict=True))[:2]]
            late = n("Mul", [n("Sigmoid", [sums[0]]), parts[1][2]])
            found = n("Add", [n("Mul", [sums[1], late]), parts[0][2]])
        elif kind == "Tanh":
            found = n("Tanh", [data.draw(st.sampled_from(wide))])
        else:
            found = n(kind, [data.draw(st.sampled_from(wide)) for _ in range(2)])
        known[found] = HIDDEN
        wide.append(found)
    model = scan_of(n.nodes, n.weights, wide[-1], reverse=data.draw(st.booleans()))
    _, made = lightened(model)
    assert_same(model, made)


def test_what_reads_the_sequence_alone_leaves_the_step():
    n = Nodes(0)
    total = n("Add", [n.gemm("x_t", INPUT), n.gemm("h", HIDDEN)])
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    assert body_of(made) == ["Gemm", "Tanh", "Identity"]
    assert [node.op_type for node in made.graph.node][:2] == ["MatMul", "Add"]
    assert_same(model, made)


def test_a_product_of_both_is_taken_apart():
    n = Nodes(0)
    total = n.gemm(n("Concat", ["x_t", "h"], axis=1), INPUT + HIDDEN)
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    assert body_of(made) == ["Gemm", "Tanh", "Identity"]
    assert_same(model, made)


def test_products_of_one_state_stay_apart_and_those_of_the_sequence_are_one():
    n = Nodes(0)
    gates = [n("Add", [n.gemm("x_t", INPUT), n.gemm("h", HIDDEN, bias=False)]) for _ in range(3)]
    product = n("Mul", gates[:2])
    total = n("Add", [product, gates[2]])
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    assert body_of(made) == ["Gemm", "Gemm", "Gemm", "Mul", "Add", "Tanh", "Identity"]
    outside = [node.op_type for node in made.graph.node]
    assert outside == ["MatMul", "Add", *["Slice"] * 3, "Scan"]
    assert_same(model, made)


def test_one_product_of_all_gates_is_taken_apart():
    n = Nodes(0)
    both = n("Concat", ["x_t", "h"], axis=1)
    gates = n("Split", [n.gemm(both, INPUT + HIDDEN, 3 * HIDDEN)], 3, axis=1, num_outputs=3)
    total = n("Add", [n("Mul", gates[:2]), gates[2]])
    model = scan_of(n.nodes, n.weights, total, reverse=True)
    _, made = lightened(model)
    assert body_of(made) == ["Gemm", "Gemm", "Gemm", "Mul", "Add", "Tanh", "Identity"]
    assert_same(model, made)


def test_the_gates_of_a_gru_get_what_is_added_with_their_product():
    n = Nodes(0)
    first, second = n.gemm("x_t", INPUT, 3 * HIDDEN), n.gemm("h", HIDDEN, 3 * HIDDEN)
    of_x, of_h = (n("Split", [g], 3, axis=1, num_outputs=3) for g in (first, second))
    reset = n("Sigmoid", [n("Add", [of_h[0], of_x[0]])])
    update = n("Sigmoid", [n("Add", [of_x[1], of_h[1]])])
    new = n("Tanh", [n("Add", [of_x[2], n("Mul", [reset, of_h[2]])])])
    total = n("Add", [new, n("Mul", [update, n("Sub", ["h", new])])])
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    before, after = body_of(model), body_of(made)
    assert after.count("Gemm") == 3
    assert after.count("Split") == 0
    assert after.count("Add") == before.count("Add") - 2
    assert_same(model, made)


def test_what_is_added_to_a_product_of_all_gates_goes_with_each():
    n = Nodes(0)
    both = n("Add", [n.gemm("x_t", INPUT, 3 * HIDDEN), n.gemm("h", HIDDEN, 3 * HIDDEN)])
    gates = n("Split", [both], 3, axis=1, num_outputs=3)
    total = n("Add", [n("Mul", gates[:2]), gates[2]])
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    assert body_of(made) == ["Gemm", "Gemm", "Gemm", "Mul", "Add", "Tanh", "Identity"]
    assert_same(model, made)


@pytest.mark.parametrize("of", ["x_t", "h"])
def test_a_part_that_is_handed_out_is_computed_in_the_step(of):
    n = Nodes(0)
    inner = INPUT if of == "x_t" else HIDDEN
    parts = n("Split", [n.gemm(of, inner, 2 * HIDDEN)], 2, axis=1, num_outputs=2)
    model = scan_of(n.nodes, n.weights, n("Add", [parts[0], "h"]))
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    body = helper.get_node_attr_value(scan, "body")
    for node in body.node:
        if node.op_type == "Split":
            node.output[1] = "y_t"
    body.node.remove(next(node for node in body.node if node.op_type == "Identity"))
    _, made = lightened(model)
    assert_same(model, made)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2 * HIDDEN), (2 * HIDDEN,)])
def test_rows_that_are_added_to_all_gates_are_what_they_were(shape):
    n = Nodes(0)
    added = n.weight(*shape)
    product = n("Gemm", ["h", n.weight(2 * HIDDEN, HIDDEN), added], transB=1)
    gates = n("Split", [product], 2, axis=1, num_outputs=2)
    model = scan_of(n.nodes, n.weights, n("Mul", gates))
    _, made = lightened(model)
    assert_same(model, made)


def test_what_is_read_elsewhere_too_stays():
    n = Nodes(0)
    gemm = n.gemm("h", HIDDEN)
    total = n("Mul", [n("Add", [gemm, "h"]), gemm])
    model = scan_of(n.nodes, n.weights, total)
    places, made = lightened(model)
    assert places == 0
    assert body_of(made) == body_of(model)


def test_a_row_that_is_repeated_is_not_taken_for_all_rows():
    n = Nodes(0)
    row = n.weight(1, HIDDEN)
    total = n("Add", [n.gemm("h", HIDDEN, bias=False), row])
    model = scan_of(n.nodes, n.weights, total)
    _, made = lightened(model)
    assert_same(model, made)


class Cell(torch.nn.Module):
    """A GRU whose state decays between its steps."""

    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRUCell(INPUT, HIDDEN)
        self.rate = torch.nn.Linear(INPUT, HIDDEN)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], HIDDEN)
        every = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h * torch.sigmoid(self.rate(x[:, t])))
            every.append(h)
        return torch.stack(every, 1)


def exported(path, **options):
    torch.manual_seed(0)
    model = Model(Cell(), [TensorSpec("x", ("batch", "time", INPUT))], ["y"], name="cell")
    return rnnbench.export(model, formats="onnx", out=path, **options)


def test_an_export_has_such_steps_unless_loops_are_kept(tmp_path):
    light, kept = exported(tmp_path / "light"), exported(tmp_path / "kept", keep_loops=True)
    bodies = [body_of(onnx.load(b.artifacts["onnx"].path)) for b in (light, kept)]
    assert len(bodies[0]) < len(bodies[1]) - 2
    for bundle in (light, kept):
        report = rnnbench.check(bundle, ["onnxruntime"])
        assert report.ok, report
        assert any(row.is_about_weights for row in report.rows)


@pytest.mark.parametrize("precision", ["float16", "int8-weights"])
def test_weights_of_divided_products_are_kept_in_fewer_bits(precision, tmp_path):
    bundle = exported(tmp_path, precision=precision)
    assert rnnbench.check(bundle, ["onnxruntime"]).ok

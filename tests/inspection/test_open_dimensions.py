"""A dimension that a file leaves open, and a node that only takes the example's size of it."""

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

import rnnbench
from tests.helpers.hazard_files import GRU, OUT, behind, initializer, written
from tests.helpers.stock_files import edited, exported, traced

TIME, BATCH = "frozen_length", "frozen_batch"


def ints(name, *numbers):
    return f"{name} = Constant <value_ints = [{', '.join(map(str, numbers))}]> ()"


def hazards(path, *names):
    return [(h.name, h.what) for h in rnnbench.inspect(path).hazards if h.name in (names or ALL)]


ALL = (TIME, BATCH, "constant_positions", "constant_lengths")

FROZEN = {
    "Reshape, all numbers": (
        [ints("n", 5, 2, 2, 2), "y = Reshape (s, n)"],
        [
            (BATCH, "its shape has 2 where batch is dynamic"),
            (TIME, "its shape has 5 where time is dynamic"),
        ],
    ),
    "Reshape, the batch is left": (
        [ints("n", 5, -1, 4), "y = Reshape (s, n)"],
        [(TIME, "its shape has 5 where time is dynamic")],
    ),
    "Reshape, the time is left": (
        [ints("n", -1, 3, 4), "y = Reshape (s, n)"],
        [(BATCH, "its shape has 3 where batch is dynamic")],
    ),
    "Reshape, a number among sizes of the input": (
        [
            *("size = Shape (s)", ints("second", 1), "rows = Gather (size, second)"),
            *(ints("five", 5), ints("four", 4), "n = Concat <axis = 0> (five, rows, four)"),
            "y = Reshape (s, n)",
        ],
        [(TIME, "its shape has 5 where time is dynamic")],
    ),
    "Expand": (
        [ints("n", 5, 1, 4), "y = Expand (s, n)"],
        [(TIME, "its shape has 5 where time is dynamic")],
    ),
    "Slice": (
        [ints("a", 0), ints("b", 5), ints("c", 0), "y = Slice (s, a, b, c)"],
        [(TIME, "keeps 5 of time, which is dynamic")],
    ),
    "Slice of rows": (
        [ints("a", 0), ints("b", 2), ints("c", 1), "y = Slice (s, a, b, c)"],
        [(BATCH, "keeps 2 of batch, which is dynamic")],
    ),
    "a fixed last step": (
        ["n = Constant <value_int = 4> ()", "y = Gather (s, n)"],
        [(TIME, "takes place 4 of time, which is dynamic")],
    ),
    "a fixed last step by Slice": (
        [ints("a", 4), ints("b", 5), ints("c", 0), "y = Slice (s, a, b, c)"],
        [(TIME, "takes place 4 of time, which is dynamic")],
    ),
    "a fixed last step behind other nodes": (
        [
            *("t = Transpose <perm = [1, 0, 2]> (s)", "u = Relu (t)"),
            *("n = Constant <value_int = 4> ()", "y = Gather <axis = 1> (u, n)"),
        ],
        [(TIME, "takes place 4 of time, which is dynamic")],
    ),
    "turned round by the places of the example": (
        [ints("n", 4, 3, 2, 1, 0), "y = Gather (s, n)"],
        [(TIME, "takes places 4, 3, 2, 1 and 1 more of time, which is dynamic")],
    ),
    "GatherElements at constant lengths": (
        [
            *("i = Constant <value = int64[1, 2, 1] {4, 2}> ()", ints("n", 1, 2, 4)),
            *("j = Expand (i, n)", "y = GatherElements <axis = 0> (s, j)"),
        ],
        [
            (BATCH, "keeps 2 of batch, which is dynamic"),
            (TIME, "takes places 2, 4 of time, which is dynamic"),
        ],
    ),
    "Split": (
        [ints("n", 2, 3), "y, z = Split <axis = 0> (s, n)"],
        [(TIME, "takes 5 of time, which is dynamic")],
    ),
    "a constant for each step": (
        ["p = Constant <value = float[5, 1, 1] {1, 2, 3, 4, 5}> ()", "y = Add (s, p)"],
        [(TIME, "takes 5 of time, which is dynamic")],
    ),
}

SOUND = {
    "flat": [ints("n", -1, 4), "y = Reshape (s, n)"],
    "heads": [ints("n", 0, 0, 2, 2), "y = Reshape (s, n)"],
    "heads, and the batch first": [
        "t = Transpose <perm = [1, 0, 2]> (s)",
        *(ints("n", 0, -1, 2, 2), "y = Reshape (t, n)"),
    ],
    "two steps at a time": [
        "t = Transpose <perm = [1, 0, 2]> (s)",
        *(ints("n", 0, -1, 8), "y = Reshape (t, n)"),
    ],
    "the sizes of the input": [
        "n = Shape (x)",
        ints("h", 4),
        *(
            ints("a", 0),
            ints("b", 2),
            "k = Slice (n, a, b)",
            "m = Concat <axis = 0> (k, h)",
            "y = Reshape (s, m)",
        ),
    ],
    "the last step": ["n = Constant <value_int = -1> ()", "y = Gather (s, n)"],
    "the last step by Slice": [
        *(ints("a", -1), ints("b", 9223372036854775807), ints("c", 0)),
        "y = Slice (s, a, b, c)",
    ],
    "the first step": ["n = Constant <value_int = 0> ()", "y = Gather (s, n)"],
    "all but the last": [ints("a", 0), ints("b", -1), ints("c", 0), "y = Slice (s, a, b, c)"],
    "all but the first": [
        *(ints("a", 1), ints("b", 9223372036854775807), ints("c", 0)),
        "y = Slice (s, a, b, c)",
    ],
    "a part, and what is left": [
        *(ints("a", 0), ints("b", 5), ints("c", 0), ints("d", 9223372036854775807)),
        *("u = Slice (s, a, b, c)", "v = Slice (s, b, d, c)", "y = Concat <axis = 0> (u, v)"),
    ],
    "a part of the features": [
        *(ints("a", 0), ints("b", 2), ints("c", 2)),
        "y = Slice (s, a, b, c)",
    ],
    "one of the features": ["n = Constant <value_int = 2> ()", "y = Gather <axis = 2> (s, n)"],
    "a constant for each feature": [
        *("p = Constant <value = float[4] {1, 2, 3, 4}> ()", "y = Add (s, p)"),
    ],
    "halves": ["y, z = Split <axis = 0, num_outputs = 2> (s)"],
    "to more": [ints("n", 3, 1, 1, 1), "y = Expand (s, n)"],
}


@pytest.mark.parametrize("name", FROZEN)
def test_a_number_of_the_example_behind_a_layer(tmp_path, name):
    nodes, expected = FROZEN[name]
    assert sorted(hazards(behind(tmp_path / "a.onnx", *nodes))) == expected


@pytest.mark.parametrize("name", SOUND)
def test_what_takes_any_size_is_sound(tmp_path, name):
    assert hazards(behind(tmp_path / "a.onnx", *SOUND[name])) == []


def test_before_the_layer_as_well(tmp_path):
    def before(*nodes):
        layer = GRU.replace("(x", "(s")
        return hazards(written(tmp_path / "a.onnx", *nodes, layer, *OUT))

    assert before(ints("n", 5, -1, 2), "s = Reshape (x, n)")[0] == (
        TIME,
        "its shape has 5 where time is dynamic",
    )
    kept = (ints("a", 0), ints("b", 5), ints("c", 0), "s = Slice (x, a, b, c)")
    assert (TIME, "keeps 5 of time, which is dynamic") in before(*kept)
    assert before(ints("n", 0, 0, 2), "s = Reshape (x, n)") == []


def test_rows_put_behind_one_another(tmp_path):
    turned = "t = Transpose <perm = [1, 0, 2]> (s)"
    layer = GRU.replace("(x", "(t")
    one = written(
        tmp_path / "a.onnx",
        *(ints("n", 1, -1, 2), "s = Reshape (x, n)", turned, layer, *OUT),
        x="batch, time, 2",
        h0="1, 1, 4",
    )
    assert (BATCH, "puts the rows of batch behind one another") in hazards(one)


# An axis that nobody named ---------------------------------------------------------------------


@pytest.mark.parametrize("unknown", ["unk__9", "?", -1])
def test_an_unknown_axis_has_no_name(tmp_path, unknown):
    """As tf2onnx and Paddle's converter write it; it may have any size."""

    def edit(proto):
        for value in (proto.graph.input[0], proto.graph.output[0]):
            for dim in value.type.tensor_type.shape.dim[:2]:
                setattr(dim, "dim_value" if unknown == -1 else "dim_param", unknown)

    report = rnnbench.inspect(edited(tmp_path / "a.onnx", edit))
    assert report.dynamic == ("batch",)  # of the state, which nobody changed
    assert report.inputs[0].shape == (None, None, 3)
    assert hazards(report.path) == []


def test_a_state_of_one_row_is_sound_where_the_input_has_one(tmp_path):
    def rowless(proto):
        """(time, 3), as a stream of one row has it."""
        del proto.graph.input[0].type.tensor_type.shape.dim[1]
        initializer(proto, "second", np.array([1]))
        proto.graph.node.insert(0, helper.make_node("Unsqueeze", ["x", "second"], ["rows"]))
        proto.graph.node[1].input[0] = "rows"
        proto.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 1

    assert hazards(edited(tmp_path / "a.onnx", rowless)) == []


def test_a_state_of_one_row_where_the_size_is_lost(tmp_path):
    """Nothing infers a size behind another domain's operator; the file says none."""

    def edit(proto):
        proto.opset_import.append(helper.make_opsetid("my.domain", 1))
        node = helper.make_node("Own", ["x"], ["own"], domain="my.domain")
        proto.graph.node.insert(0, node)
        proto.graph.node[1].input[0] = "own"
        proto.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 1

    assert hazards(edited(tmp_path / "a.onnx", edit)) == []


# Only some places --------------------------------------------------------------------------------


def keras_like(*nodes):
    """An input (batch, dim_0_1, 3), all of its products with the weights, and nodes to `step`."""

    def edit(proto):
        weights = {"w": (3, 12), "b": (12,), "kernel": (4, 12, 3)}
        for name, shape in weights.items():
            initializer(proto, name, np.ones(shape, np.float32))
        for name, number in {"zero": [0], "minus": [-1], "far": [-(2**63) + 1]}.items():
            initializer(proto, name, np.array(number))
        made = [
            ("Transpose", "x", "turned", {"perm": [1, 0, 2]}),
            *(("MatMul", "turned w", "product", {}), ("Add", "product b", "sum", {})),
            *(*nodes, ("Tanh", "step", "y", {})),
        ]
        del proto.graph.node[:], proto.graph.output[1:], proto.graph.input[1:]
        proto.graph.node.extend(
            helper.make_node(op, ins.split(), [out], **kept) for op, ins, out, kept in made
        )
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        dims[0].dim_param, dims[1].dim_param = "batch", "dim_0_1"
        proto.graph.output[0].type.tensor_type.ClearField("shape")

    return edit


@pytest.mark.parametrize(
    ("nodes", "severity", "what"),
    [
        (
            [("Gather", "sum zero", "step", {})],
            "error",
            "only place 0 of dim_0_1 is read",
        ),
        (  # backwards as well
            [
                ("Slice", "sum minus far zero minus", "back", {}),
                *(("Gather", "back zero", "last", {}), ("Gather", "sum zero", "first", {})),
                ("Add", "first last", "step", {}),
            ],
            "error",
            "only places -1, 0 of dim_0_1 is read",
        ),
        (
            [
                ("Transpose", "sum", "wide", {"perm": [1, 2, 0]}),
                ("Conv", "wide kernel", "conv", {"pads": [1, 1]}),
                ("Gather", "conv zero", "step", {"axis": 2}),
            ],
            "warning",
            "only place 0 of what is made of dim_0_1 is read",
        ),
    ],
)
def test_one_step_of_an_open_time_as_keras_exports_it(tmp_path, nodes, severity, what):
    """Keras 3.15 unrolls its GRU to the length of its example, which is 1 where time is None."""
    report = rnnbench.inspect(edited(tmp_path / "a.onnx", keras_like(*nodes)))
    (found,) = report.hazards
    assert (found.name, found.severity) == ("constant_positions", severity)
    assert (found.where, found.what) == ("x", what)


def test_one_step_of_an_open_time_that_is_split_off(tmp_path):
    """As Keras exports its SimpleRNN: other lengths are refused."""
    nodes = [("Split", "sum", "step", {"axis": 0})]

    def edit(proto):
        keras_like(*nodes)(proto)
        initializer(proto, "one", np.array([1]))
        proto.graph.node[3].input.append("one")

    path = edited(tmp_path / "a.onnx", edit)
    assert hazards(path) == [(TIME, "takes 1 of dim_0_1, which is dynamic")]


@pytest.mark.parametrize(
    "nodes",
    [
        [("Gather", "sum minus", "step", {})],  # the last step is what is asked for
        [("ReduceMean", "sum zero", "step", {"keepdims": 0})],
        [("Gather", "sum zero", "one", {}), ("Sub", "sum one", "step", {})],
    ],
)
def test_where_all_steps_are_read_nothing_is_said(tmp_path, nodes):
    def edit(proto):
        keras_like(*nodes)(proto)
        proto.opset_import[0].version = 18

    assert hazards(edited(tmp_path / "a.onnx", edit)) == []


def test_a_state_for_each_of_two_layers_is_no_such_thing(tmp_path):
    """Two states in one input, whose first dimension is a number."""
    nodes = (
        *("i = Constant <value_ints = [0]> ()", "j = Constant <value_ints = [1]> ()"),
        *("a = Gather (h0, i)", "b = Gather (h0, j)", "h1 = Add (a, b)"),
    )
    path = written(tmp_path / "a.onnx", *nodes, GRU.replace("h0", "h1"), *OUT, h0="2, batch, 4")
    assert hazards(path) == []


# PyTorch's own files -----------------------------------------------------------------------------


class Takes(nn.Module):
    """A layer, and what is taken of its sequence (time, batch, 4)."""

    def __init__(self, take):
        super().__init__()
        self.rnn, self.take = nn.GRU(3, 4), take

    def forward(self, x):
        return self.take(self.rnn(x)[0])


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda y: y[4], (TIME, "takes place 4 of time, which is dynamic")),
        (lambda y: y[:5], (TIME, "keeps 5 of time, which is dynamic")),
        (lambda y: y.view(5, -1, 4), (TIME, "its shape has 5 where time is dynamic")),
        (lambda y: y.view(-1, 2, 4), (BATCH, "its shape has 2 where batch is dynamic")),
        (lambda y: y.unbind(0)[4], (TIME, "takes 5 of time, which is dynamic")),
        (lambda y: y[-1], None),
        (lambda y: y[:-1], None),
        (lambda y: y.reshape(-1, 4), None),
        (lambda y: y.reshape(y.shape[0], y.shape[1], 2, 2), None),
    ],
)
def test_of_a_traced_layer(tmp_path, take, expected):
    found = hazards(traced(Takes(take), tmp_path / "a.ts"))
    assert found == ([expected] if expected else [])


class OneStep(nn.Module):
    """A cell that is called once, on a step of a sequence."""

    def __init__(self, take):
        super().__init__()
        self.cell, self.take = nn.GRUCell(3, 4), take

    def forward(self, x):
        return self.cell(self.take(x))


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda x: x[0], "only place 0 of {} is read"),
        (lambda x: x[1] + x[3], "only places 1, 3 of {} is read"),
        (lambda x: x[-1], None),
        (lambda x: x[0] + x.sum(0), None),
    ],
)
def test_of_a_pt2_with_an_open_time(tmp_path, take, expected):
    shapes = ({0: torch.export.Dim("time", min=6)},)
    path = exported(OneStep(take), tmp_path / "a.pt2", (torch.zeros(8, 2, 3),), shapes)
    (name,) = rnnbench.inspect(path).dynamic
    assert hazards(path) == ([("constant_positions", expected.format(name))] if expected else [])

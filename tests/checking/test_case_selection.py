"""The cases of a full sweep, what one result says of a case, and running a failure again."""

import itertools
import json
import shlex

import numpy as np
import onnx
import pytest
import torch

from rnnbench import Model, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.cases.inputs import make_inputs
from rnnbench.cases.plans import (
    INPUTS,
    LENGTHS,
    SIZES,
    STATES,
    parse_case,
    plan_cases,
    plan_further,
    plan_sweep,
)
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions, check
from rnnbench.models.lifting import lifted
from tests.helpers import handmade
from tests.zoo import MODELS

TRACED = {"time": 5, "batch": 3}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("sound"))


def ragged():
    inputs = (
        TensorSpec("x", ("time", "batch", 2)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 4), role="state"),
    )
    return Model(torch.nn.Identity(), inputs, ("y", "hn"), states={"h0": "hn"})


def test_a_sweep_has_every_size_state_and_kind_of_value():
    plans = plan_sweep(ragged(), TRACED, {})
    shapes = {(plan.dims["batch"], plan.dims["time"]) for plan in plans}
    assert shapes >= {(b, t) for b in (1, 2, 3, 4, 7) for t in (1, 2, 5, 6, 13, 97)}
    assert max(time for _, time in shapes) == 4097
    usual = itertools.product(INPUTS[:5], STATES[:3])
    kinds = {(plan.inputs, plan.state) for plan in plans}
    assert kinds == {*usual, *((size, size) for size in SIZES)}
    assert {plan.lengths for plan in plans} == set(LENGTHS)
    assert len({plan.seed for plan in plans}) == len({plan.name for plan in plans}) == len(plans)
    again = plan_sweep(ragged(), TRACED, {}, seed=1)
    assert not {plan.seed for plan in plans} & {plan.seed for plan in again}
    fixed = plan_sweep(ragged(), TRACED, {"time": 5})
    assert {plan.dims["time"] for plan in fixed} == {5}


def test_the_values_are_what_the_case_says():
    def arrays(text):
        return make_inputs(ragged(), parse_case(text, TRACED | {"batch": 8, "time": 9}))

    lengths = arrays("")["lengths"]
    assert {1, 9} <= set(lengths.tolist())
    assert lengths.min() >= 1
    assert set(arrays("lengths=one")["lengths"].tolist()) == {1}
    assert set(arrays("lengths=full")["lengths"].tolist()) == {9}
    tiny = arrays("inputs=denormal")["x"]
    assert tiny.dtype == np.float32
    assert np.abs(tiny).max() < np.finfo(np.float32).smallest_normal
    assert np.count_nonzero(tiny) > tiny.size // 2
    assert np.abs(arrays("inputs=large")["x"]).max() > 20
    assert not arrays("inputs=zero,state=zero")["x"].any()
    assert not arrays("state=zero")["h0"].any()
    assert np.ptp(arrays("inputs=constant")["x"]) == 0


@pytest.mark.parametrize("kind", [f"inputs={kind}" for kind in INPUTS] + ["state=carried"])
def test_sound_files_are_right_at_every_kind_of_value(sound, kind):
    options = CheckOptions(CaseSelection(extra=(kind,), only=(kind,)), isolation=None)
    report = check(sound, ["onnxruntime", "torchscript"], options=options)
    assert report.ok
    assert {row.cases for row in report.rows} == {1}


def test_the_share_of_equal_argmax_and_the_relative_error(tmp_path):
    def swapped(proto):  # the last two units of y change places; hn stays
        proto.graph.node[1].output[0] = "right"
        order = np.array([0, 1, 3, 2])
        proto.graph.initializer.append(onnx.numpy_helper.from_array(order, "order"))
        proto.graph.node.append(onnx.helper.make_node("Gather", ["right", "order"], ["y"], axis=2))

    bundle = handmade.make_bundle(tmp_path, edit=swapped)
    rows = {row.output: row for row in check(bundle, ["onnxruntime"], isolate=False).rows}
    assert rows["y"].verdict == "DIFFERS"
    assert 0 <= rows["y"].same_argmax < 1
    assert rows["y"].relative_error > rows["hn"].relative_error
    assert rows["hn"].verdict == "same"
    assert rows["hn"].same_argmax is None, "a state holds no scores"


def test_the_printed_command_runs_the_failure_again(tmp_path, capsys):
    def scaled(proto):
        handmade.replace_initializer(proto, "R", handmade.initializer(proto, "R") * 1.01)

    bundle = handmade.make_bundle(tmp_path, edit=scaled)
    made = "time=17,batch=2,inputs=large"

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, "--json"])
        return caught.value.code, json.loads(capsys.readouterr().out)["results"]

    words = ["check", str(bundle.path), "--runtime", "onnxruntime", "--only", "longer"]
    code, first = run(*words, "--case", made, "--save-failures", str(tmp_path / "bad"))
    assert code == 1
    assert {result["case"] for result in first} == {"longer", made}
    _, every = run("check", str(bundle.path), "--runtime", "onnxruntime")
    loud = [result for result in every if "x300" in result["case"] and result["repeat"]]
    assert loud
    for result in first + loud[:2]:
        words = shlex.split(result["repeat"])
        assert words[0] == "rnnbench"
        code, (again,) = run(*words[1:])
        assert code == 1
        assert again == result
    saved = sorted((tmp_path / "bad").iterdir())
    assert [path.name for path in saved] == [
        "made-gru-onnx-onnxruntime-longer.npz",
        f"made-gru-onnx-onnxruntime-{made}.npz",
    ]


def words():
    ids = TensorSpec("ids", ("batch", "time"), "int64", high=100)
    return Model(torch.nn.Identity(), (ids,), ("y",))


def test_further_cases_are_around_blocks_large_and_of_every_length():
    plans = plan_further(ragged(), TRACED, {})
    assert {plan.dims["batch"] for plan in plans} >= {8, 17}
    times = {plan.dims["time"] for plan in plans}
    assert times >= {2, 3, 31, 32, 33, 64, 65, 128, 257}
    assert {plan.lengths for plan in plans} == set(LENGTHS)
    largest = make_inputs(ragged(), next(plan for plan in plans if plan.inputs == "x300"))
    assert np.abs(largest["x"]).max() > 300
    assert np.abs(largest["h0"]).max() > 300
    assert len(plans) <= 20
    for plan in plans:
        assert parse_case(plan.name, TRACED) == plan


def test_lengths_of_every_kind():
    found = {}
    for plan in plan_further(ragged(), TRACED, {}):
        found[plan.lengths] = make_inputs(ragged(), plan)["lengths"], plan.dims["time"]
    lengths, steps = found["equal"]
    assert set(lengths.tolist()) == {steps // 2}
    lengths, steps = found["tail"]
    assert lengths.max() == steps - 1


def test_one_row_alone_is_not_always_full():
    """An engine that ignores lengths is right in a row that has all steps."""
    (plan,) = (
        p
        for p in plan_further(ragged(), TRACED, {})
        if p.dims["batch"] == 1 and p.lengths == "tail"
    )
    assert make_inputs(ragged(), plan)["lengths"].tolist() < [plan.dims["time"]]


def test_each_id_of_a_small_vocabulary():
    (plan,) = (p for p in plan_further(words(), TRACED, {}) if p.inputs == "every")
    assert set(make_inputs(words(), plan)["ids"].reshape(-1).tolist()) == set(range(100))


@pytest.mark.parametrize("fixed", [{}, {"batch": 1}])
def test_each_id_where_there_is_one_row(fixed):
    """Every one of them in the row that there is, of a sequence without a batch as well."""
    alone = Model(torch.nn.Identity(), (TensorSpec("ids", ("time",), "int64", high=100),), ("y",))
    for model in (words(), alone) if fixed else (alone,):
        (plan,) = (p for p in plan_further(model, TRACED, fixed) if p.inputs == "every")
        assert set(make_inputs(model, plan)["ids"].reshape(-1).tolist()) == set(range(100))


def test_a_bundle_carries_few_cases():
    """What `check` makes does not stay in the bundle: at most 14 are stored, of every zoo model."""
    for name, entry in MODELS.items():
        model = lifted(entry.build())
        sizes = {dim: model.dims[dim].fit(5) for dim in model.dims}
        assert len(plan_cases(model, sizes)) <= 14, name

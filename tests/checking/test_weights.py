"""Every weight of a module is in its file, or accounted for, or named; altered ones are found."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.checking.check import check
from rnnbench.checking.report import WEIGHTS
from rnnbench.runtimes.accounting import account
from rnnbench.runtimes.folding import FUNCTIONS
from tests.helpers import tiers

IDS = TensorSpec("ids", ("batch", "time"), dtype="int64", high=30_000)


class Tagger(nn.Module):
    """A vocabulary of which a case draws a few words."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(30_000, 4)
        self.rnn = nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(10, 3))
        self.scale = nn.Parameter(torch.randn(3))
        self.unused = nn.Linear(2, 2)

    def forward(self, ids):
        return self.head(self.rnn(self.words(ids))[0]) * torch.sigmoid(self.scale)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    model = Model(Tagger().eval(), (IDS,), ("scores",))
    formats = ("onnx", "torchscript", "pt2")
    return model, rnnbench.export(model, formats, tmp_path_factory.mktemp("tagger"))


def weight_rows(report):
    return {row.format: row for row in report.rows if row.output == WEIGHTS}


def test_each_weight_is_found_in_each_file(tagger):
    model, bundle = tagger
    rows = weight_rows(check(bundle, isolate=False, model=model))
    assert rows.keys() == {"onnx", "torchscript", "pt2"}
    for row in rows.values():
        assert row.verdict == "same"
        assert row.reason == ""
        assert row.cases == len(model.module.state_dict())
        assert "2 without effect" in row.worst_case  # the layer that nothing calls
    assert "reordered" in rows["onnx"].worst_case  # the gates of an LSTM


def alter_onnx(bundle, change):
    path = bundle.artifacts["onnx"].path
    proto = onnx.load(str(path))
    table = max(proto.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    table.CopyFrom(onnx.numpy_helper.from_array(change(table), table.name))
    onnx.save(proto, str(path))


def row_of(number):
    def change(tensor):
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[number] += 1.0
        return array

    return change


@pytest.mark.parametrize("number", [0, 12_345, 29_999])
def test_a_word_that_no_case_has(tagger, tmp_path, number):
    model, _ = tagger
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    alter_onnx(bundle, row_of(number))
    report = check(bundle, ["onnxruntime"], isolate=False, model=model)
    row = weight_rows(report)["onnx"]
    assert row.verdict == "DIFFERS"
    assert row.reason.startswith("1 of ")
    assert f"words.weight: 1 of 30000 rows are others, the first {number}" in row.reason
    assert not report.ok
    assert any(r.case == WEIGHTS and r.verdict == "DIFFERS" for r in report.results)


def test_without_the_code_what_has_no_effect_is_not_known(tagger):
    _, bundle = tagger
    row = weight_rows(check(bundle, ["onnxruntime"], isolate=False))["onnx"]
    assert row.verdict == "same"
    assert "2 of 23 weights are not in the file as they are" in row.reason
    assert "unused.weight, unused.bias" in row.reason


W = np.random.default_rng(0).standard_normal((12, 7)).astype(np.float32)
B = np.random.default_rng(1).standard_normal(12).astype(np.float32)
C = np.random.default_rng(2).standard_normal(12).astype(np.float32)


@pytest.mark.parametrize(
    ("held", "how"),
    [
        ([W], "exactly"),
        ([W.T], "exactly"),
        ([W.reshape(3, 4, 7)], "exactly"),
        ([W.astype(np.float16)], "rounded to float16"),
        ([np.concatenate([W[4:8], W[:4], W[8:]])[None]], "reordered"),
        ([np.concatenate([W, W + 1], axis=1)], "reordered"),
        ([W[:5], W[5:]], "reordered"),
        ([1 / (1 + np.exp(-W))], "folded (sigmoid)"),
        ([W * np.float32(0.125)], "folded (0.125 * w)"),
        ([W / np.float32(7**0.5)], "folded (0.377964 * w)"),
        ([W * np.float32(1.5)], ""),
        ([np.maximum(W, 0)], "folded (relu)"),
        ([W + 1e-3], ""),
        ([W[:-1]], ""),
        ([np.flip(W, 0)[:, ::-1]], ""),
    ],
)
def test_where_a_matrix_is(held, how):
    assert account({"w": W}, held).found.get("w", "") == how


def test_where_vectors_are():
    gates = np.concatenate([(B + C)[:8], B[8:], C[8:]])  # of a GRU
    for held in ([B + C], [gates], [np.concatenate([C + B, W[0]])]):
        assert account({"b": B, "c": C}, held).found == {"b": "added to c", "c": "added to b"}
    assert account({"b": B}, [np.concatenate([B[8:], B[:4], B[4:8]])]).found == {"b": "reordered"}
    assert account({"b": B, "c": C}, [B - C]).missing == ("b", "c")
    ones, zeros = np.ones(5, np.float32), np.zeros((3, 2), np.float32)
    assert account({"a": ones, "z": zeros}, []).found == {"a": "neutral", "z": "neutral"}
    g, v = np.float32([[2.0], [3.0]]), W[:2]
    normed = (g * v / np.sqrt((v**2).sum(1, keepdims=True))).astype(np.float32)
    how = account({"l.weight_g": g, "l.weight_v": v}, [normed]).found
    assert set(how.values()) == {"folded (weight norm)"}


@tiers.examples(60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["one", "row", "scaled", "none"]))
def test_what_was_altered_is_said(seed, kind):
    """Of random weights, however they are laid out: an altered one is never found, nor missed."""
    rng = np.random.default_rng(seed)
    rows, width = int(rng.integers(20, 60)), int(rng.integers(2, 9))
    weight = rng.standard_normal((rows, width)).astype(np.float32)
    other = weight.copy()
    at = int(rng.integers(rows))
    if kind == "one":
        other[at, int(rng.integers(width))] += 0.1
    elif kind == "row":
        other[at] = rng.standard_normal(width)
    elif kind == "scaled":
        other *= np.float32(1.001)
    order = rng.permutation(rows)
    for laid_out in (other, other.T, other[order], np.stack([other, other + 5])):
        said = account({"w": weight}, [laid_out])
        if kind == "none":
            assert said.found.keys() == {"w"}
        elif kind == "scaled":
            assert said.found.get("w", "folded").startswith("folded")
        else:
            assert said.found == {}
            assert f"1 of {rows} rows" in said.altered["w"] or "1 of" in said.altered["w"]


@pytest.mark.parametrize(
    ("weight", "held"),
    [
        (-np.abs(B), np.zeros(12)),  # relu
        (1 + np.abs(B), np.ones(12)),  # a clamp to 0..1
        (B, np.where(B > 0, 1.0, 0.0)),
        (np.float32([-0.3]), np.zeros(1)),
        (B, np.full(12, 0.5)),
    ],
)
def test_a_weight_that_was_wiped_is_no_function_of_it(weight, held):
    said = account({"w": weight}, [held.astype(np.float32)])
    assert said.missing == ("w",)


def test_a_factor_has_a_name():
    held = [B * np.float32(0.7), np.float32([0.7])]
    assert account({"b": B}, held).missing == ("b",)
    said = account({"b": B, "scale": np.float32([0.7])}, held)
    assert said.found["b"] == "folded (0.7 * w)"
    alone = account({"scale": np.float32([0.7])}, [np.float32([1 / (1 + np.exp(-0.7))])])
    assert alone.found == {"scale": "folded (sigmoid)"}


def test_a_mask_that_is_a_weight_too():
    mask = (np.abs(W) > 0.2).astype(np.float32)
    said = account({"w": W, "mask": mask}, [W * mask])
    assert said.found == {"w": "folded (mask * w)", "mask": "folded (into w)"}
    other = W * mask
    other[3] += 1
    assert account({"w": W, "mask": mask}, [other]).found == {}


E = np.random.default_rng(3).standard_normal((100, 6)).astype(np.float32)


def test_an_array_that_is_another_weight_is_none_that_was_altered():
    copy = E.copy()
    copy[:5] += 0.1
    said = account({"e": E, "copy": copy}, [E])
    assert said.found == {"e": "exactly"}
    assert said.missing == ("copy",)
    assert "5 of 100 rows" in account({"copy": copy}, [E]).altered["copy"]
    # The file has it twice: the second stands where the copy was.
    assert "5 of 100 rows" in account({"e": E, "copy": copy}, [E, E.copy()]).altered["copy"]
    # The module uses it as it is: one array does for both, as where equal ones are stored once.
    said = account({"e": E, "copy": copy}, [E], {"copy": None})
    assert "5 of 100 rows" in said.altered["copy"]


def test_what_the_module_makes_of_a_weight_is_looked_for():
    made = np.clip(E, -1, 1)
    how = account({"e": E}, [made], {"e": [made]}).found
    assert how == {"e": "folded (as the module does)"}
    other = made.copy()
    other[7, 3] += 1
    assert account({"e": E}, [other], {"e": [made]}).altered["e"].startswith("1 of 100 rows")
    assert account({"e": E}, [made], {"e": [made, E * 3]}).found == {}
    assert account({"e": E}, [made], {"e": []}).found == {}


def test_what_a_mask_or_a_clamp_would_make_is_said():
    vector = np.random.default_rng(4).standard_normal(200).astype(np.float32)
    square = vector[:144].reshape(12, 12)
    clamped = np.clip(vector, np.sort(vector)[5], np.sort(vector)[-6])
    assert account({"v": vector}, [clamped]).plausible == {"v": "a clamp"}
    diagonal = square * (1 - np.eye(12, dtype=np.float32))
    assert account({"w": square}, [diagonal]).plausible == {"w": "a mask"}
    wiped, one, lower = square.copy(), vector.copy(), vector.copy()
    wiped[5], one[9], lower[np.argmax(lower)] = 0, 0, np.sort(vector)[-2]
    for weight, held in ((square, wiped), (square, wiped.T), (vector, one), (vector, lower)):
        said = account({"w": weight}, [held])
        assert said.altered.keys() == {"w"}
        assert said.plausible == {}


def test_many_vectors_beside_large_arrays():
    rng = np.random.default_rng(5)
    held = [rng.standard_normal((512, 512)).astype(np.float32) for _ in range(8)]
    vectors = {f"b{i}": rng.standard_normal(512).astype(np.float32) for i in range(40)}
    joined = np.concatenate([vectors["b3"] + vectors["b20"], vectors["b1"]])
    said = account(vectors, [*held, joined])
    assert said.found == {"b3": "added to b20", "b20": "added to b3", "b1": "reordered"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8"])
def test_rows_of_all_kinds_of_numbers(dtype):
    table = (100 * E).astype(dtype)
    other = table[np.random.default_rng(6).permutation(len(table))]
    assert len(account({"e": table}, [other]).found) == (np.dtype(dtype).kind == "f")
    other[4, 2] = 5 if other[4, 2] == 0 else 0
    assert "1 of 100 rows are others" in account({"e": table}, [other]).altered["e"]


def test_functions_are_of_one_number():
    numbers = np.linspace(0.1, 3, 20)
    with np.errstate(all="ignore"):
        for function in FUNCTIONS.values():
            whole = function(numbers)
            assert np.allclose(whole[3:9], function(numbers[3:9]))

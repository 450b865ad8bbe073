"""What rounded weights cost, as `check` shows and judges it."""

import json

import pytest
import torch

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.checking.price import MaxPrice, price_notes, price_rows
from rnnbench.core.bundle import Bundle
from rnnbench.core.verdicts import Verdict


def model(evaluate=None):
    torch.manual_seed(0)
    net = torch.nn.GRU(4, 8, batch_first=True)
    inputs = (TensorSpec("x", ("batch", "time", 4)), TensorSpec("h", (1, "batch", 8), role="state"))
    return Model(net, inputs, ("y", "hn"), states={"h": "hn"}, name="net", evaluate=evaluate)


def of_weight(module):
    """An error that the rounding changes: a weight that is no multiple of its row's factor."""
    return {"error": float(module.weight_ih_l0[0].sum()), "constant": 2.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return rnnbench.export(model(of_weight), formats="onnx", precision="int8-weights", out=out)


def test_it_is_shown_and_judges_nothing(bundle):
    found = rnnbench.check(bundle, ["onnxruntime"])
    assert found.ok
    (note,) = [note for note in found.notes if note.startswith("price")]
    assert note.startswith("price of int8-weights in net, not of any artifact: y ")
    assert "dB above the change, hn " in note
    assert "error -" in note or "error 0" in note
    assert "constant 2 -> 2" in note
    assert not any(row.format == "price" for row in found.rows)


def test_a_limit_is_judged_for_each_output_and_error(bundle):
    said = bundle.manifest["precision"]["signal_db"]
    edge = (said["y"] + said["hn"]) / 2
    rows = {row.output: row for row in price_rows(bundle, MaxPrice(edge, 0.0))}
    dearer, cheaper = sorted(("y", "hn"), key=said.__getitem__)
    assert rows[dearer].verdict == Verdict.DIFFERS
    assert rows[dearer].reason == f"{said[dearer]:.1f} dB, {edge:g} are asked for"
    assert rows[cheaper].verdict == Verdict.SAME
    assert rows["error"].verdict == Verdict.DIFFERS
    assert rows["constant"].verdict == Verdict.SAME
    assert [*price_rows(bundle, None)] == []


def test_weights_that_are_not_rounded_have_no_price(tmp_path):
    plain = rnnbench.export(model(), formats="onnx", out=tmp_path)
    assert [*price_rows(plain, MaxPrice(40.0))] == []
    assert [*price_notes(plain)] == []


def test_errors_cannot_be_limited_where_there_are_none(tmp_path):
    silent = rnnbench.export(model(), formats="onnx", precision="float16", out=tmp_path)
    with pytest.raises(RnnbenchError, match="net has none of its own: give decibels, as 40dB"):
        [*price_rows(silent, MaxPrice(share=0.01))]


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ("40dB", MaxPrice(40.0)),
        ("1%", MaxPrice(share=0.01)),
        (" 62.5 dB , 0.5 %", MaxPrice(62.5, 0.005)),
    ],
)
def test_a_limit_is_read(given, limit):
    assert MaxPrice.parse(given) == limit


@pytest.mark.parametrize("given", ["40", "", "-3dB", "1%,x"])
def test_what_is_no_limit_is_refused(given):
    with pytest.raises(RnnbenchError, match=r"give decibels .* as 40dB,1%"):
        MaxPrice.parse(given)


@pytest.mark.parametrize(("limit", "code"), [("5dB", 0), ("200dB", 1)])
def test_the_command_fails_where_it_is_too_dear(bundle, limit, code, capsys):
    words = ["check", str(bundle.path), "--runtime", "onnxruntime", "--max-price", limit]
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--json"])
    assert caught.value.code == code
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] == (code == 0)
    found = {row["output"]: row["verdict"] for row in said["rows"] if row["format"] == "price"}
    assert found.keys() == {"y", "hn"}
    assert set(found.values()) == ({"same"} if code == 0 else {"DIFFERS"})


def test_an_error_that_is_not_finite_is_too_dear(bundle):
    manifest = dict(bundle.manifest)
    errors = {"before": {"error": 1.0, "same": None}, "after": {"error": None, "same": None}}
    manifest["precision"] = {**manifest["precision"], "errors": errors}
    other = Bundle.open(bundle.path)
    object.__setattr__(other, "manifest", manifest)
    rows = {row.output: row for row in price_rows(other, MaxPrice(share=1.0))}
    assert rows["error"].reason == "not finite"
    assert rows["same"].verdict == Verdict.SAME

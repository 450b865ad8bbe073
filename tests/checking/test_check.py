"""The check: sound artifacts pass, and each deliberate damage is caught."""

import json
import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import rnnbench
from rnnbench.checking.check import check as check_isolated
from rnnbench.checking.report import merge
from rnnbench.commands._console import format_report
from rnnbench.core.bundle import Bundle, write_manifest
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.models import variants
from tests.helpers import handmade
from tests.helpers.altered import take_away
from tests.helpers.damages import (
    DAMAGES,
    output_in_float64,
    output_is_nan,
    output_missing,
    outputs_without_squeeze,
)
from tests.helpers.tiers import samples


def check(bundle, runtimes=None):
    """In this process: what is compared is the same; test_isolation.py has the rest."""
    return check_isolated(bundle, runtimes, isolate=False)


def rows_of(report, format):
    return [row for row in report.rows if row.format == format]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("sound"))


def test_sound_artifacts_are_the_same(sound, capsys):
    report = rnnbench.check(sound, isolate=False)
    assert report.ok
    assert {row.verdict for row in report.rows} == {"same"}
    assert {(row.format, row.runtime) for row in report.rows} == {
        ("eager", "eager"),
        ("torchscript", "torchscript"),
        ("onnx", "onnxruntime"),
        ("twin (gru-loop)", "eager"),
    }
    outputs = [row for row in report.rows if not row.is_about_weights]
    assert {row.output for row in outputs} == {"y", "hn"}
    assert all(row.cases == 30 and row.tolerance_needed < 1e-5 for row in outputs)
    assert {row.format for row in report.rows if row.is_about_weights} == {"torchscript", "onnx"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(samples(50, 2000)))
def test_no_sound_artifact_is_failed(tmp_path, seed):
    hidden = (1, 4, 17, 64)[seed % 4]
    bundle = handmade.make_bundle(tmp_path, seed=seed, hidden=hidden, scale=(1, 4)[seed % 2])
    report = check(bundle)
    assert report.ok, format_report(report)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("seed", range(samples(3, 50)))
def test_damage_is_caught(tmp_path, damage, seed):
    bundle = handmade.make_bundle(tmp_path, edit=damage, seed=seed)
    report = check(bundle, None if seed == 0 else ["onnxruntime"])
    bad = [row for row in rows_of(report, "onnx") if row.verdict in ("DIFFERS", "failed")]
    assert not report.ok
    assert bad
    assert all(row.reason and "\n" not in row.reason for row in bad)
    if seed == 0:
        others = [row for row in report.rows if row.format != "onnx"]
        assert {row.verdict for row in others} == {"same"}


def test_reasons_name_what_is_wrong(tmp_path):
    def reason(damage):
        report = check(handmade.make_bundle(tmp_path, edit=damage), ["onnxruntime"])
        return " / ".join(row.reason for row in report.rows)

    assert "NaN where the reference is finite" in reason(output_is_nan)
    assert "there is no output 'hn'" in reason(output_missing)
    assert "dtype float64 instead of float32" in reason(output_in_float64)
    assert "shape [5, 1, 3, 4] instead of [5, 3, 4]" in reason(outputs_without_squeeze)


def test_a_trace_with_a_frozen_length_is_caught(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    loop = variants.model("gru-loop", handmade.options(), bundle_name="loop")
    handmade.script(loop, bundle.path / "model.ts")
    report = check(bundle, ["torchscript"])
    assert not report.ok
    assert all(row.cases < 17 or row.verdict == "DIFFERS" for row in report.rows)


class KeepsItsState(torch.nn.Module):
    """Right at the first call only: what it keeps leaks into the next sequence."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x, h0):
        y, hn = self.module(x, h0)
        y = y + self.seen
        self.seen += 0.01
        return y, hn


def test_a_state_that_leaks_between_calls_is_caught(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    model = variants.model("gru", handmade.options(), bundle_name="leaky")
    handmade.script(model, bundle.path / "model.ts", KeepsItsState(model.module))
    report = check(bundle, ["torchscript"])
    assert [row.verdict for row in report.rows if row.output == "y"] == ["DIFFERS"]


def test_a_damaged_file_is_a_row(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    (bundle.path / "model.onnx").write_bytes(b"not a graph")
    whole = (bundle.path / "model.ts").read_bytes()
    (bundle.path / "model.ts").write_bytes(whole[: len(whole) // 2])
    report = check(bundle)
    assert not report.ok
    for format in ("onnx", "torchscript"):
        (row,) = rows_of(report, format)
        assert (row.verdict, row.output) == ("failed", "*")
        assert "export it again" in row.reason


def test_a_file_that_was_replaced_is_said(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    assert check(bundle).notes == ()
    proto = onnx.load(bundle.path / "model.onnx")
    proto.doc_string = "right, and another file"
    onnx.save(proto, str(bundle.path / "model.onnx"))
    report = check(bundle)
    assert report.ok, "the results decide"
    (line,) = report.notes
    assert line.startswith("warning: made-gru: model.onnx is not the file that was exported")
    assert report.to_json()["notes"] == [line]
    assert format_report(report).endswith(line)
    assert check(bundle, ["torchscript"]).notes == (), "only of what was run"


def test_other_weights_beside_the_module_are_caught(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    other = variants.build("gru", handmade.options(seed=9))
    torch.save(other.state_dict(), bundle.path / "weights.pt")
    report = check(bundle, ["eager"])
    assert {row.verdict for row in report.rows} == {"DIFFERS"}
    torch.save({"nothing": torch.zeros(1)}, bundle.path / "weights.pt")
    report = check(bundle, ["eager"])
    assert {row.verdict for row in report.rows} == {"failed"}


def test_a_format_that_was_not_exported_is_a_row(sound, tmp_path):
    bundle = Bundle(sound.path, sound.manifest | {"failed": {"onnx": "no such op"}})
    report = check(bundle)
    assert not report.ok
    assert any(row.reason == "not exported: no such op" for row in report.rows)


def test_code_that_is_not_here_is_not_a_failure(sound):
    bundle = Bundle(sound.path, sound.manifest | {"source": {}})
    report = check(bundle)
    (row,) = rows_of(report, "eager")
    assert row.verdict == "not run"
    assert report.ok
    assert not check(bundle, ["eager"]).ok, "nothing was compared"


def test_the_module_at_hand_takes_part(tmp_path):
    model = handmade.gru()
    exported = rnnbench.export(model, ("onnx",), tmp_path)  # nothing says where its code is
    (row,) = rows_of(rnnbench.check(exported, ["eager"]), "eager")
    assert (row.verdict, row.output) == ("not run", "*")
    assert "give check(bundle, model=...) what was exported" in row.reason
    for isolate in (True, False):
        report = rnnbench.check(exported, model=model.module.train() and model, isolate=isolate)
        assert {(row.format, row.verdict) for row in report.rows if row.verdict != "limit"} == {
            ("eager", "same"),
            ("onnx", "same"),
        }
    assert model.module.training
    full = rnnbench.check(exported, ["eager"], cases="full", model=model, isolate=False)
    assert full.ok
    assert full.rows[0].cases > 20
    with torch.no_grad():
        next(model.module.parameters()).mul_(2)
    with pytest.raises(RnnbenchError, match="weights of the model are not those in"):
        rnnbench.check(exported, model=model)
    with pytest.raises(RnnbenchError, match=r"model=GRU.*: give the rnnbench.Model"):
        rnnbench.check(exported, model=torch.nn.GRU(3, 4))


def test_a_source_that_cannot_be_read_is_a_row(sound):
    source = {"kind": "variant", "variant": "gru", "task": "t", "options": {"size": 3}}
    report = check(Bundle(sound.path, sound.manifest | {"source": source}))
    assert [row.verdict for row in rows_of(report, "eager")] == ["failed"]


def test_an_artifact_that_nothing_runs_is_a_row(sound):
    strange = sound.manifest["artifacts"] | {"strange": {"file": "model.ts"}}
    report = check(Bundle(sound.path, sound.manifest | {"artifacts": strange}))
    (row,) = rows_of(report, "strange")
    assert row.verdict == "not run"


def test_unknown_and_missing_runtimes_are_errors(sound, monkeypatch):
    with pytest.raises(RnnbenchError, match=r"unknown runtime 'fast': choose from .*onnxruntime"):
        check(sound, ["fast"])
    take_away(monkeypatch, "onnxruntime", "onnxruntime is not installed: pip ...")
    with pytest.raises(Unavailable, match="pip"):
        check(sound, ["onnxruntime"])
    (row,) = rows_of(check(sound), "onnx")
    assert (row.verdict, row.reason) == ("not run", "onnxruntime is not installed: pip ...")


def test_the_report_as_text_and_json(sound):
    report = check(sound)
    lines = format_report(report).splitlines()
    assert lines[0] == "model made-gru"
    assert "tolerance needed  noise floor" in lines[1]
    assert len(lines[3:]) == len(report.rows)
    worst = replace(report.rows[0], worst_error=math.inf)
    text = json.dumps(replace(report, rows=(worst,)).to_json(), allow_nan=False)
    assert json.loads(text)["rows"][0]["worst_error"] == "inf"
    both = merge([report, replace(report, ok=False, skipped={"large": "too large"})])
    assert not both.ok
    assert len(both.rows) == 2 * len(report.rows)
    assert format_report(both).splitlines()[-1] == "not compared at made-gru/large: too large"


def test_cases_that_promise_more_than_there_is(sound, tmp_path):
    cases = [*sound.manifest["cases"], {"name": "more", "dims": {}, "seed": 1, "note": ""}]
    with pytest.raises(RnnbenchError, match=r"cases\.npz cannot be read"):
        check(Bundle(sound.path, sound.manifest | {"cases": cases}))


def test_a_pickle_among_the_cases_is_refused(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    names = [f"traced/in/{spec.name}" for spec in bundle.inputs]
    np.savez(bundle.path / "cases.npz", **dict.fromkeys(names, np.array([{}], dtype=object)))
    with pytest.raises(RnnbenchError, match=r"x\.npy holds objects"):
        check(bundle)


def test_a_manifest_can_be_written_again(sound, tmp_path):
    write_manifest(tmp_path, sound.manifest)
    assert json.loads((tmp_path / "manifest.json").read_text()) == sound.manifest


def test_numbers_are_of_usual_sizes_and_enlarged_cases_are_judged(sound):
    """At states of 300 float32 is off by more than anybody's tolerance; that is not its own."""
    report = check(sound, ["onnxruntime"])
    (row,) = [row for row in report.rows if row.output == "y"]
    found = {r.enlarged: [] for r in report.results}
    for result in report.results:
        if "y" in result.outputs:
            found[result.enlarged].append(result.outputs["y"].error)
    assert row.worst_error == max(found[False])
    assert max(found[True]) > row.worst_error
    assert row.cases == len(found[True]) + len(found[False])

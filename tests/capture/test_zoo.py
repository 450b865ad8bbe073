"""Every model of the zoo, in every format, at every case, against its float64 original."""

import pytest

import rnnbench
from tests.zoo import MODELS

FORMATS = ("onnx", "torchscript", "pt2")


def test_the_zoo_is_large_enough():
    assert len(MODELS) >= 40


@pytest.mark.parametrize("name", MODELS)
def test_exports_and_computes_the_same(name, tmp_path):
    entry = MODELS[name]
    bundle = rnnbench.export(entry.build(), formats=FORMATS, out=tmp_path)
    assert bundle.manifest["failed"] == {}
    shapes = {
        tuple(case["dims"].values())
        for case in bundle.manifest["cases"]
        if "skipped" not in case and "of" not in case and all(case["dims"].values())
    }
    assert len(shapes) >= (6 if {"batch", "time"} <= set(bundle.traced) else 2)
    report = rnnbench.check(bundle, isolate=False)
    wrong = [row for row in report.rows if row.verdict != "same" and row.format in FORMATS]
    assert not wrong, wrong
    assert {row.format for row in report.rows} >= set(FORMATS)
    found = tuple(sorted(r["representation"] for r in bundle.manifest["recurrences"]))
    assert found == entry.expect

"""The models of the zoo, in every format, at every case, against their float64 originals.

Half of them in every run, all of them in `make full`: other tests go over all of the zoo as well.
"""

import random

import pytest

import rnnbench
from tests.zoo import MODELS

FORMATS = ("onnx", "torchscript", "pt2")
HALF = frozenset(random.Random(0).sample(sorted(MODELS), len(MODELS) // 2))


def test_the_zoo_is_large_enough():
    assert len(MODELS) >= 40


@pytest.mark.parametrize("name", [name for name in MODELS if name in HALF])
def test_exports_and_computes_the_same(name, tmp_path):
    is_exported_and_computes_the_same(name, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in MODELS if name not in HALF])
def test_the_other_half_computes_the_same(name, tmp_path):
    is_exported_and_computes_the_same(name, tmp_path)


def is_exported_and_computes_the_same(name, tmp_path):
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

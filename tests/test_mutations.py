"""Every artifact of every variant, damaged in every way that applies: each damage is caught."""

import shutil

import pytest

import rnnbench
from rnnbench import variants
from rnnbench.bundle import Bundle
from rnnbench.cases import plan_cases, write_cases
from rnnbench.check import check, format_report
from tests import mutations

NAMES = variants.names()


def make(name):
    ids = variants.reads(name) == "ids"
    options = variants.Options(
        input_size=5,
        hidden_size=4,
        num_layers=2,
        output_size=4,
        vocabulary=9 if ids else None,
    )
    return variants.model(name, options, bundle_name=name)


@pytest.fixture(scope="module", params=NAMES)
def bundle(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("sound")
    return rnnbench.export(make(request.param), formats=("onnx", "torchscript"), out=out)


def copied(bundle, tmp_path):
    target = tmp_path / bundle.path.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundle.path, target)
    return Bundle.open(target)


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_every_damage_is_caught(bundle, tmp_path, format, record_property):
    kinds = mutations.ONNX if format == "onnx" else mutations.TORCHSCRIPT
    runtime = {"onnx": "onnxruntime", "torchscript": "torchscript"}[format]
    caught, missed = [], []
    for kind in kinds:
        other = copied(bundle, tmp_path)
        name = kind if isinstance(kind, str) else kind.__name__
        if format == "onnx":
            applies = mutations.damage_onnx(other.artifacts["onnx"].path, kind, other.traced)
        else:
            applies = mutations.damage_torchscript(other, kind)
        if applies:
            report = check(other, [runtime], isolate=False)
            (missed if report.ok else caught).append(name)
    record_property("mutations", f"{len(caught)}/{len(caught) + len(missed)}")
    assert not missed, f"{bundle.name} {format}: {missed}"
    assert len(caught) >= 12, (bundle.name, format, caught)


def test_no_sound_artifact_is_failed_at_other_inputs(bundle, tmp_path):
    """50 seeds over all variants; tests/test_check.py has 50 seeds of weights."""
    model = make(bundle.name)
    for seed in range(1, 50 // len(NAMES) + 2):
        other = copied(bundle, tmp_path)
        plans = plan_cases(model, other.traced, seed=1000 * seed)
        cases = write_cases(model, other.path, plans)
        report = check(Bundle(other.path, other.manifest | {"cases": cases}), isolate=False)
        assert report.ok, f"seed {1000 * seed}\n{format_report(report)}"

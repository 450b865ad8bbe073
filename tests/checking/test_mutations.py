"""Every artifact of every variant, damaged in every way that applies: each damage is caught.

The variants have no lengths, so a network that has some stands beside them.
"""

import shutil

import pytest
import torch
from torch import nn

from rnnbench import Model, TensorSpec
from rnnbench.cases.cases import plan_cases
from rnnbench.cases.stored import write_cases
from rnnbench.checking.check import check
from rnnbench.commands._console import format_report
from rnnbench.core.bundle import Bundle
from rnnbench.models import variants
from tests.helpers import mutations_onnx, mutations_torchscript
from tests.helpers.tiers import samples

NAMES = (*variants.names(), "packed")
SEEDS = samples(50, 2000)
LISTED = {  # what each artifact of a GRU must be damaged with; in both formats
    *("swap_gates", "drop_linear_before_reset", "transpose_recurrence", "drop_bias"),
    *("reverse_direction", "freeze_length", "freeze_batch", "zero_initial_state"),
    *("late_by_one_step", "swap_layers", "scale_one_weight"),
}


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(5, 4, 2)

    def forward(self, x, lengths, h0):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        packed, hn = self.gru(packed, h0)
        return nn.utils.rnn.pad_packed_sequence(packed)[0], hn


@pytest.fixture(scope="module")
def packed(shared):
    inputs = (
        TensorSpec("x", ("time", "batch", 5)),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (2, "batch", 4), role="state"),
    )
    model = Model(Packed(), inputs, ("y", "hn"), states={"h0": "hn"})
    formats = ("onnx", "torchscript")
    return model, shared.export("packed of mutations", lambda: model, formats)


@pytest.fixture(params=NAMES)
def exported(request, variant_bundle, packed):
    return packed if request.param == "packed" else variant_bundle(request.param)


def copied(bundle, tmp_path):
    target = tmp_path / bundle.path.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundle.path, target)
    return Bundle.open(target)


def is_caught(bundle, runtime):
    """Whether the check fails; the cases in chunks take long, and come where they have to."""
    every = bundle.manifest["cases"]
    for cases in ([case for case in every if "of" not in case], every):
        report = check(
            Bundle(bundle.path, bundle.manifest | {"cases": cases}), [runtime], isolate=False
        )
        if not report.ok:
            return True
    return False


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_every_damage_is_caught(exported, tmp_path, format, record_property):
    _, bundle = exported
    damages = {"onnx": mutations_onnx, "torchscript": mutations_torchscript}[format]
    runtime = {"onnx": "onnxruntime", "torchscript": "torchscript"}[format]
    caught, missed = [], []
    for kind in damages.KINDS:
        other = copied(bundle, tmp_path)
        if damages.damage(other, kind):
            name = kind if isinstance(kind, str) else kind.__name__
            (caught if is_caught(other, runtime) else missed).append(name)
    record_property("mutations", f"{len(caught)}/{len(caught) + len(missed)}")
    assert not missed, f"{bundle.name} {format}: {missed}"
    assert len(caught) >= 12, (bundle.name, format, caught)
    if bundle.name == "gru":
        assert set(caught) >= LISTED
    assert ("ignore_lengths" in caught) == (bundle.name == "Packed")


def test_no_sound_artifact_is_failed_at_other_inputs(exported, tmp_path):
    """50 seeds over all networks; tests/checking/test_check.py has 50 seeds of weights."""
    model, bundle = exported
    for seed in range(1, SEEDS // len(NAMES) + 2):
        other = copied(bundle, tmp_path)
        plans = plan_cases(model, other.traced, seed=1000 * seed)
        cases = write_cases(model, other.path, plans)
        sound = Bundle(other.path, other.manifest | {"cases": cases})
        report = check(sound, ["onnxruntime", "torchscript"], isolate=False)
        assert report.ok, f"seed {1000 * seed}\n{format_report(report)}"

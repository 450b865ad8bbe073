"""Every hazard: found in a file that has it, and not in one that almost has it."""

import pytest

import rnnbench
from rnnbench.core import plugins
from rnnbench.core.manual import page
from tests.docs.pages import ROOT, anchors
from tests.helpers.hazard_files import ALMOST, HAS
from tests.helpers.stock_files import (
    Layer,
    Loop,
    Normed,
    dropout,
    edited,
    exported,
    in_training,
    old,
    scripted,
    traced,
)

NAMES = plugins.names("hazards")


def found_in(path, name):
    return [h for h in rnnbench.inspect(path).hazards if h.name == name]


def test_every_hazard_has_both_files_and_a_section():
    assert (tuple(sorted(HAS)), tuple(sorted(ALMOST))) == (NAMES, NAMES)
    assert set(NAMES) <= set(anchors(ROOT / page("inspect.md")))


@pytest.mark.parametrize("name", NAMES)
def test_each_hazard_is_found_by_name(tmp_path, name):
    found = found_in(HAS[name](tmp_path / "file"), name)
    assert found
    assert all(h.remedy and h.where and h.what for h in found)


@pytest.mark.parametrize("name", NAMES)
def test_a_hazard_is_not_found_where_it_almost_is(tmp_path, name):
    assert found_in(ALMOST[name](tmp_path / "file"), name) == []


@pytest.mark.parametrize(
    ("write", "severity"),
    [
        (old, "error"),  # declared dynamic, and computes five steps
        (traced, "error"),  # takes any length, and computes five steps
        (
            lambda m, p: old(m, p, dynamic=False),
            "warning",
        ),  # declares five steps: others are refused
        (exported, "warning"),
    ],
)
def test_a_frozen_length_is_an_error_where_nothing_refuses_others(tmp_path, write, severity):
    report = rnnbench.inspect(write(Loop().eval(), tmp_path / "file"))
    (found,) = [h for h in report.hazards if h.name == "frozen_length"]
    silent = "computes 5 steps, whatever the length of its input"
    what = silent if severity == "error" else "takes 5 steps and no other number"
    assert (found.severity, found.what) == (severity, what)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: edited(p, dropout),
        lambda p: traced(Layer(num_layers=2, dropout=0.3), p),
    ],
)
def test_dropout_in_training_mode_in_the_other_formats(tmp_path, make):
    names = {h.name for h in rnnbench.inspect(make(tmp_path / "file")).hazards}
    assert "training_dropout" in names


@pytest.mark.parametrize("write", [in_training, traced, scripted, exported])
def test_a_batch_norm_in_training_mode(tmp_path, write):
    def found(module):
        report = rnnbench.inspect(write(module, tmp_path / "file"))
        return [h.what for h in report.hazards if h.name == "training_dropout"]

    assert any("a batch norm in training mode" in what for what in found(Normed().train()))
    if write is not in_training:
        assert found(Normed().eval()) == []

"""Every target that can be built here, over three bundles: right, and not right when damaged."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import rnnbench
from rnnbench import RnnbenchError, variants
from rnnbench.bundle import Bundle
from rnnbench.commands.conform import command as conform_command
from rnnbench.commands.embed import command as embed_command
from rnnbench.conform import CACHE, conform, format_conformed
from rnnbench.embed import embed, find_target, targets
from rnnbench.embed.header import c_string
from rnnbench.golden import golden_records, read_arrays
from rnnbench.variants import Options

FORMATS = ("onnx", "torchscript")
TARGETS = targets()
# As `rnnbench export --task` makes them, without the training.
MODELS = {
    "hello-elman": ("elman", Options(5, 8, 1, output_size=5)),
    "weather-lstm": ("lstm", Options(4, 8, 2, output_size=1)),
    "text-gru": ("gru", Options(6, 8, 1, output_size=9)),
}


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles")
    return {
        name: rnnbench.export(variants.model(v, options, bundle_name=name), FORMATS, out)
        for name, (v, options) in MODELS.items()
    }


@pytest.fixture(scope="session", autouse=True)
def kept():
    """What one build downloads is there for the next."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, folder)
        yield


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_a_project_verifies_itself(bundles, target, name):
    (row,) = conform(bundles[name], [target])
    if row.verdict == "not run":
        pytest.skip(f"{target}: {row.reason}")
    assert row.verdict == "same", format_conformed([row])
    whole = sum("skipped" not in c and "of" not in c for c in bundles[name].manifest["cases"]) - 2
    assert row.cases > whole, "nothing was streamed"
    assert row.worst_error <= row.allowed


@pytest.mark.parametrize("target", TARGETS)
def test_a_damaged_artifact_fails(bundles, target, tmp_path):
    """The artifact of another model with the same names and shapes."""
    sound = bundles["weather-lstm"]
    variant, options = MODELS["weather-lstm"]
    other = variants.model(variant, replace(options, seed=7), bundle_name="weather-lstm")
    damaged = rnnbench.export(other, FORMATS, tmp_path)
    for artifact in sound.artifacts.values():
        (damaged.path / "cases.npz").write_bytes((sound.path / "cases.npz").read_bytes())
        assert (damaged.path / artifact.path.name).is_file()
    (row,) = conform(Bundle.open(damaged.path), [target])
    if row.verdict == "not run":
        pytest.skip(f"{target}: {row.reason}")
    assert row.verdict == "DIFFERS", format_conformed([row])
    assert "are off" in row.reason

"""Models as `rnnbench export --task` makes them, without the training; and artifacts damaged."""

from dataclasses import replace

import rnnbench
from rnnbench.core.bundle import Bundle
from rnnbench.models import variants
from rnnbench.models.variants import Options

FORMATS = ("onnx", "torchscript")
MODELS = {
    "hello-elman": ("elman", Options(5, 8, 1, output_size=5)),
    "weather-lstm": ("lstm", Options(4, 8, 2, output_size=1)),
    "text-gru": ("gru", Options(6, 8, 1, output_size=9)),
}


def model(name, seed=0):
    variant, options = MODELS[name]
    return variants.model(variant, replace(options, seed=seed), bundle_name=name)


def export(name, out, formats=FORMATS, seed=0, **more):
    return rnnbench.export(model(name, seed), formats, out, **more)


def with_other_weights(sound, out):
    """The artifacts of another model with the same names and shapes, beside the sound cases."""
    damaged = export(sound.name, out, seed=7)
    assert {a.path.name for a in sound.artifacts.values()} == {
        a.path.name for a in damaged.artifacts.values()
    }
    (damaged.path / "cases.npz").write_bytes((sound.path / "cases.npz").read_bytes())
    return Bundle.open(damaged.path)

"""Every model of the zoo, in every format, computes what the module computes."""


import pytest
from zoo import ENTRIES

import rnnbench
from rnnbench.model import sample_inputs  # noqa: F401

FORMATS = ("onnx", "torchscript", "pt2")

# Torch itself says this once per process of a layer with projections; the user cannot help it.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")


def exported(name, folder):
    """The bundle and the report of an entry; `folder` is None where they were made before."""
    bundle = rnnbench.export(ENTRIES[name].build(), formats=FORMATS, out=folder)
    return bundle, rnnbench.check(bundle)

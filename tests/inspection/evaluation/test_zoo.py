"""Exported .onnx of the zoo in float64, against the module in float64: every case of a bundle."""

import numpy as np
import pytest

import rnnbench
from rnnbench.cases.stored import read_cases
from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator
from tests.helpers.tiers import samples
from tests.zoo import MODELS

FEW = 12
TRIED = sorted(MODELS)[:: max(1, len(MODELS) // samples(FEW, len(MODELS)))]

# The module computes with a float64 number (0.9), the file with that of float32.
CONSTANTS = {"BuffersWithoutAShape": 1e-6}
# The module runs in float32 alone, and is its own reference.
NARROW = {"MadeForInference": 1e-6}


@pytest.mark.parametrize("name", TRIED)
def test_an_exported_model(tmp_path, name):
    bundle = rnnbench.export(MODELS[name].build(), ("onnx",), tmp_path)
    evaluate = Evaluator(bundle.artifacts["onnx"].path)
    allowed = {**CONSTANTS, **NARROW}.get(name, 1e-9)
    cases = read_cases(bundle)
    assert len(cases) > 3
    for case in cases:
        try:
            got = evaluate(case.inputs)
        except RnnbenchError:
            if case.empty:  # the first of no steps, say
                continue
            raise
        for output, expected in case.reference.items():
            array = got[output]
            assert array.shape == expected.shape, (case.name, output)
            if expected.dtype.kind != "f":
                np.testing.assert_array_equal(array, expected)
                continue
            greatest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
            np.testing.assert_allclose(
                array, expected, rtol=0, atol=allowed * greatest, err_msg=f"{case.name} {output}"
            )

"""No false alarm: what `inspect` says of the zoo's bundles, all of which are proved to be right."""

import pytest

import rnnbench
from tests.helpers.tiers import samples
from tests.zoo import MODELS

FEW = 16
TRIED = sorted(MODELS)[:: max(1, len(MODELS) // samples(FEW, len(MODELS)))]
FORMATS = ("onnx",) if len(TRIED) < len(MODELS) else ("onnx", "torchscript", "pt2")

NOTES = {
    *("no_state_output", "no_initial_state", "backward_direction", "engine_gaps", "lost_state"),
    "baked_state",  # a learned one
}
"""What concerns streaming and other engines: it is true of sound files, too."""

TRUE = {
    "GreedySixSteps": {"unrolled_loop"},
    "CutAtANumber": {"constant_positions"},  # the first row's length stands for all
}


@pytest.mark.parametrize("name", sorted({*TRIED, *TRUE}))
def test_no_hazard_of_a_sound_file_is_untrue(tmp_path, name):
    bundle = rnnbench.export(MODELS[name].build(), FORMATS, tmp_path)
    for artifact in bundle.artifacts.values():
        report = rnnbench.inspect(artifact.path)
        said = {h.name for h in report.hazards}
        assert said <= NOTES | TRUE.get(name, set())
        assert report.ok
        assert all(h.severity == "note" for h in report.hazards if h.name in NOTES)
        directions = {r.direction for r in report.recurrences}
        assert ("backward_direction" in said) == bool(directions - {"forward"})
        streams = any(r.state_out == "dropped" for r in report.recurrences)
        assert streams or "no_state_output" not in said

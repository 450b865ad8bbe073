"""C++ with an AOTInductor package, apart from the other targets because a package takes long."""

import pytest

import rnnbench
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import conform, format_conformed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options

OPTIONS = Options(6, 8, 1, output_size=9)


def test_a_package_in_cpp_is_right_and_not_with_other_weights(tmp_path):
    missing = find_target("cpp-aoti").missing()
    if missing:
        pytest.skip(missing)
    sound = variants.model("gru", OPTIONS, bundle_name="text-gru")
    bundle = rnnbench.export(sound, ("aoti",), tmp_path / "sound")
    (row,) = conform(bundle, ["cpp-aoti"])
    assert row.verdict == "same", format_conformed([row])
    assert row.worst_error <= row.allowed

    weights = variants.model("gru", Options(6, 8, 1, output_size=9, seed=7), bundle_name="text-gru")
    other = rnnbench.export(weights, ("torchscript",), tmp_path / "other")
    (bundle.path / "cases.npz").write_bytes((other.path / "cases.npz").read_bytes())
    (row,) = conform(Bundle.open(bundle.path), ["cpp-aoti"])
    assert row.verdict == "DIFFERS", format_conformed([row])

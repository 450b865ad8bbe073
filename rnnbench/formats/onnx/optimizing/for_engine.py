"""The optimised file in the form that an engine runs, as `export --for` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.optimizing.findings import Finding
from rnnbench.formats.onnx.optimizing.loading import Given, load
from rnnbench.formats.onnx.optimizing.proving import Reference
from rnnbench.formats.onnx.optimizing.saving import write_whole

_ROUNDED = 1e-6  # of `distance`: sums of biases are float32 in the file


def check(profile: str) -> None:
    """Stops at a profile that there is not, before anything is done.

    Raises:
        RnnbenchError: there is no such profile.
    """
    from rnnbench.formats.onnx.profiles import check_profile

    check_profile(profile, "runtime for --for")


def for_engine(given: Given, optimized: Path, out: Path, profile: str) -> tuple[Any, Finding]:
    """Writes it, whole or not at all; ONNX's own form of it, and what is said of it.

    Args:
        given: the file before, for messages.
        optimized: the file that is rewritten.
        out: the new one.
        profile: `portable`, an engine, or a runtime's release.

    Raises:
        RnnbenchError: there is no such profile, or the file has no such form.
    """
    from rnnbench.formats.onnx.profiles import rewrite

    with temporary_folder() as folder:
        path = Path(folder) / "model.onnx"
        said = rewrite(optimized, path, profile)
        before, after = load(optimized), load(path)
        reference = Reference(before.proto, optimized.parent, {}, ())
        proof = reference.compare(after.proto, tolerance=_ROUNDED)
        if not proof.ok:
            raise RnnbenchError(
                f"{given.path} has no form for {profile} that can be proved ({proof}): "
                "leave --for away"
            )
        write_whole(path, out)
    result = f"opset {after.opset}, {said['nodes']:,} nodes"
    return after.proto, Finding("the whole file", f"for {profile}", True, result, str(proof))

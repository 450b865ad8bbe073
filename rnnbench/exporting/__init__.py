"""A model, or a file that somebody wrote -> Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.collector import importing
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.exporting import of_file, of_module
from rnnbench.exporting.calibration import Given, calls_in
from rnnbench.exporting.writers import check_precision, find_writers
from rnnbench.formats._format import WriteOptions

DEFAULT = ("torchscript", "onnx")


def export(  # noqa: PLR0913  (keywords of a public function)
    model: Model | str | Path,
    formats: Sequence[str] = DEFAULT,
    out: str | Path = "exports",
    *,
    metadata: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    opset: int | None = None,
    keep_loops: bool = False,
    allow_frozen: bool = False,
    profile: str | None = None,
    pin: Mapping[str, int] | None = None,
    precision: str | None = None,
    keep: Sequence[str] = (),
    sensitivity: bool = False,
    calibrate: Given | Sequence[Given] = (),
) -> Bundle:
    """Writes the bundle `out/<model.name>/`, whole or not at all.

    Args:
        model: a module, and the names of its inputs and outputs; or a file that somebody wrote,
            ONNX or TorchScript, by its path, or as `rnnbench.model_of` declares it: the bundle
            holds it byte for byte.
        formats: plugins in `rnnbench/formats/`.
        out: the folder that the bundle's folder goes to; a bundle of that name is replaced.
        metadata: what else is to be said of the model (JSON): task, variant, alphabet ...
        source: where the module's Python code is, for whoever wants to run it again. That you
            exported from it is recorded (see `core/trust.py`).
        opset: of ONNX, 17 to 21.
        keep_loops: leave a loop a scan where a fused layer could stand (for comparison).
        allow_frozen: accept a model whose length cannot be dynamic; the manifest says so.
        profile: also write ONNX for other engines, the format `portable`: `portable` is for all,
            or name one (see rnnbench.formats.onnx.profiles).
        pin: dimensions that are fixed in that file, with their sizes.
        precision: what the weights are rounded to: float16, bfloat16, int8-weights, or
            int8-dynamic, int8-dynamic-ort and int8-static, in which values are rounded as well. The
            bundle is that of the rounded model; ONNX and C keep its weights in so many bits (the
            last two in ONNX alone). The module that is given stays as it is.
        keep: patterns of layers whose weights are not rounded: `decoder`, `*.out`, `rnn.*_l0`.
        calibrate: for int8-static, what the ranges of values are measured on: an .npz with one
            array per input, or the arrays by name; several for several calls. States that are left
            out are zero.
        sensitivity: also measure what rounding each layer alone costs; it is in the manifest.

    Returns:
        The bundle. A format that the model has no form in is in its manifest with the reason.

    Raises:
        RnnbenchError: the declaration does not fit the module, the module cannot be captured, or
            no format could be written. A bundle that was there before is untouched.
    """
    from rnnbench.models.files.declare import FileModel, model_of

    if isinstance(model, str | Path):
        model = model_of(model)
    if not isinstance(model, Model):
        raise RnnbenchError(
            f"export takes a rnnbench.Model, not a {type(model).__name__}: declare its inputs and "
            "outputs, as `rnnbench init` drafts them"
        )
    asked = WriteOptions(
        opset=opset,
        profile=profile or "portable",
        pin=dict(pin or {}),
        precision=precision or "",
        keep=tuple(keep),
        sensitivity=sensitivity,
        keep_loops=keep_loops,
        calibration=calls_in(calibrate, precision or ""),
    )
    if (keep or sensitivity) and not precision:
        raise RnnbenchError(
            "keep and sensitivity are about layers that are rounded: give a precision as well"
        )
    given = (formats,) if isinstance(formats, str) else tuple(formats)
    wanted = tuple(plugins.canonical("formats", name) for name in given)
    if profile is not None or pin:
        wanted = (*wanted, "portable")
    if isinstance(model, FileModel):
        if given == DEFAULT and model.format == "onnx":  # nothing was asked for
            wanted = tuple(name for name in wanted if name not in DEFAULT)
        wanted = tuple(dict.fromkeys((model.format, *wanted)))
    writers = find_writers(model, wanted, asked)
    if precision is not None:
        check_precision(precision, writers)

    with importing():
        from rnnbench.capture.kept_by_torch import caches_as_they_were
        from rnnbench.capture.this_thread import exporting_alone
        from rnnbench.models.as_it_was import left_as_it_was

    with exporting_alone(), left_as_it_was(model.module), caches_as_they_were():
        loops = {"keep_loops": keep_loops, "allow_frozen": allow_frozen}
        rate = {} if model.sample_rate is None else {"sample_rate": model.sample_rate}
        said = {"metadata": {**rate, **(metadata or {})}, "source": dict(source or {})}
        if isinstance(model, FileModel):
            return of_file.write(model, writers, asked, out, loops, said)
        return of_module.write(model, writers, asked, out, loops, said)

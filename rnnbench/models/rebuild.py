"""From a bundle back to the module: as its source builds it, and with the bundle's weights."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Model
from rnnbench.core.recorded import importing_recorded
from rnnbench.core.trust import FLAG, Code, find_code

if TYPE_CHECKING:
    import torch

    from rnnbench.core.bundle import Bundle


def trained(bundle: Bundle) -> Model:
    """The model as its source builds it, with the bundle's weights.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    from rnnbench.models.calls import read_weights

    model = rebuild(bundle)
    if model.dims.keys() == bundle.dims.keys():  # those that export found, too
        model = replace(model, dims=bundle.dims)
    try:
        model.module.load_state_dict(read_weights(bundle.path))
    except RuntimeError as error:
        raise RnnbenchError(
            f"the weights of {bundle.path} do not fit the module that its source builds "
            f"({one_line(error)}): the code has changed, export it again"
        ) from None
    return model


def twin_of(bundle: Bundle) -> str | None:
    """The variant's other form, loop or fused layer; None where there is none."""
    from rnnbench.models import variants

    try:
        options = variants.Options(**bundle.source["options"])
        return variants.twin_name(bundle.source["variant"], options)
    except (KeyError, TypeError, RnnbenchError):
        return None  # no variant; or loading the module itself says what is wrong with the source


def twin(bundle: Bundle) -> torch.nn.Module:
    """The variant's other form, loop or fused layer, with the bundle's weights.

    Raises:
        Unavailable: it has no other form.
        RnnbenchError: the weights do not fit it.
    """
    from rnnbench.models import variants
    from rnnbench.models.calls import read_weights

    options = variants.Options(**bundle.source["options"])
    other = variants.twin(bundle.source["variant"], options)
    if other is None:
        raise Unavailable(f"{bundle.source['variant']} has no other form")
    name, convert = other
    module = variants.build(name, options)
    try:
        module.load_state_dict(convert(read_weights(bundle.path)), strict=True)
    except (RuntimeError, KeyError) as error:
        raise RnnbenchError(f"{name}: {one_line(error)}") from None
    return module


def rebuild(bundle: Bundle) -> Model:
    """The model as its source builds it, without the bundle's weights.

    Code that the bundle names runs where this user exported from it, or the bundle was opened with
    `trust_code`.

    Raises:
        Unavailable: the bundle does not say where its code is, or it is not here, or is not run.
    """
    source = bundle.source
    kind = source.get("kind")
    if kind == "variant":
        from rnnbench.models.training.train import rebuild as rebuild_variant

        return rebuild_variant(source)
    if bundle.of_file:
        from rnnbench.models.files.declare import of_bundle

        return of_bundle(bundle)
    if kind in ("file", "import") and isinstance(source.get("spec"), str):
        spec, lift_state = source["spec"], bool(source.get("lift_state"))
        _refuse_code_in_the_bundle(bundle, spec)
        from rnnbench.models import sources

        code = None if bundle.trust_code else _recorded(spec, str(source.get("sha256") or ""))
        try:
            return sources.load(spec, lift_state=lift_state, code=code)
        except RnnbenchError as error:
            raise Unavailable(
                f"the code of the model cannot be loaded here ({one_line(error)})"
            ) from error
    raise Unavailable(
        f"{bundle.path} does not say where the code of its model is: "
        "export a FILE.py or package.module:function to have it rebuilt"
    )


def _recorded(spec: str, sha256: str) -> Code:
    """What the record of exports has of the code.

    Raises:
        Unavailable: it is not run.
    """
    from rnnbench.models.sources import importing_from

    code = find_code(spec, sha256)
    if not spec.partition(":")[0].endswith(".py"):
        top = spec.partition(":")[0].partition(".")[0]
        try:
            with importing_from(*code.folders), importing_recorded(code):
                found = importlib.util.find_spec(top)  # which runs nothing of a package at the top
        except ImportError as error:
            raise Unavailable(
                f"the code that the bundle names ({spec}) is not run: {one_line(error)}; export it "
                f"again, or give {FLAG}"
            ) from None
        origin = Path(found.origin if found and found.origin else top).resolve()
        if str(origin) != code.root:
            raise Unavailable(
                f"the code that the bundle names ({spec}) is not run: {top!r} is {origin} here, "
                f"and you exported {code.root}; export it again, or give {FLAG}"
            )
    return code


def _refuse_code_in_the_bundle(bundle: Bundle, spec: str) -> None:
    """Bundles come from anywhere: opening one never runs Python that came with it."""
    file = Path(spec if spec.endswith(".py") else spec.rpartition(":")[0])
    if file.suffix == ".py" and file.resolve().is_relative_to(bundle.path.resolve()):
        raise Unavailable(
            f"{spec} is inside of the bundle, and code that came with a bundle is not run: "
            "move it out, if you trust it, and export again"
        )


def declared(bundle: Bundle) -> Model:
    """The declaration, for making inputs where the module's code is not here."""
    return Model(cast(Any, None), **bundle.declaration)

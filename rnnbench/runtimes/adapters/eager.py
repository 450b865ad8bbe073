"""The module itself in PyTorch, rebuilt from the bundle's source and weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    import torch

    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model

FORMATS: tuple[str, ...] = ("eager",)
MODES: tuple[str, ...] = ("twin",)
"""`twin`: a built-in variant's other form, loop or fused layer, with the same weights."""

CUDA_ACCURACY = 2e-5
"""cuDNN's tanh is coarser: up to 1.1e-5 was seen in float32 (an H200, torch 2.11)."""


def available() -> str | None:
    """Why PyTorch is not here; None where it is."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine."""
    import torch

    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("cpu", *(("cuda", *cuda) if cuda else ()))


def load(
    bundle: Bundle | None,
    path: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The module with the bundle's weights, or the variant's other form with the same.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call

    if bundle is None:
        raise RnnbenchError("eager runs the module of a bundle: give the bundle")
    module = (_twin(bundle) if mode == "twin" else trained(bundle).module).to(device).eval()
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, inputs, outputs, arrays, device=device)

    return run


def trained(bundle: Bundle) -> Model:
    """The model as its source builds it, with the bundle's weights.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    from rnnbench.models.calls import read_weights

    model = rebuild(bundle)
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


def _twin(bundle: Bundle) -> torch.nn.Module:
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

    Raises:
        Unavailable: the bundle does not say where its code is, or the code is not here.
    """
    source = bundle.source
    kind = source.get("kind")
    if kind == "variant":
        from rnnbench.models.training.train import rebuild as rebuild_variant

        return rebuild_variant(source)
    if kind in ("file", "import") and isinstance(source.get("spec"), str):
        _refuse_code_in_the_bundle(bundle, source["spec"])
        from rnnbench.models import sources

        try:
            model: Model = sources.load(source["spec"])
            return model
        except RnnbenchError as error:
            raise Unavailable(
                f"the code of the model cannot be loaded here ({one_line(error)})"
            ) from error
    raise Unavailable(
        f"{bundle.path} does not say where the code of its model is: "
        "export a FILE.py or package.module:function to have it rebuilt"
    )


def _refuse_code_in_the_bundle(bundle: Bundle, spec: str) -> None:
    """Bundles come from anywhere: opening one never runs Python that came with it."""
    file = Path(spec if spec.endswith(".py") else spec.rpartition(":")[0])
    if file.suffix == ".py" and file.resolve().is_relative_to(bundle.path.resolve()):
        raise Unavailable(
            f"{spec} is inside of the bundle, and code that came with a bundle is not run: "
            "move it out, if you trust it, and export again"
        )

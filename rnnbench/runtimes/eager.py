"""The module itself in PyTorch, rebuilt from the bundle's source and weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.errors import RnnbenchError, Unavailable, one_line
from rnnbench.model import Arrays

if TYPE_CHECKING:
    from rnnbench.bundle import Bundle
    from rnnbench.model import Model

FORMATS: tuple[str, ...] = ("eager",)


def available() -> str | None:
    """Why PyTorch is not here; None where it is."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine."""
    import torch

    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("cpu", *(("cuda", *cuda) if cuda else ()))


def load(
    bundle: Bundle, path: Path | None = None, *, device: str = "cpu", threads: int | None = None
) -> Callable[[Arrays], Arrays]:
    """The module with the bundle's weights.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    from rnnbench.modules import call, read_weights
    from rnnbench.threads import torch_threads

    model = rebuild(bundle)
    try:
        model.module.load_state_dict(read_weights(bundle.path))
    except RuntimeError as error:
        raise RnnbenchError(
            f"the weights of {bundle.path} do not fit the module that its source builds "
            f"({one_line(error)}): the code has changed, export it again"
        ) from None
    module = model.module.to(device).eval()

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, bundle.inputs, bundle.outputs, arrays, device=device)

    return run


def rebuild(bundle: Bundle) -> Model:
    """The model as its source builds it, without the bundle's weights.

    Raises:
        Unavailable: the bundle does not say where its code is, or the code is not here.
    """
    source = bundle.source
    kind = source.get("kind")
    if kind == "variant":
        from rnnbench.train import rebuild as rebuild_variant

        return rebuild_variant(source)
    if kind in ("file", "import") and isinstance(source.get("spec"), str):
        _refuse_code_in_the_bundle(bundle, source["spec"])
        from rnnbench import sources

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

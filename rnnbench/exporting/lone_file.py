"""A file where a bundle belongs: one is made of it, for as long as it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise
from rnnbench.core.standing import stands_for
from rnnbench.core.temporary import temporary_folder
from rnnbench.models.files.inputs import KINDS, FileInputs


def is_lone_file(target: Bundle | str | Path) -> bool:
    """Whether a target is a file that can stand for a module, ONNX or TorchScript."""
    if isinstance(target, Bundle) or not Path(target).is_file():
        return False
    found = recognise(target)
    return found is not None and found.kind in KINDS


@contextmanager
def opened(bundle: Bundle | str | Path, *, trust_code: bool = False) -> Iterator[Bundle]:
    """A bundle, or what is made of a file that needs no more to be said of it.

    Args:
        bundle: what `export` returned, its folder, or a file (ONNX, TorchScript).
        trust_code: as in `Bundle.open`.

    Raises:
        RnnbenchError: it is none of these, or of a file it cannot be told what to feed.
    """
    if isinstance(bundle, Bundle):
        yield bundle
    elif is_lone_file(bundle):
        with _bundle_of(Path(bundle), None) as folder:
            yield Bundle.open(folder, trust_code=trust_code)
    else:
        yield Bundle.open(bundle, trust_code=trust_code)


@contextmanager
def bundles_of(
    targets: Sequence[str | Path], given: FileInputs | None = None
) -> Iterator[tuple[str | Path, ...]]:
    """The targets, each file among them as the folder of a bundle that is made of it.

    Args:
        targets: folders of bundles, files, and what else a verb takes.
        given: what is said of a file's inputs.

    Raises:
        RnnbenchError: of a file it cannot be told what to feed; or something is said of inputs, and
            none of the targets is a file.
    """
    files = [target for target in targets if is_lone_file(target)]
    if given is not None and given != FileInputs() and not files:
        raise RnnbenchError(
            "--set, --shape, --high and --state say what a file takes (.onnx, TorchScript), and "
            "none is given: a bundle knows it"
        )
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(_bundle_of(Path(target), given)) if target in files else target
            for target in targets
        )


@contextmanager
def _bundle_of(path: Path, given: FileInputs | None) -> Iterator[Path]:
    from rnnbench.exporting import export
    from rnnbench.exporting.apart import export_apart
    from rnnbench.models.files.declare import declared

    found = recognise(path)
    with temporary_folder() as folder:
        if found is not None and found.kind == "torchscript":
            made = export_apart(path, given or FileInputs(), folder)
        else:
            made = export(declared(path, given), out=folder).path
        with stands_for(made, path):
            yield made

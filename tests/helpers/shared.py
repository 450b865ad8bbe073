"""What a run of the tests makes once, however many processes (pytest-xdist) it has."""

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

import rnnbench
from rnnbench import Model
from rnnbench.core.bundle import Bundle


class Shared:
    """Folders by name below one folder, each filled by whichever process needs it first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def folder(self, name: str, fill: Callable[[Path], object]) -> Path:
        """The folder of that name; leave it as it is, or copy it first."""
        name = re.sub(r"[^\w.-]+", "-", name)
        folder, partial = self.root / name, self.root / f"{name}.partial"
        with FileLock(self.root / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                fill(partial)
                partial.rename(folder)
        return folder

    def export(
        self, name: str, build: Callable[[], Model], formats: tuple[str, ...], **options
    ) -> Bundle:
        """The bundle of a model; `name` tells it from all others of the run."""

        def fill(out: Path) -> None:
            rnnbench.export(build(), formats, out, **options)

        (path,) = (p for p in self.folder(name, fill).iterdir() if p.is_dir())
        bundle = Bundle.open(path)
        assert bundle.manifest["failed"] == {}
        return bundle


def once_per_process(patch) -> None:
    """Keeps the table of operators that torch.onnx builds anew for every export.

    It is half of what an export of a small model costs. Each export gets a copy, since it adds our
    operators to it.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    build = functools.cache(ONNXRegistry.from_torchlib)

    def copied(**options):
        built = build(**options)
        registry = ONNXRegistry()
        vars(registry).update(vars(built))
        registry.functions = {name: list(found) for name, found in built.functions.items()}
        return registry

    patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))

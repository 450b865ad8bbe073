"""A bundle's folder appears whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rnnbench.core.bundle import is_bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.whole import whole_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@contextmanager
def writing(out: str | Path, name: str) -> Iterator[Path]:
    """Yields a new folder in `out` that becomes `out/name` when the block ends well.

    Until then, and on any error, a bundle that was there before stays as it is. What a killed run
    left behind is cleared up.

    Raises:
        RnnbenchError: the name leads outside `out`, or something that is no bundle has it.
    """
    target = _target(Path(out), name)
    with whole_folder(target, still_allowed=partial(_target, Path(out), name)) as folder:
        yield folder


def _target(out: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise RnnbenchError(
            f"bundle name {name!r}: use letters, digits, '.', '_' and '-' "
            "(it becomes a folder inside --out)"
        )
    target = out / name
    if target.is_symlink():
        raise RnnbenchError(f"{target} is a link: remove it, or choose another --out")
    try:
        empty = target.is_dir() and not any(target.iterdir())
    except PermissionError:  # nobody can say what is in it
        empty = False
    if target.exists() and not empty and not is_bundle(target):
        raise RnnbenchError(
            f"{target} is there and is not a bundle: move it away, or choose another --out"
        )
    return target

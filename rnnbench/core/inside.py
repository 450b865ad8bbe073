"""Names of files that came with a folder: none of them leads out of it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath


def leads_outside(name: str) -> bool:
    """Whether a name leads out of the folder that it is in, on any system.

    Both flavours: what came from another system is refused here as it would be there.
    """
    foreign = PureWindowsPath(name)
    parts = {*PurePosixPath(name).parts, *foreign.parts}
    absolute = PurePosixPath(name).is_absolute() or bool(foreign.drive or foreign.root)
    return not name or "\0" in name or absolute or ".." in parts


def links_outside(folder: Path, name: str) -> bool:
    """Whether a name is out of a folder once its links are followed, or they have no end."""
    try:
        return not (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL, a loop of links
        return True

"""The exported formats: one file each.

A file has the same few names as its neighbours: `SUFFIX`, `available() -> str | None` (why the
format cannot be written here) and `write(captured, path, *, metadata, ...) -> dict` (what the
manifest says of the artifact).
"""

"""What is known of an engine and a file: the layers in it that the engine does not compute."""

from __future__ import annotations

from pathlib import Path

from rnnbench import runtimes


def known_gaps(runtime: str, path: Path | None) -> list[str]:
    """A sentence for each thing in a file that a runtime is known not to compute, and a way out.

    Args:
        runtime: its name.
        path: the file; nothing is known of one that is no ONNX.
    """
    found = runtimes.get(runtime).gaps
    if not found or path is None or path.suffix != ".onnx" or not path.is_file():
        return []
    import onnx_ir as ir

    from rnnbench.formats.onnx.present import find_gaps
    from rnnbench.formats.onnx.profiles import PROFILE, able

    try:
        model = ir.load(path)
    except Exception:  # damaged: the runtime itself has said so
        return []
    written_for = model.metadata_props.get(PROFILE, "")
    said = []
    for node, gap in find_gaps(model, found):
        mended = gap.rewrite and written_for != runtime and runtimes.get(runtime).profile
        way = f"export with --for {runtime}" if mended else f"run it in {' or '.join(able(gap))}"
        said.append(f"{gap.about(node.name)}: {way}")
    return list(dict.fromkeys(said))


def with_gaps(reason: str, runtime: str, path: Path | None) -> str:
    """What is wrong with a result, and the first thing that is known to make it so."""
    known = known_gaps(runtime, path)
    more = f" (and {len(known) - 1} more)" if len(known) > 1 else ""
    return f"{reason}; {known[0]}{more}" if known else reason

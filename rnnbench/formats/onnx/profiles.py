"""ONNX that other engines run right: which rewrites of a graph each of them needs.

None of them changes what the graph computes. Some need sizes: `pin` gives the dynamic dimensions
theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.gaps import Gap, all_gaps
from rnnbench.core.operators import REMEDY
from rnnbench.formats.onnx.editing import all_nodes
from rnnbench.formats.onnx.present import find_gaps
from rnnbench.formats.onnx.profile import Profile, filling
from rnnbench.formats.onnx.releases import check_release, fit_release, release_of, releases
from rnnbench.formats.onnx.rewrites import every
from rnnbench.formats.onnx.rewrites.values import forget_shapes
from rnnbench.formats.onnx.saving import save
from rnnbench.formats.onnx.smaller import keep_small, restore
from rnnbench.formats.onnx.wrong_shapes import wrong_shapes

if TYPE_CHECKING:
    import onnx

PROFILE = "profile"
"""The metadata of a file that says for whom it was written."""

_FOLD_BYTES = 2**28
_OLDEST = 17  # opset that the rewrites write


def _portable(engines: Iterable[Profile]) -> Profile:
    """What all engines run (but OpenCV, which has no RNN), and none computes wrong."""
    known = tuple(engines)
    return filling(
        [gap for profile in known for gap in profile.gaps if gap.behaviour == "wrong"],
        always=("make_explicit_states", "make_explicit_values", "gather_backward_slices"),
        once_pinned=("unroll_scans", "gather_backward_slices", "drop_default_direction"),
        last=("name_outputs",),
        no_weights=tuple({name: None for profile in known for name in profile.no_weights}),
        operators=tuple(each for profile in known for each in profile.operators),
    )


def profiles() -> dict[str, Profile]:
    """Name -> profile: `portable`, then that of each engine that has one, sorted."""
    engines = {name: plugins.load("runtimes", name).RUNTIME for name in plugins.names("runtimes")}
    own = {name: engine.profile for name, engine in engines.items() if engine.profile is not None}
    return {"portable": _portable(own.values()), **own}


def check_profile(profile: str, what: str = "profile", opset: int | None = None) -> None:
    """Stops at a profile that there is not, or that cannot have an opset.

    Args:
        profile: `portable`, an engine, or a runtime's release as `onnxruntime==1.17`.
        what: it is called in the message.
        opset: that the file is to have.

    Raises:
        RnnbenchError: there is no such profile, or the release does not load the opset.
    """
    if profile not in profiles() and release_of(profile) is None:
        versioned = (f"{name}=={known[0].version}" for name, known in releases().items())
        raise choices(what, profile, (*profiles(), *versioned))
    if opset is not None:
        check_release(profile, opset)


def rewrite(
    source: Path, target: Path, profile: str = "portable", sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Writes the form of an ONNX file that an engine runs right.

    Args:
        source: the file.
        target: where the other goes; its weights are inside it.
        profile: `portable`, the engine, or a release as `onnxruntime==1.17`.
        sizes: dimensions that become fixed, by name.

    Returns:
        What the manifest says of it: `profile`, `pinned`, `nodes`, `ir_version`; `corrected`, a
        sentence for each output whose declared shape is not what it has. Weights that the file
        keeps in fewer bits are kept so in the other.

    Raises:
        RnnbenchError: there is no such profile or dimension, or the file has no such form.
    """
    check_profile(profile)
    model = _load(source)
    for key, size in (sizes or {}).items():
        if key not in _dims(model):
            raise choices("dimension", key, _dims(model))
        if size < 1:
            raise RnnbenchError(f"dimension {key}={size}: give 1 or more")
    model = _of_our_opset(model, source)
    precisions = restore(model)
    _refuse_weights(precisions, profile)
    model.metadata_props[PROFILE] = profile
    pin(model, sizes or {})
    fit_release(model, profile)
    corrected = _correct_outputs(model)
    _drop_taken_apart(model)
    for precision in precisions:
        keep_small(model, precision)
    save(model, target)
    nodes = sum(1 for _ in all_nodes(model))
    said = {"profile": profile, "pinned": dict(sizes or {}), "nodes": nodes}
    said |= {"corrected": corrected} if corrected else {}
    return said | {"ir_version": model.ir_version}


def _correct_outputs(model: ir.Model) -> list[str]:
    """Declares outputs as they are computed, where the file contradicts itself; what was wrong."""
    wrong = wrong_shapes(ir.to_proto(model))
    computed = {each.name: each.computed for each in wrong}
    for value in model.graph.outputs:
        if value.name in computed:
            value.shape = ir.Shape(computed[value.name])
    return [str(each) for each in wrong]


def written_for(path: Path) -> str:
    """The profile that a file was written for; empty for any other file."""
    import onnx

    try:
        said = onnx.load(str(path), load_external_data=False).metadata_props
    except Exception:  # damaged
        return ""
    return next((entry.value for entry in said if entry.key == PROFILE), "")


def pinned(path: Path, shapes: Mapping[str, tuple[int, ...]], profile: str = "") -> onnx.ModelProto:
    """A file with the shapes of its inputs fixed, for an engine that takes no others.

    A file that was written for engines (see `rewrite`) gets what waited for these sizes as well;
    any other gets what `profile` says, and without it is left as it is otherwise.

    Raises:
        RnnbenchError: the file is no ONNX, or the shapes are not possible.
    """
    model = _load(path)
    sizes: dict[str, int] = {}
    for value in model.graph.inputs:
        given = shapes.get(str(value.name))
        if given is None or value.shape is None:
            continue
        if len(given) != len(value.shape):
            raise RnnbenchError(f"input {value.name!r} has shape {list(given)}, not {value.shape}")
        value.shape = ir.Shape(_named(value, i, size) for i, size in enumerate(value.shape))
        for dim, size in zip(value.shape, given, strict=True):
            known = dim if isinstance(dim, int) else sizes.setdefault(str(dim), size)
            if known != size:
                raise RnnbenchError(
                    f"input {value.name!r} has shape {list(given)}, and the file has {value.shape}"
                )
    if profile:
        model.metadata_props.setdefault(PROFILE, profile)
    restore(model)
    pin(model, sizes)
    return ir.to_proto(model)


def _load(path: Path) -> ir.Model:
    try:
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    except Exception as error:  # protobuf's, and onnx_ir's
        raise RnnbenchError(f"{path} is not ONNX ({one_line(error)}): export it again") from None
    return model


def _of_our_opset(model: ir.Model, path: Path) -> ir.Model:
    """The model with operators that are as new as the rewrites' own, as `Shape` from one axis on.

    Raises:
        RnnbenchError: an operator of the file has no newer form.
    """
    if model.opset_imports.get("", _OLDEST) >= _OLDEST:
        return model
    from onnx import version_converter

    try:
        return ir.from_proto(version_converter.convert_version(ir.to_proto(model), _OLDEST))
    except Exception as error:  # of the converter's own types
        raise RnnbenchError(
            f"{path} is of opset {model.opset_imports['']}, and its form for other engines needs "
            f"{_OLDEST}, to which it cannot be converted ({one_line(error)}): export it anew"
        ) from None


def pin(model: ir.Model, sizes: Mapping[str, int]) -> None:
    """Fixes dimensions, does the rewrites of the file's profile, and folds what is known then.

        x [time, batch, 5]; Shape(x) -> Gather(0) -> Range(0, n, 1)     with time=3, batch=1
            ->  x [3, 1, 5]; [0, 1, 2]

    A dimension that is not named stays what it is.
    """
    profile = profiles().get(model.metadata_props.get(PROFILE, ""), Profile())
    forget_shapes(model)
    for value in [*model.graph.inputs, *model.graph.outputs]:
        value.shape = _fixed(value.shape, sizes)
    _apply(profile.always, model)
    if not _dims(model):
        _fold(model)
        _apply(profile.once_pinned, model)
        _fold(model)
    elif sizes:
        _fold(model)
    _apply(profile.last, model)
    _refuse(model, profile)
    forget_shapes(model)  # those from before something was computed say less
    if not _dims(model):
        _infer_shapes(model)


def _refuse(model: ir.Model, profile: Profile) -> None:
    """Stops at what an engine does not compute, and no rewrite did without.

    Raises:
        RnnbenchError: there is such a layer or operator; the message names it, and who computes it.
    """
    for node in all_nodes(model) if profile.operators else ():
        given = sum(value is not None for value in node.inputs)
        for each in profile.operators:
            if each.is_in(node.op_type, node.domain, given):
                name = node.name or str(node.outputs[0].name)
                raise RnnbenchError(f"the file has {each.about(name)}: {REMEDY}")
    fixed = not _dims(model)
    for node, gap in find_gaps(model, profile.gaps):
        waits = gap.rewrite in (*profile.once_pinned, *profile.last)
        if (fixed and gap.sizes == "dynamic") or (waits and not fixed):
            continue
        raise RnnbenchError(f"{gap.about(node.name)}: run it in {' or '.join(able(gap))}")


def _refuse_weights(precisions: Iterable[str], profile: str) -> None:
    """Stops at weights that an engine does not load.

    Raises:
        RnnbenchError: the file has such.
    """
    known = profiles()
    for precision in precisions:
        if precision not in known.get(profile, Profile()).no_weights:
            continue
        others = [n for n, p in known.items() if n != "portable" and precision in p.no_weights]
        raise RnnbenchError(
            f"{' and '.join(others)} loads no weights in {precision}: export with --precision "
            "float16" + (", or --for the engine that is to run it" if profile == "portable" else "")
        )


def able(gap: Gap) -> list[str]:
    """The runtimes of ONNX that compute what a gap is about, as a sentence lists them."""
    known = all_gaps()
    without = [
        name
        for name, gaps in known.items()
        if not any(g.op == gap.op and g.attribute in ("", gap.attribute) for g in gaps)
    ]
    return sorted(without, key=lambda name: name != "onnxruntime") or ["another engine"]


def _apply(names: Iterable[str], model: ir.Model) -> None:
    for name in names:
        every()[name](model)


def _fold(model: ir.Model) -> None:
    """Computes what follows from constants and fixed shapes, and infers the other shapes."""
    from onnxscript.optimizer import fold_constants

    _infer_shapes(model)
    fold_constants(model, input_size_limit=_FOLD_BYTES, output_size_limit=_FOLD_BYTES)
    _remove_unused(model)
    _infer_shapes(model)  # behind what was computed, as a sequence that is read from its end


def _remove_unused(model: ir.Model) -> None:
    from onnx_ir.passes import common

    common.RemoveUnusedNodesPass()(model)


def _drop_taken_apart(model: ir.Model) -> None:
    """Removes nodes and weights that nothing reads, and no output of a node that stays.

    What the last rewrites name, for engines that compute an output only where it has a name, a
    pass of the library takes away again.
    """
    for graph in [*model.graph.subgraphs(), model.graph]:
        for node in reversed(list(graph)):
            if not any(o.uses() or o.is_graph_output() for o in node.outputs):
                graph.remove(node, safe=True)
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del graph.initializers[name]


def _infer_shapes(model: ir.Model) -> None:
    from onnx_ir.passes import common

    for value in model.graph.initializers.values():
        if value.const_value is not None:  # what was computed may have a shape from before
            value.shape = ir.Shape(value.const_value.numpy().shape)
    common.ShapeInferencePass(data_prop=True)(model)


def _dims(model: ir.Model) -> list[str]:
    found = [d for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)]
    return list(dict.fromkeys(str(dim.value) for dim in found if dim.value is not None))


def _named(value: ir.Value, axis: int, size: int | ir.SymbolicDim) -> int | str:
    if isinstance(size, int):
        return size
    return str(size.value) if size.value is not None else f"{value.name}_{axis}"


def _fixed(shape: ir.Shape | None, sizes: Mapping[str, int]) -> ir.Shape | None:
    if shape is None:
        return None
    return ir.Shape(
        size if isinstance(size, int) else sizes.get(str(size.value), size.value) for size in shape
    )

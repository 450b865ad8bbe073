"""`torch.export.export` for recurrent models: the same call, with dynamic batch and time.

    from rnnbench.pt2 import Dim, export, save   # was: from torch.export import Dim, export, save

All other names are those of `torch.export`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.temporary import temporary_folder

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from rnnbench.core.bundle import Bundle
    from rnnbench.models.example.declare import Declared


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import torch.export

    return getattr(torch.export, name)


def export(
    mod: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: Collection[str] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:
    """Exports a module as `torch.export.export` does, and proves the program before it returns it.

    Args:
        mod: the module; it is exported in evaluation mode, and left as it was.
        args: example positional arguments, nested as the module takes them.
        kwargs: example arguments by name.
        dynamic_shapes: which axes are dynamic, as for `torch.export.export`.
        strict: taken with a warning; the capture is rnnbench's own.
        preserve_module_call_signature: has to be empty, since the program is flat.
        prefer_deferred_runtime_asserts_over_guards: taken with a warning.

    Returns:
        A program that takes and returns what the module does, and that plain PyTorch saves, loads
        and runs.

    Raises:
        RnnbenchError: an argument asks for what cannot be, the module cannot be captured, or the
            program does not compute the same.
    """
    if preserve_module_call_signature:
        raise RnnbenchError(
            f"preserve_module_call_signature={tuple(preserve_module_call_signature)}: the program "
            "that is exported is flat; leave it out, or export those modules by themselves"
        )
    ignored = {
        "strict": strict,
        "prefer_deferred_runtime_asserts_over_guards": prefer_deferred_runtime_asserts_over_guards,
    }
    for name in (name for name, given in ignored.items() if given):
        warnings.warn(f"{name}=True changes nothing: the capture is rnnbench's own", stacklevel=2)

    from rnnbench.capture.this_thread import exporting_alone
    from rnnbench.checking.proved import prove
    from rnnbench.exporting import export as export_bundle
    from rnnbench.models.as_it_was import left_as_it_was
    from rnnbench.models.example.call import called_flat, take_call
    from rnnbench.models.example.declare import declare, default_outputs, warn_of_training
    from rnnbench.models.example.shapes import from_dynamic_shapes

    with temporary_folder() as folder:
        with exporting_alone(), left_as_it_was(mod):
            call = take_call(mod, args, kwargs or {})
            warn_of_training(call, stacklevel=3)
            if call.returned.num_leaves != len(call.kept):
                raise RnnbenchError(
                    f"{type(call.own).__name__} returns a dataclass that PyTorch cannot make anew: "
                    "call torch.export.register_dataclass(its class) first"
                )
            axes = from_dynamic_shapes(call, dynamic_shapes)
            declared = declare(call, axes, call.names, default_outputs(call, call.names))
            with called_flat(call):
                bundle = export_bundle(declared.model, ("pt2",), folder)
        prove(bundle, "pt2", declared)
        program = _as_called(declared, bundle)
        _prove(program, declared, bundle)
    return program


def _as_called(declared: Declared, bundle: Bundle) -> ExportedProgram:
    """The program of a bundle, called as the module was."""
    import torch

    from rnnbench.core.known_warnings import export_warnings
    from rnnbench.formats.pt2.calling import Convention, bound_sizes, with_convention

    call = declared.call
    with export_warnings():
        program = torch.export.load(bundle.artifacts["pt2"].path)
    least = {name: dim.min for name, dim in bundle.dims.items()}
    bound_sizes(program, [spec.shape for spec in bundle.inputs], least, declared.most)
    args, kwargs = call.arguments(call.tensors)
    convention = Convention(args, kwargs, call.parameters, call.returned, call.kept)
    return with_convention(program, convention)


def _prove(program: ExportedProgram, declared: Declared, bundle: Bundle) -> None:
    """Runs the program as the module is called, at the sizes at which it has been proved flat.

    Raises:
        RnnbenchError: it raises, or gives something else.
    """
    import torch

    from rnnbench.cases.cases import layout_of
    from rnnbench.cases.standard import standard_of
    from rnnbench.cases.stored import read_cases
    from rnnbench.core.errors import one_line
    from rnnbench.core.known_warnings import export_warnings
    from rnnbench.models.calls import to_array

    name, call = declared.model.name, declared.call
    run = program.module()
    with export_warnings():
        torch.export.save(program, io.BytesIO())
    cases = read_cases(bundle)
    standard = standard_of(layout_of(bundle, cases), cases)
    for case in cases:
        above = any(case.dims[dim] > most for dim, most in declared.most.items())
        if case.empty or case.feed_mode.chunks or above:
            continue
        tensors = [torch.from_numpy(case.inputs[spec.name]) for spec in bundle.inputs]
        args, kwargs = call.arguments(tensors)
        try:
            with torch.no_grad():
                returned = torch.utils._pytree.tree_leaves(run(*args, **kwargs))
        except Exception as error:
            raise RnnbenchError(
                f"model {name!r}: the program raises {one_line(error)} at {case.name}: nothing is "
                "returned; please report it with the model"
            ) from error
        found = [to_array(name, leaf) for leaf in returned if leaf is not None]
        for output, actual in zip(bundle.outputs, found, strict=True):
            reason = standard.compare(case, output, actual).reason
            if reason:
                raise RnnbenchError(
                    f"model {name!r}: the program gives another {output} at {case.name} "
                    f"({reason}): nothing is returned; please report it with the model"
                )

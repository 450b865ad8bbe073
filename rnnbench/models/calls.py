"""A torch module called with numpy arrays by name, in float32 or float64, and left as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.bundle import WEIGHTS
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.models.as_it_was import every_tensor, is_tensor, process_as_it_was
from rnnbench.models.binding import bind, ordered

if TYPE_CHECKING:
    import numpy as np
    import torch

    from rnnbench.core.model import Model


def call(
    module: Callable[..., Any],
    specs: Sequence[TensorSpec],
    outputs: Sequence[str],
    arrays: Arrays,
    *,
    device: str = "cpu",
) -> Arrays:
    """Runs a module (eager or TorchScript) on arrays, without gradients.

    Args:
        module: called with the inputs in the order of `specs`.
        specs: the declared inputs.
        outputs: the declared names of the tensors that it returns, nested ones in reading order.
        arrays: the inputs by name; they are copied, so that the module cannot change them.
        device: where the module is.

    Returns:
        the outputs by name; copies, so that a later call cannot change them.

    Raises:
        RnnbenchError: the module returned another number of tensors, or something else.
    """
    import numpy as np
    import torch

    from rnnbench.models.kept import tensors_in

    tensors = [torch.from_numpy(np.array(arrays[spec.name])).to(device) for spec in specs]
    with torch.no_grad(), _without_tf32(device):
        returned = invoke(module, specs, outputs, tensors)
    leaves = tensors_in(returned)
    if len(leaves) != len(outputs):
        _refuse_others(returned)
        raise RnnbenchError(
            f"the model returned {len(leaves)} tensors and declares {len(outputs)} outputs "
            f"({', '.join(outputs)}): name each tensor, nested ones in reading order"
        )
    return {name: to_array(name, leaf) for name, leaf in zip(outputs, leaves, strict=True)}


def invoke(
    module: Callable[..., Any],
    specs: Sequence[TensorSpec],
    outputs: Sequence[str],
    tensors: Sequence[torch.Tensor],
) -> Any:
    """What a module returns for a tensor for each declared input, the outputs in their order."""
    args, named = bind(module, specs, tensors)
    return ordered(module(*args, **named), outputs)


def left_out_notes(model: Model, tensors: Sequence[torch.Tensor]) -> list[str]:
    """What an export leaves out of what the module returns, a sentence or nothing."""
    import torch

    from rnnbench.models.kept import others_in

    with undisturbed(model.module), torch.no_grad():
        kinds = others_in(invoke(model.module, model.inputs, model.outputs, tensors))
    names = ", ".join(dict.fromkeys(kinds))
    return [f"exported without what the module returns beside tensors: {names}"] if kinds else []


@contextmanager
def _without_tf32(device: str) -> Iterator[None]:
    """Float32 that is float32 on CUDA: cuDNN rounds factors to 10 bits unless told not to.

    A precision that somebody set for single operators stays (torch then refuses to say the whole).
    """
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        before = cudnn.allow_tf32, matmul.allow_tf32
    except RuntimeError:
        before = None
    if before is None or not device.startswith("cuda"):
        yield
        return
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def call_float64(
    module: torch.nn.Module, specs: Sequence[TensorSpec], outputs: Sequence[str], arrays: Arrays
) -> Arrays:
    """`call` with a module that `undisturbed(module, double=True)` converted: inputs in float64."""
    import numpy as np
    import torch

    wide = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # for tensors that the module makes itself
    try:
        return call(module, specs, outputs, wide, device=device_of(module))
    finally:
        torch.set_default_dtype(default)


@contextmanager
def undisturbed(module: torch.nn.Module, *, double: bool = False) -> Iterator[None]:
    """Puts a module in eval mode, in float64 if `double`, and back to the last bit at the end.

    The module is not copied, because `weight_norm` forbids `deepcopy`. Each tensor object stays
    the same and gets other data meanwhile, so that tied weights and the lists of weights that
    `nn.RNN` keeps follow; buffers get a copy, so that a state that is kept in one is not lost.
    What the module's code changes in the process is put back, too.
    """
    import torch

    from rnnbench.models.cached import caches_of_its_own

    scripted = torch.jit.ScriptModule  # its attributes are not Python's
    parts = [m for m in module.modules() if not isinstance(m, scripted)]
    modes = [(m, m.training) for m in module.modules() if isinstance(m, scripted)]
    saved = [(m, dict(vars(m)), dict(m._parameters), dict(m._buffers)) for m in parts]
    lists = [(v, list(v)) for _, names, *_ in saved for v in names.values() if type(v) is list]
    data = {id(t): (t, t.data) for t in every_tensor(module)}
    try:
        evaluated(module)
        for tensor, original in data.values():
            wide = double and original.is_floating_point()
            tensor.data = original.double() if wide else _own(tensor, original)
        kept = caches_of_its_own(module) if double else nullcontext()
        with process_as_it_was(), kept:
            yield
    finally:
        for tensor, original in data.values():
            tensor.data = original
        for values, elements in lists:
            values[:] = elements
        for part, names, *registered in saved:
            vars(part).clear()
            vars(part).update(names)
            own: list[Any] = [part._parameters, part._buffers]
            for now, before in zip(own, registered, strict=True):
                now.clear()
                now.update(before)
        for part, training in modes:
            part.training = training


def evaluated(module: torch.nn.Module, device: str | None = None) -> torch.nn.Module:
    """The module in evaluation mode, one too whose `train()`, `eval()` or `to()` gives nothing.

    Args:
        module: it is changed itself.
        device: where it is moved.
    """
    if device is not None:
        module.to(device)
    try:
        module.eval()
    except TypeError:  # a `train()` that takes no mode
        for part in module.modules():
            part.training = False
    return module


def leave_inference_mode(module: torch.nn.Module) -> None:
    """Puts others in the place of parameters and buffers that were made under `inference_mode`.

    Those cannot be traced. Call it where `undisturbed` puts the module back.
    """
    import torch

    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue
        for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
            if tensor is not None and tensor.is_inference():
                copy = tensor.clone()
                parameter = isinstance(tensor, torch.nn.Parameter)
                setattr(part, name, torch.nn.Parameter(copy, False) if parameter else copy)


@contextmanager
def on_cpu(module: torch.nn.Module) -> Iterator[None]:
    """Puts a module on the CPU, where files are made and judged, and back at the end.

    Each tensor object stays the same and gets other data meanwhile.
    """
    saved = [(t, t.data) for t in every_tensor(module) if t.device.type not in ("cpu", "meta")]
    try:
        for tensor, data in saved:
            tensor.data = data.cpu()
        yield
    finally:
        for tensor, data in saved:
            tensor.data = data


def training_notes(module: torch.nn.Module) -> list[str]:
    """What an export in evaluation mode leaves out or fixes, a sentence each."""
    import torch

    batch_norm = torch.nn.modules.batchnorm._BatchNorm
    dropped, normed = [], []
    for path, part in module.named_modules():
        between = isinstance(part, torch.nn.RNNBase) and part.num_layers > 1 and part.dropout > 0
        if between or (isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.p > 0):
            dropped.append(path or "the module itself")
        if part.training and isinstance(part, batch_norm) and part.track_running_stats:
            normed.append(path or "the module itself")
    notes = []
    if dropped:
        notes.append(f"exported in evaluation mode, without the dropout in {', '.join(dropped)}")
    if normed:
        notes.append(f"exported in evaluation mode, with the running statistics in {normed[0]}")
    return notes


def device_of(module: torch.nn.Module) -> str:
    """Where the module's first parameter or buffer is; `cpu` where it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return str(tensor.device)
    return "cpu"


def save_weights(module: torch.nn.Module, folder: Path) -> str:
    """Writes weights.pt, the module's state dict on the CPU.

    Returns:
        the sha256 of the weights: of names, dtypes, shapes and values, not of the file.
    """
    import torch

    state = _state(module)
    torch.save({name: _compact(tensor) for name, tensor in state.items()}, folder / WEIGHTS)
    return _digest(state)


def weights_digest(module: torch.nn.Module) -> str:
    """What `save_weights` would return."""
    return _digest(_state(module))


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().cpu() for k, v in module.state_dict().items() if is_tensor(v)}


def _digest(state: dict[str, torch.Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        flat = tensor.contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The state dict of a bundle; a file that holds anything but tensors is refused."""
    import torch

    file = folder / WEIGHTS
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a handful of types for damaged or unsafe files
        raise RnnbenchError(
            f"{file} cannot be read ({one_line(error)}): export the model again"
        ) from None
    if not isinstance(state, dict) or not all(map(is_tensor, state.values())):
        raise RnnbenchError(f"{file} holds no state dict: export the model again")
    return state


def _refuse_others(returned: Any) -> None:
    """Says what is no tensor, where there are not as many tensors as outputs."""
    from rnnbench.models.kept import others_in

    for kind in others_in(returned):
        if kind != "None":
            raise RnnbenchError(
                f"the model returned a {kind}: return tensors, alone or nested, and declare those"
            )


def arrays_of(tensors: Mapping[str, Any]) -> Arrays:
    """The tensors among some values as arrays; those of bfloat16 in float32, no complex ones."""
    import numpy as np
    import torch

    found: Arrays = {}
    for name, tensor in tensors.items():
        plain = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        if plain and not (tensor.is_complex() or tensor.is_quantized or tensor.is_meta):
            tensor = tensor.detach().cpu()
            wide = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
            found[name] = np.asarray(wide.numpy())
    return found


def to_array(name: str, tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """A tensor as an array of its own; `name` is for the error where numpy lacks the dtype."""
    import numpy as np

    try:
        return np.array(tensor.detach().cpu().numpy())
    except TypeError as error:
        raise RnnbenchError(
            f"output {name!r} is {tensor.dtype}, which numpy does not have "
            f"({one_line(error)}): return float32, or another dtype of numpy"
        ) from None


def _own(tensor: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    import torch

    return data if isinstance(tensor, torch.nn.Parameter) else data.clone()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without the rest of a storage that it is a view of, which would be saved too."""
    size = tensor.numel() * tensor.element_size()
    return tensor if tensor.untyped_storage().nbytes() == size else tensor.clone()

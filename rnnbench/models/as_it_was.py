"""The process and a module as they were before somebody's code ran."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.models.copies import copies_of

if TYPE_CHECKING:
    import torch

_KINDS = ("matmul", "conv", "rnn")


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """What a module's code may change in the process is put back: also after an error.

    These are the default dtype and device, whether gradients are computed, the number of threads,
    the precision of products, the folder, and the environment.
    """
    with ExitStack() as back:
        for put_back in _settings():
            back.callback(put_back)
        yield


@contextmanager
def left_as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """The random numbers of the process, and the module's weights to the last bit.

    Around all that is done with a module, where `process_as_it_was` is around each use of it:
    whether two runs of a module differ has to be seen in between. The environment is not put back
    here, since libraries that are imported meanwhile set variables of theirs.
    """
    import torch

    # What is no module is refused by whoever was given it.
    tensors = every_tensor(module) if isinstance(module, torch.nn.Module) else ()
    weights = {id(t): t.data for t in tensors if _is_dense(t)}
    with ExitStack() as back:
        for put_back in _random_numbers():
            back.callback(put_back)
        back.enter_context(copies_of(list(weights.values())))
        back.callback(_validated_again())
        yield


def _settings() -> Iterator[Callable[[], object]]:
    """What puts each setting back, where it is another by then."""
    import torch

    yield _setting(torch.get_default_dtype, torch.set_default_dtype)
    # The context of a default device, if there is one, is on a stack: None takes it away.
    given = torch.get_default_device() if _has_default_device() else None
    yield _setting(
        lambda: torch.get_default_device() if _has_default_device() else None,
        torch.set_default_device,
        given,
    )
    yield _setting(torch.is_grad_enabled, lambda on: torch._C._set_grad_enabled(on))
    yield _setting(torch.get_num_threads, torch.set_num_threads)
    # What was said for one backend goes back last: the older way of saying it changes them all.
    for backend in _backends():
        yield _setting(
            partial(getattr, backend, "fp32_precision"), partial(_set_precision, backend)
        )
    if _precision() is not None:
        yield _setting(_precision, torch.set_float32_matmul_precision)
    yield _setting(
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda on: torch.use_deterministic_algorithms(on[0], warn_only=on[1]),
    )
    folder = _folder()
    if folder is not None:
        yield _setting(_folder, os.chdir, folder)
    yield _setting(lambda: dict(os.environ), _set_environment)


def _setting(
    get: Callable[[], Any], put: Callable[[Any], object], *given: Any
) -> Callable[[], object]:
    before = given[0] if given else get()
    return lambda: None if get() == before else put(before)


def _backends() -> Iterator[Any]:
    """What has a precision of its own, from torch 2.9 on."""
    import torch

    backends = torch.backends
    for path in ("cuda.matmul", "cudnn.conv", "cudnn.rnn", *(f"mkldnn.{k}" for k in _KINDS)):
        found: Any = backends
        for name in path.split("."):
            found = getattr(found, name, None)
        if getattr(found, "fp32_precision", None) is not None:
            yield found


def _set_precision(backend: Any, before: str) -> None:
    backend.fp32_precision = before


def _precision() -> str | None:
    """The precision of products; None where it was set the newer way, for each backend."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # `torch.backends.cuda.matmul.fp32_precision` says another thing
        return None


def _has_default_device() -> bool:
    import torch

    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None) is not None


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed: there is none to come back to
        return None


def _set_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def _random_numbers() -> Iterator[Callable[[], object]]:
    import numpy as np
    import torch

    states: list[tuple[Callable[[Any], object], Any]] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
    ]
    if torch.cuda.is_initialized():
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    for put, state in states:
        yield lambda put=put, state=state: put(state)  # type: ignore[misc]


def _validated_again() -> Callable[[], object]:
    """Dynamo switches a check of `torch.distributions` off for good, with its first trace."""
    from torch.distributions import Distribution

    before = Distribution._validate_args
    return lambda: Distribution.set_default_validate_args(before)


def every_tensor(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, buffers, and tensors that are attributes or lie in lists that are."""
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():
        for value in vars(part).values():
            if is_tensor(value):
                yield value
            elif isinstance(value, list) and value and all(map(is_tensor, value)):
                yield from value


def is_tensor(value: Any) -> bool:
    """Whether it is one of torch's."""
    import torch

    return isinstance(value, torch.Tensor)


def _is_dense(tensor: torch.Tensor) -> bool:
    import torch

    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized

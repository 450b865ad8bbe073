"""A lack of memory is told apart from everything else, in whatever words it is said."""

import pytest

from rnnbench.__main__ import _of_the_system
from rnnbench.core.errors import lacks_memory


@pytest.mark.parametrize(
    "said",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1.20 GiB for an array",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
    ],
)
def test_it_is_known(said):
    assert lacks_memory(said)


@pytest.mark.parametrize(
    "said",
    [
        ImportError("libtorch_cpu.so: cannot open shared object file: No such file or directory"),
        OSError(28, "No space left on device"),
        "the memory of the stream has 3 steps",
        RuntimeError("can't start new thread"),  # which may be a limit of processes
        "    except MemoryError:",
    ],
)
def test_nothing_else_is_taken_for_it(said):
    assert not lacks_memory(said)


@pytest.mark.parametrize(
    "said",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_a_verb_says_that_there_is_none(said):
    assert str(_of_the_system(said)).startswith("not enough memory (")


def test_a_library_that_may_not_be_mapped_is_no_lack_of_memory():
    said = "model.so: failed to map segment from shared object: Operation not permitted"
    assert _of_the_system(ImportError(said)) is None

"""Ray: started on this machine and ended, or connected to, without a word on the terminal."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.temporary import temporary_folder

LOCAL, AUTO = "local", "auto"
SLOT = "rnnbench"
"""The resource of a node on which is measured: one of it, so one measurement at a time."""

OFFER = f"""ray start ... --resources '{{"{SLOT}": 1}}'"""
_STORE = 200 * 2**20  # bytes in shared memory; what does not fit is on the disk
_CONNECT_S = 10
_LONGEST = 30  # characters of a folder in which the name of a socket has room


def import_ray() -> Any:
    """Ray itself.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise Unavailable(
            "--cluster needs Ray, which is not installed: pip install 'rnnbench[ray]'"
        ) from None
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray's module, connected while the block lasts; what was started for it is ended.

    A process that is connected already stays as it is.

    Args:
        address: `local` starts Ray on this machine; `HOST:PORT` of a cluster that runs, and of
            which this machine is a node, or `auto`.

    Raises:
        Unavailable: Ray is not installed.
        RnnbenchError: no cluster answers there, or none can be started here.
    """
    ray = import_ray()
    if address.startswith("ray://"):
        raise RnnbenchError(
            f"--cluster {address}: Ray's client is not supported: run this on a node of the "
            "cluster, and give its HOST:PORT, or auto"
        )
    if ray.is_initialized():
        yield ray
        return
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        how = _local(stack) if address == LOCAL else {"address": _answering(address)}
        stack.callback(ray.shutdown)
        try:
            with _handlers_kept():
                ray.init(**how, log_to_driver=False, configure_logging=False)
        except Exception as error:  # it raises types of its own, of grpc and of the system
            if address == LOCAL:
                raise RnnbenchError(f"Ray cannot be started here ({one_line(error)})") from error
            raise _no_cluster(address, error) from error
        yield ray


def _answering(address: str) -> str:
    """An address at which something listens: Ray tries for half a minute, and writes of it.

    Raises:
        RnnbenchError: nothing does.
    """
    host, colon, port = address.rpartition(":")
    if address != AUTO:
        try:
            if not (colon and port.isdecimal()):
                raise OSError("it has no port")
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        except OSError as error:
            raise _no_cluster(address, error) from None
    return address


def _no_cluster(address: str, error: Exception) -> RnnbenchError:
    return RnnbenchError(
        f"--cluster {address}: no Ray cluster answers there ({one_line(error)}): give local, auto "
        "or HOST:PORT of `ray start --head`"
    )


def _local(stack: ExitStack) -> dict[str, Any]:
    """How Ray is started here: for this run alone, with a folder that is removed."""
    stack.enter_context(
        _environment(
            RAY_AUTH_TOKEN=os.environ.get("RAY_AUTH_TOKEN") or _token(),
            RAY_USAGE_STATS_ENABLED="0",
            RAY_worker_niceness="0",  # 15 is Ray's own: measured would be who else is here
        )
    )
    return {
        "address": LOCAL,
        "include_dashboard": False,
        "resources": {SLOT: 1},
        "object_store_memory": _STORE,
        "_temp_dir": str(stack.enter_context(_folder())),
    }


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary one whose path is short: the names of sockets have about 100 characters."""
    usual = Path(tempfile.gettempdir())
    within = Path("/tmp") if len(str(usual)) > _LONGEST and Path("/tmp").is_dir() else None
    with temporary_folder(within) as folder:
        yield folder


@cache
def _token() -> str:
    """What a cluster of this process asks for; Ray reads it once in a process."""
    return secrets.token_hex(32)


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (*wanted, "RAY_AUTH_MODE")}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray writes to stdout, whatever it is told: also of faults, which are rows here."""
    logger = logging.getLogger("ray")
    level, worker = logger.level, sys.modules.get("ray._private.worker")
    printed = getattr(worker, "print_to_stdstream", None)
    logger.setLevel(logging.CRITICAL)
    if printed is not None:
        worker.print_to_stdstream = lambda *_, **__: None  # type: ignore[union-attr]
    try:
        yield
    finally:
        logger.setLevel(level)
        if printed is not None:
            worker.print_to_stdstream = printed  # type: ignore[union-attr]


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """`ray.init` takes SIGTERM, which ends a command in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

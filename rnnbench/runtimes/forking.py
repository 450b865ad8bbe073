"""The process that has torch, and forks for whoever asks (see `forkserver`).

Run as `python -m rnnbench.runtimes.forking`, or as a fork of a process that has torch itself. It
starts no thread.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from rnnbench.core.collector import ending_at_once, importing

_PIPES = 4


def serve(channel: socket.socket) -> None:
    """Forks for whoever asks, until nobody can any more."""
    with importing():
        import torch  # noqa: F401

        from rnnbench.runtimes import answering

        answering.prepare()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of it
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not channel:
                    pid, code = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _tell(code, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    continue
                head, fds, _, _ = socket.recv_fds(channel, 8, _PIPES)
                if not head:  # nobody is left who could read what they answer
                    _end_all(selector)
                    return
                request = json.loads(received(channel, int.from_bytes(head, "little")))
                for module in request["preload"]:
                    importlib.import_module(module)
                pid = _fork(request, fds, answering.main, [channel, selector])
                for fd in fds[:3]:
                    os.close(fd)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[3]))
                channel.sendall(pid.to_bytes(8, "little"))


def _end_all(selector: selectors.BaseSelector) -> None:
    for key in selector.get_map().values():
        if key.data is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(key.data[0], signal.SIGKILL)


def _fork(request: Mapping[str, Any], fds: list[int], main: Any, close: list[Any]) -> int:
    pid = os.fork()
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)  # as below: whoever is first
        return pid
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for here, fd in enumerate(fds[:3]):
            os.dup2(fd, here)
        for each in close:
            each.close()
        os.closerange(3, max(fds) + 1)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.path[:] = request["path"]
        main(request["words"])
        atexit._run_exitfuncs()  # removes temporary files
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _tell(pipe: int, code: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(pipe, str(code).encode())
    os.close(pipe)


def received(channel: socket.socket, size: int) -> bytes:
    """So many bytes; raises OSError where the other end is closed."""
    buffer = io.BytesIO()
    while buffer.tell() < size:
        part = channel.recv(size - buffer.tell())
        if not part:
            raise OSError("the other end is closed")
        buffer.write(part)
    return buffer.getvalue()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    ending_at_once()
    serve(socket.socket(fileno=int(sys.argv[1])))

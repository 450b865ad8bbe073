"""The process that a `Worker` asks: it loads one artifact, and answers until nobody asks any more.

Run as `python -m rnnbench.runtimes.answering`, or as a fork of a process that has torch.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from rnnbench import runtimes
from rnnbench.core.errors import Unavailable, lacks_memory, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.processes import end_with_parent, limit_memory
from rnnbench.runtimes.accounting import uses_from_message, uses_to_message
from rnnbench.runtimes.job import Job, account, load, signature
from rnnbench.runtimes.messages import Answer, receive, send


def prepare() -> None:
    """Imports what jobs that need torch ask for, so that forks of this process have it."""
    import rnnbench.cases.effects
    import rnnbench.cases.making
    import rnnbench.cases.stored
    import rnnbench.cases.uses
    import rnnbench.core.bundle
    import rnnbench.models.calls
    import rnnbench.models.rebuild  # noqa: F401

    for name in ("eager", "torchscript"):
        runtimes.get(name)


def main(words: list[str]) -> None:
    """Loads the job, then answers requests until the parent closes the pipe.

    The channel is what stdin and stdout were; whatever a runtime prints goes to stderr instead.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    raw = json.loads(words[0])
    paths = {k: None if raw[k] is None else Path(raw[k]) for k in ("path", "bundle")}
    job = Job(**(raw | paths))
    # Python calls a lack of memory a syntax error: our own modules are there before the limit is.
    import rnnbench.core.bundle

    if "torch" in runtimes.get(job.runtime).requires:
        import rnnbench.models.calls  # noqa: F401

    if job.device == "cpu":  # a driver reserves far more than it uses
        limit_memory(int(words[1]))
    loaded: list[Callable[[Arrays], Arrays]] = []

    def start() -> Answer:
        loaded.append(load(job))
        return {}, {}

    if not _answer(answers, start):
        return
    while True:
        try:
            header, arrays = receive(requests)
        except EOFError:
            return
        if header["do"] == "run":
            _answer(answers, lambda given=arrays: ({}, loaded[0](given)))  # type: ignore[misc]
        else:
            about = partial(_ABOUT[header["do"]], job, header, arrays)
            _answer(answers, about)


def _signature(job: Job, _asked: dict[str, Any], _arrays: Arrays) -> Answer:
    return signature(job).to_json(), {}


def _account(job: Job, asked: dict[str, Any], arrays: Arrays) -> Answer:
    return asdict(account(job, uses_from_message(asked, arrays))), {}


def _cases(job: Job, asked: dict[str, Any], _arrays: Arrays) -> Answer:
    from rnnbench.cases.making import Wanted, make_wanted, to_message
    from rnnbench.core.bundle import Bundle
    from rnnbench.formats._rounding import file_that_rounds
    from rnnbench.models.rebuild import trained

    bundle = Bundle.open(job.bundle or "", trust_code=job.trust_code)
    said = asked["wanted"]
    wanted = Wanted(**said | {"asked": tuple(said["asked"])})
    model = trained(bundle)
    return to_message(make_wanted(bundle, model, wanted, file_that_rounds(bundle, model)))


def _effects(job: Job, asked: dict[str, Any], _arrays: Arrays) -> Answer:
    from rnnbench.cases.effects import effects
    from rnnbench.cases.stored import read_cases
    from rnnbench.core.bundle import Bundle
    from rnnbench.models.rebuild import trained

    bundle = Bundle.open(job.bundle or "", trust_code=job.trust_code)
    model, cases = trained(bundle), read_cases(bundle)
    return effects(model, asked["names"], cases, every=asked["every"]), {}


def _uses(job: Job, asked: dict[str, Any], _arrays: Arrays) -> Answer:
    from rnnbench.cases.stored import read_cases
    from rnnbench.cases.uses import uses
    from rnnbench.core.bundle import Bundle
    from rnnbench.models.rebuild import trained

    bundle = Bundle.open(job.bundle or "", trust_code=job.trust_code)
    return uses_to_message(uses(trained(bundle), asked["names"], read_cases(bundle)))


_ABOUT: dict[str, Callable[[Job, dict[str, Any], Arrays], Answer]] = {
    "signature": _signature,
    "account": _account,
    "cases": _cases,
    "effects": _effects,
    "uses": _uses,
}


def _answer(stream: BinaryIO, work: Callable[[], Answer]) -> bool:
    """Sends what the work returns, or why it returned nothing; whether it did."""
    try:
        header, arrays = work()
    except Exception as error:  # each runtime raises types of its own
        kind = "unavailable" if isinstance(error, Unavailable) else "refused"
        if lacks_memory(error):
            kind = "memory"
        send(stream, {"error": kind, "message": one_line(error)})
        return False
    send(stream, header, arrays)
    return True


if __name__ == "__main__":
    end_with_parent()
    main(sys.argv[1:])
    atexit._run_exitfuncs()  # removes temporary files
    os._exit(0)  # what is left is freeing memory, over which torch takes a third of a second

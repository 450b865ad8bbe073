"""A headless Chromium that a test drives: its debugging protocol over a pair of pipes.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero byte,
which the browser reads from descriptor 3 and writes to descriptor 4.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-sandbox",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said):
        pass


class Server:
    """A folder on 127.0.0.1, as `python3 -m http.server` serves it."""

    def __init__(self, folder):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self.url

    def __exit__(self, *why):
        self.server.shutdown()
        self.server.server_close()


class Browser:
    """One page of a browser with a profile of its own.

    `Browser("--use-fake-ui-for-media-stream")`: with further switches. `problems` is what the
    page's console complained of.
    """

    def __init__(self, *switches, limit=60):
        self.limit = limit
        self.problems, self.answers, self.rest, self.last = [], {}, b"", 0
        self.profile = tempfile.mkdtemp(prefix="page-")
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()
        command = (os.environ.get("CHROMIUM", "chromium"), *_SWITCHES, *switches)
        places = [f"--user-data-dir={self.profile}", "about:blank"]
        # The shell puts the pipes where the browser looks for them.
        shell = ["sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh", *command, *places]
        if max(to_read, to_write) > 9:  # a plain `sh` knows descriptors of one digit
            shell[0] = "bash"
        self.process = subprocess.Popen(
            shell,
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self.session = None
        pages = self.ask("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.to)
        os.close(self.of)
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, **params):
        """What the browser answers to a command."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + self.limit
        while self.last not in self.answers:
            self._read(until)
        answer = self.answers.pop(self.last)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _read(self, until):
        ready, _, _ = select.select([self.of], [], [], max(0, until - time.monotonic()))
        assert ready, f"the browser did not answer in {self.limit} s; {self.problems}"
        part = os.read(self.of, 1 << 20)
        assert part, f"the browser ended; {self.problems}"
        *whole, self.rest = (self.rest + part).split(b"\0")
        for raw in whole:
            message = json.loads(raw)
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self._note(message["method"], message["params"])

    def _note(self, method, said):
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.problems.append(" ".join(str(a.get("value", a)) for a in said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.problems.append(said["entry"]["text"])

    def value(self, expression):
        """What an expression gives in the page, awaited, as JSON can say it."""
        said = self.ask(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, expression, seconds=30):
        """Waits until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            text = self.value("document.body.innerText") if time.monotonic() > end else ""
            assert time.monotonic() < end, f"{expression} never came: {text[:900]}; {self.problems}"
            time.sleep(0.05)

    def open(self, url, ready="document.querySelector('main section')"):
        """Goes to a page, and waits until it is `ready`."""
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=url)
        self.until(ready)

    def give(self, selector, path):
        """Chooses a file in a field for files."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def bytes_of(self, expression):
        """The bytes behind an address that an expression gives, a blob's for example."""
        text = self.value(
            f"fetch({expression}).then((a) => a.arrayBuffer()).then((raw) => "
            "Array.from(new Uint8Array(raw), (byte) => String.fromCharCode(byte)).join(''))"
            ".then(btoa)"
        )
        return base64.b64decode(text)

    def size(self, width, height=900, scheme="light"):
        """Makes the page so wide, and light or dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path):
        """The whole page as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

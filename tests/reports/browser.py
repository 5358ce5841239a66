"""A headless Chromium, spoken to over its debugging pipe: no port, no driver to install."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
ANSWER_SECONDS = 30


def chromium() -> str | None:
    """Chromium's path, or None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Page:
    """The one page of a browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.troubles: list[str] = []

    def attach(self) -> None:
        """Take the page that the browser has opened."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        asked = {"targetId": page["targetId"], "flatten": True}
        self._session = self.ask("Target.attachToTarget", **asked)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """A command and its answer; what else the browser says is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._hear(answer)

    def open(self, file: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Open a file at a width in CSS pixels, and wait until its script has run."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.ask("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=file.as_uri())
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.value("document.readyState + location.href") != f"complete{file.as_uri()}":
            assert time.monotonic() < deadline, "the page did not load"
        self.ask("Runtime.evaluate", expression=_FRAMES, awaitPromise=True)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """The whole page as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _hear(self, message: dict[str, Any]) -> None:
        method, said = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.troubles.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.troubles.append(str(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.troubles.append(str(said["args"]))
        elif method == "Network.requestWillBeSent":
            self._request(said["request"]["url"])

    def _request(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.troubles.append(f"asked the network for {url}")

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], deadline - time.monotonic())
            assert ready, "Chromium does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "Chromium has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"


#: Chromium reads commands from descriptor 3 and answers on 4.
_START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def _out_of_the_way(descriptor: int) -> int:
    """The same pipe by a number above those that Chromium wants."""
    other = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return other


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A running Chromium with one page; ``profile`` is an empty folder for it."""
    path = chromium()
    assert path is not None
    read_theirs, write_ours = os.pipe()
    read_ours, write_theirs = map(_out_of_the_way, os.pipe())
    read_theirs = _out_of_the_way(read_theirs)
    start = [sys.executable, "-c", _START, str(read_theirs), str(write_theirs), path]
    process = subprocess.Popen(
        [*start, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(read_theirs, write_theirs),
        env={**os.environ, "TMPDIR": str(profile)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_theirs)
    os.close(write_theirs)
    try:
        page = Page(write_ours, read_ours)
        page.attach()
        yield page
    finally:
        os.close(write_ours)
        os.close(read_ours)
        process.terminate()
        process.wait(10)

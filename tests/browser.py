"""A headless Chromium over its debugging pipe: the logs, requests and picture of a page at a given width."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")


@dataclass
class Page:
    """What happened while a page was opened. `requests` are those beside the page itself."""

    browser: "Browser"
    session: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.browser.ask("Runtime.evaluate", asked, self.session)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path: Path, width: int) -> None:
        """Return a picture of the whole page as PNG."""
        height = int(self.value("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.browser.ask("Page.captureScreenshot", asked, self.session)["data"]))


class Browser:
    """One Chromium; pages one after the other."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of, self._number = to, of, 0
        self._buffer = b""
        self._page: Page | None = None

    def ask(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> Any:
        """Send a command and hear events until its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._hear(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, path: Path, width: int, height: int = 900, theme: str = "light") -> Page:
        """Load a file as a screen of that size would, and wait until it is drawn."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._page = page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable", session=session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", size, session)
        self.ask("Emulation.setTouchEmulationEnabled", {"enabled": width < 500}, session)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.ask("Emulation.setEmulatedMedia", scheme, session)
        self.ask("Page.navigate", {"url": path.as_uri()}, session)
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._hear(event)
        page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.requests = [url for url in page.requests if url != path.as_uri()]
        return page

    def _hear(self, event: dict[str, Any]) -> None:
        if self._page is None or event.get("sessionId") != self._page.session:
            return
        method, said = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            self._page.requests.append(said["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self._page.problems.append(json.dumps(said)[:2_000])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._of, 1 << 20)
            assert more, "the browser has closed its pipe"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


def found() -> str | None:
    """The browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block; skips where there is none."""
    path = found()
    if path is None:
        pytest.skip("no Chromium on PATH: pages are looked at where there is one")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (of_child, to_child), (of_us, to_us) = os.pipe(), os.pipe()
        # The protocol's pipe is descriptors 3 and 4 of the browser.
        command = f'exec "$0" "$@" 3<&{of_child} 4>&{to_us}'
        with subprocess.Popen(
            ["bash", "-c", command, path, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(of_child, to_us),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(of_child)
            os.close(to_us)
            one = Browser(to_child, of_us)
            try:
                yield one
                one.ask("Browser.close")
            finally:
                os.close(to_child)  # it ends when its pipe does
                os.close(of_us)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()

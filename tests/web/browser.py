"""Headless Chromium, told what to do through its debugging pipe: no port is opened."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
SECONDS = 60


class Browser:
    """One tab.

    Attributes:
        complaints: what its console said, and exceptions.
        requests: URLs that it asked for.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest, self._count = read, write, b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol, and takes note of events until it answers."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._count:
                assert "result" in said, said
                return said["result"]
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            some = os.read(self._read, 1 << 16)
            assert some, "Chromium ended"
            self._rest += some
        line, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _note(self, said: dict[str, Any]) -> None:
        match said.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.complaints.append(json.dumps(said["params"]))
            case "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])

    def open(self, page: str, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Opens a page as a screen of this width shows it."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.complaints.clear()
        self.requests.clear()
        self.send("Page.navigate", url=page)

    def evaluate(self, script: str) -> Any:
        """The value of an expression, of the promise where it is one."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Draws with the mouse through points of the page."""
        for index, (x, y) in enumerate(points):
            kind = "mouseMoved" if index else "mousePressed"
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                clickCount=1,
            )  # fmt: skip
        x, y = points[-1]
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left")

    def click(self, selector: str) -> None:
        """Clicks an element as a person does, which pages need for what may disturb."""
        frame = self.evaluate(
            f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        )
        self.drag([(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)])

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    assert CHROMIUM is not None
    to_chromium, from_us = os.pipe()
    to_us, from_chromium = os.pipe()
    with tempfile.TemporaryDirectory() as profile:
        # It reads commands from descriptor 3 and writes answers to 4.
        actions = [
            (os.POSIX_SPAWN_DUP2, to_chromium, 30),
            (os.POSIX_SPAWN_DUP2, from_chromium, 31),
            (os.POSIX_SPAWN_DUP2, 30, 3),
            (os.POSIX_SPAWN_DUP2, 31, 4),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        pid = os.posix_spawn(CHROMIUM, command, os.environ, file_actions=actions)
        os.close(to_chromium)
        os.close(from_chromium)
        try:
            tab = Browser(to_us, from_us)
            yield tab
            tab._session = None
            tab.send("Browser.close")
        finally:
            os.close(from_us)
            os.close(to_us)
            os.waitpid(pid, 0)

"""A headless Chromium with no network, steered through chromedriver: what a page looks like and what it does."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
#: Why no browser can be started; empty where one can.
MISSING = "" if CHROMIUM and DRIVER else "needs chromium and chromedriver (Debian: chromium, chromium-driver)"
_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
#: How long chromedriver may take to answer its first question, in seconds.
PATIENCE = 30


class Browser:
    """One session; the methods wait until the browser has answered."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": _OPTIONS},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/session/{session['sessionId']}"

    def _ask(self, path: str, body: Any = None, method: str = "POST") -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, kind, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def open(self, path: Path, *, width: int, dark: bool = False) -> None:
        """Show a file as a screen of this many pixels has it; a narrow one is a phone's."""
        phone = width < 600
        screen = {"width": width, "height": 800, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._cdp("Emulation.setDeviceMetricsOverride", screen)
        self._cdp("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._ask("/url", {"url": path.resolve().as_uri()})

    def _cdp(self, command: str, given: dict[str, Any]) -> Any:
        return self._ask("/goog/cdp/execute", {"cmd": command, "params": given})

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self._ask("/execute/sync", {"script": f"return {expression}", "args": []})

    def complaints(self) -> list[str]:
        """What has come to the console since it was asked last: errors, refused styles and scripts."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def requests(self) -> dict[str, str]:
        """The addresses that were asked for since it was asked last, each with why it was not; "" if it was."""
        messages = [json.loads(e["message"])["message"] for e in self._ask("/se/log", {"type": "performance"})]
        events = [(m["method"].removeprefix("Network."), m["params"]) for m in messages]
        wanted = {p["requestId"]: p["request"]["url"] for name, p in events if name == "requestWillBeSent"}
        failed = [(p["requestId"], p.get("blockedReason", "")) for name, p in events if name == "loadingFailed"]
        blocked = {wanted[number]: reason for number, reason in failed if number in wanted}
        return {url: blocked.get(url, "") for url in wanted.values()}

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        size = self.ask("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        taken = self._cdp("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(taken["data"]))

    def close(self) -> None:
        self._ask("", method="DELETE")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, and the driver that it needs, for as long as the context is open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        opened = Browser(port)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        driver.terminate()
        driver.wait()


def _await(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)

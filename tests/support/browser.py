"""A headless Chromium for tests, driven through its own pipe (Chrome DevTools Protocol): no library, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--force-prefers-reduced-motion",
)


def find_browser() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One browser with one page; a context manager. `messages` gathers console errors, exceptions and requests."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        read_commands, self._write = os.pipe()
        self._read, write_answers = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        line = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}'
        arguments = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", line, program, *arguments],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._buffer, self._next, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events that arrive meanwhile are kept."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._next:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def show(self, width: int = 1280, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Set the window's size, the colour scheme that the user prefers, and the medium (screen or print)."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, script: str) -> Any:
        """Return the value of a script's expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 20) -> None:
        """Wait until a script's expression is true."""
        script = f"""new Promise((done, failed) => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > end) failed("this is still not so");
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        self.evaluate(script)

    def choose(self, place: str, label: str, value: str) -> None:
        """Choose an option of the control with that label inside the element `place`, as a user does."""
        script = f"""(() => {{
            const labels = [...document.querySelectorAll("#{place} label")];
            const select = labels.find(label => label.firstChild.textContent === "{label}").querySelector("select");
            select.value = "{value}";
            select.dispatchEvent(new Event("change", {{ bubbles: true }}));
            return select.value;
        }})()"""
        assert self.evaluate(script) == value

    def press(self, *keys: str) -> None:
        """Press and release keys, such as "Tab" or "ArrowRight"."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            about = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": codes[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Save a picture of the whole page, or of the window."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """Return console errors, exceptions and log entries of level error since the page was opened."""
        self.evaluate("0")
        found = []
        for event in self.events:
            name, about = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(str(about["exceptionDetails"]))
            elif name == "Runtime.consoleAPICalled" and about["type"] in {"error", "warning", "assert"}:
                found.append(str(about["args"]))
            elif name == "Log.entryAdded" and about["entry"]["level"] in {"error", "warning"}:
                found.append(str(about["entry"]))
        return found

    def requests(self) -> Sequence[str]:
        """Return the addresses that were asked for since the page was opened, data and blobs left out."""
        sent = [event["params"]["request"]["url"] for event in self.events if event.get("method") == SENT]
        return [url for url in sent if not url.startswith(("data:", "blob:"))]


SENT = "Network.requestWillBeSent"

"""A browser that tests can drive."""

import json
import os
import subprocess
from pathlib import Path


class Browser:
    """Headless Chromium, driven through its DevTools protocol over a pair of pipes."""

    def __init__(self, program: str, profile: Path):
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        # Chromium reads from descriptor 3 and writes to 4.
        shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        arguments = [
            program,
            *flags.split(),
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", shell, *arguments], pass_fds=(commands, answers), stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._unread, self._asked, self.events, self._session = b"", 0, [], {}
        page = next(one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Log", "Runtime", "Page"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params) -> dict:
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._asked:
            self.events.append(answer)
        return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._unread:
            read = os.read(self._answers, 1 << 20)
            assert read, "Chromium ended"
            self._unread += read
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def run(self, script: str):
        return self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)[
            "result"
        ]["value"]

    def open_blank(self) -> None:
        self.ask("Page.navigate", url="about:blank")
        self.run("new Promise((done) => setTimeout(() => done(1), 100))")
        self.events.clear()

    def open(self, path: Path, width: int, dark: bool) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=path.as_uri())
        loaded = "document.readyState === 'complete' && location.protocol === 'file:'"
        self.run(
            f"new Promise((done) => {{ const look = () => {loaded} ? done(1) : setTimeout(look, 50); look(); }})"
        )
        # Time for messages of the page beside it, and for errors to be logged.
        self.run("new Promise((done) => setTimeout(() => done(1), 500))")

    def logged(self) -> list[str]:
        """Everything that stands in the console."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [json.dumps(event) for event in self.events if event.get("method") in kinds]

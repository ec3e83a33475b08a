"""A headless Chromium that tests can open pages in, click and look at.

with Browser(folder) as browser:
    browser.open("http://127.0.0.1:8000/")
    browser.run("document.title")
    assert not browser.errors

It speaks Chromium's own DevTools protocol, so it needs no driver.
"""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time

from websockets.sync.client import connect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))),
    None,
)
SECONDS = 30.0
"""Longest wait for anything."""


class Browser:
    """One page of a browser of its own. A context.

    Args:
        folder: for its profile.
        size: of the window, pixels.
        dark: whether the person prefers dark pages.
        offline: without network, even that of this machine.
    """

    def __init__(self, folder, size=(1100, 900), dark=False, offline=False):
        self.folder, self.size, self.dark, self.offline = folder, size, dark, offline
        self.errors: list[str] = []
        self._numbers = itertools.count(1)

    def __enter__(self):
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        flags += ["--remote-debugging-port=0", f"--user-data-dir={self.folder}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.open_things = contextlib.ExitStack()
        self.process = subprocess.Popen([CHROMIUM, *flags, "about:blank"], **quiet)
        self.open_things.callback(self._stop)
        port_file = self.folder / "DevToolsActivePort"
        self.wait(lambda: port_file.exists() and port_file.read_text().count("\n"))
        port, path = port_file.read_text().splitlines()
        address = f"ws://127.0.0.1:{port}{path}"
        self.socket = self.open_things.enter_context(connect(address, max_size=None))
        self.session = None
        self.wait(lambda: self._pages())
        target = self._pages()[0]["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        width, height = self.size
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else ""}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        if self.offline:
            none = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.send("Network.emulateNetworkConditions", offline=True, **none)
        return self

    def __exit__(self, *_):
        self.open_things.close()

    def _stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)

    def _pages(self):
        targets = self.send("Target.getTargets")["targetInfos"]
        return [target for target in targets if target["type"] == "page"]

    def send(self, method, **parameters):
        """Ask the browser, noting what its console says meanwhile."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event, said):
        if event == "Runtime.exceptionThrown":
            self.errors.append(str(said["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] == "error":
            self.errors.append(str(said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(said["entry"]["text"])

    def open(self, url):
        """Load a page."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState == 'complete'")

    def run(self, script):
        """The value of a JavaScript expression."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition):
        """Wait until a JavaScript expression is true."""
        self.wait(lambda: self.run(condition), condition)

    @staticmethod
    def wait(condition, what=""):
        """Wait until a function returns something true."""
        limit = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < limit, f"It never came: {what}"
            time.sleep(0.05)

    def screenshot(self, path):
        """Write what is seen as a PNG."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

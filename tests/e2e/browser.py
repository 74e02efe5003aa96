"""Chromium without a screen, driven by Debian's chromedriver through selenium: opens files, and
tells what went wrong in them."""

import base64
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import browser_trace
import harness
from ports import free_port
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chromium.remote_connection import ChromiumRemoteConnection

CHROMIUM = os.environ.get("MERGANSER_CHROMIUM", "/usr/bin/chromium")
DRIVER = os.environ.get("MERGANSER_CHROMEDRIVER", "/usr/bin/chromedriver")


class Browser:
    """One browser, used as a context. Its windows are of the size that `open` says."""

    def __init__(self, traced=False):
        """`traced`: it keeps a trace, for `trace`; what it does takes a little longer then."""
        self._traced = traced

    def __enter__(self):
        # Of its own, so that it ends with the browser and nothing of a user's is read.
        self._home = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        options = Options()
        options.binary_location = CHROMIUM
        # No sandbox: it wants user namespaces, which containers and root do not have. What is
        # opened is our own.
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                     "hide-scrollbars", "no-first-run", "disable-background-networking",
                     "disable-component-update", "remote-debugging-pipe",
                     "user-data-dir=" + self._home.name):
            options.add_argument("--" + flag)
        options.set_capability("goog:loggingPrefs", {
            "browser": "ALL", **({"performance": "ALL"} if self._traced else {})})
        if self._traced:
            options.add_experimental_option("perfLoggingPrefs", {
                "enableNetwork": False, "enablePage": False,
                "traceCategories": browser_trace.CATEGORIES})
        # By its number, and not selenium's way: a bare machine knows no "localhost".
        port = free_port()
        self._log = open(os.path.join(self._home.name, "driver.log"), "wb")
        self._service = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", DRIVER, "--port=%d" % port],
                                         stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=self._log)
        url = "http://127.0.0.1:%d" % port
        self._await(url + "/status")
        self.driver = webdriver.Remote(
            ChromiumRemoteConnection(url, vendor_prefix="goog", browser_name="chrome",
                                     ignore_proxy=True),
            options=options)
        return self

    def _await(self, url):
        deadline = time.monotonic() + 60
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                with no_proxy.open(url, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline or self._service.poll() is not None:
                    with open(self._log.name, encoding="utf-8", errors="replace") as f:
                        raise RuntimeError("chromedriver: " + f.read()) from None
                time.sleep(0.05)

    def __exit__(self, *unused):
        self.driver.quit()
        self._service.kill()
        self._service.wait()
        self._log.close()
        self._home.cleanup()

    def open(self, path, fragment="", **how):
        """As `visit`, of a file."""
        self.visit(pathlib.Path(path).as_uri() + fragment, **how)

    def visit(self, address, width=1280, height=900, dark=False):
        """Opens an address in a window whose content has this width; returns when its script ran."""
        self.look(width, height, dark)
        # The same file with another fragment would not be loaded anew.
        self.driver.get("about:blank")
        self.complaints()  # of what was open before
        self.driver.get(address)

    def look(self, width=1280, height=900, dark=False):
        """The window's size and the system's theme, of what is open and what will be."""
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=False)

    def command(self, name, **parameters):
        # What chromedriver knows beyond the standard.
        return self.driver.execute("executeCdpCommand", {"cmd": name, "params": parameters})["value"]

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, by, what):
        """The element, as soon as it is there: a page of megabytes is not shown at once."""
        def look():
            return (self.driver.find_elements(by, what) or [None])[0]
        return harness.wait_for("the element %s" % what, look, pause=0.03)

    def complaints(self):
        """What the console holds since it was last asked: errors, and violations of the content
        security policy."""
        return ["%(level)s %(message)s" % entry for entry in self.driver.get_log("browser")]

    def trace(self):
        """The events of the trace since it was last asked, as Chromium's trace format has them."""
        messages = []
        # In parts; the trace ends and goes on at the first, once the one before was all taken.
        while entries := self.driver.get_log("performance"):
            messages += [json.loads(entry["message"])["message"] for entry in entries]
        lost = [m["params"] for m in messages if m["method"] == "Tracing.bufferUsage"]
        assert not lost, lost
        return [m["params"] for m in messages if m["method"] == "Tracing.dataCollected"]

    def picture(self, path, height=None):
        """A screenshot of the whole page, or of its beginning."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        data = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": size["width"], "height": height or size["height"],
            "scale": 1})
        with open(path, "wb") as f:
            f.write(base64.b64decode(data["data"]))

"""What tests of the dashboard share: a browser and how to ask it, and a feed of made-up jobs."""

import os
import shutil
import tempfile
import time
import unittest

import dashboard_data as made
import dashboard_feed
import dashboard_server
import harness
from browser import Browser
from dashboard_pictures import Picture, report_page
from selenium.webdriver.common.by import By

SCREENSHOTS = os.environ.get("MERGANSER_SCREENSHOTS")
RUNNING = "jobs/00000001"


def open_browser(traced=False):
    """For a test's setUpModule: one browser for all of its classes."""
    BrowserCase.browser = unittest.enterModuleContext(Browser(traced))


def set_up_module():
    """The same, and a picture for the feed."""
    open_browser()
    folder = tempfile.mkdtemp(prefix="e2e-pages-", dir=harness.DATA)
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    PagesCase.picture = Picture(report_page(folder, 28))


class BrowserCase(harness.Case):
    browser = None
    url = None

    def visit(self, path, **how):
        self.browser.visit(self.url + path, **how)
        self.shown()

    def shown(self):
        self.until("the view", "return performance.getEntriesByName('merganser-shown').length > 0")

    def until(self, what, script, *arguments):
        return harness.wait_for(what, lambda: self.browser.run(script, *arguments), pause=0.03)

    def text(self, css):
        return self.browser.run(
            "const found = document.querySelector(arguments[0]); return found && found.innerText",
            css,
        )

    def until_text(self, css, part):
        harness.wait_for(
            "%r in %s" % (part, css), lambda: part in (self.text(css) or ""), pause=0.03
        )

    def find(self, css):
        return self.browser.find(By.CSS_SELECTOR, css)

    def button(self, words):
        return self.browser.find(
            By.XPATH, "//*[self::button or self::a][normalize-space(.)='%s']" % words
        )

    def address(self):
        return self.browser.run("return location.pathname + location.search")

    def fine(self):
        """No error, no violation of the policy, nothing wider than the window."""
        complaints = [c for c in self.browser.complaints() if "favicon" not in c]
        self.assertEqual(complaints, [])
        wide, window = self.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        self.assertLessEqual(wide, window)

    def shot(self, name):
        if not SCREENSHOTS:
            return
        os.makedirs(SCREENSHOTS, exist_ok=True)
        self.browser.picture(os.path.join(SCREENSHOTS, name + ".png"))


class PagesCase(BrowserCase):
    picture = None

    def setUp(self):
        super().setUp()
        self.serve(
            dashboard_feed.Feed(
                made.some_jobs(time.time(), 100), made.some_workers(time.time()), self.picture
            )
        )

    def serve(self, feed):
        self.feed = feed
        self.url = self.enterContext(dashboard_server.serving(feed))
        self.addCleanup(self.browser.driver.get, "about:blank")

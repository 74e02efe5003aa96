"""axe, the accessibility rules that most audits run, over every view of the dashboard and over the
one-file report, in both themes and on a phone: nothing that it calls serious or critical.

usage: axe_test.py        environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR, NODE_PATH
Needs axe-core of npm (tests/run.sh --full installs it) and Debian's python3-selenium: run it with
/usr/bin/python3.
"""

import os
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import dashboard_data as made  # noqa: E402
import dashboard_feed  # noqa: E402
import dashboard_server  # noqa: E402
import harness  # noqa: E402
import make_report  # noqa: E402
from browser import Browser  # noqa: E402
from dashboard_pictures import Picture, comparison_page, report_page  # noqa: E402

AXE = os.path.join(os.environ.get("NODE_PATH", "").split(":")[0], "axe-core", "axe.min.js")
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations.map((each) => ({
  id: each.id, impact: each.impact, help: each.help,
  at: each.nodes.slice(0, 4).map((node) => node.target.join(' ') + ': ' + node.failureSummary.replace(/\\s+/g, ' ')),
}))), (problem) => done([{ id: 'axe', impact: 'critical', help: String(problem), at: [] }]));
"""
# What is there when the view stands.
VIEWS = [
    ("/jobs", ".jobs tbody tr"),
    ("/jobs?filter=nothing", ".empty"),
    ("/jobs/00000001", ".cells"),
    ("/jobs/00000003", ".warn-note"),
    ("/jobs/00000006", ".events"),
    ("/jobs/00000009", ".opening"),
    ("/jobs/00000008", ".bad-note"),
    ("/submit", ".plan-body"),
    ("/submit?from=00000001", ".plan-body .figures"),
    ("/workers?worker=node-05", ".worker-details"),
    ("/compare", ".empty"),
    ("/compare?a=00000009&b=00000001", ".side-by-side"),
    ("/login", "[name=token]"),
    ("/jobs/ffff", ".empty"),
]


class AxeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(AXE, encoding="utf-8") as f:
            cls.axe = f.read()
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="axe-"))
        cls.browser = cls.enterClassContext(Browser())
        for name, seed in (("a", 1), ("b", 2)):
            make_report.write(os.path.join(cls.folder, name), make_report.report(12, 0, seed))
        paths = [os.path.join(cls.folder, name) for name in ("a", "b")]
        cls.paths = paths
        feed = dashboard_feed.Feed(
            made.some_jobs(time.time(), 20),
            made.some_workers(time.time()),
            Picture(report_page(paths[0], 12)),
            comparison_page(*paths),
        )
        feed.measured = 40
        cls.url = cls.enterClassContext(dashboard_server.serving(feed))

    def look(self, what):
        """In both themes and widths of what is open."""
        self.browser.run(self.axe)
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            self.browser.look(width=width, dark=dark)
            time.sleep(0.2)
            found = self.browser.driver.execute_async_script(RUN)
            for each in found:
                print(
                    what,
                    width,
                    "dark" if dark else "light",
                    each["impact"],
                    each["id"],
                    each["help"],
                    *each["at"],
                    sep="\n    "
                )
            with self.subTest(what=what, width=width, dark=dark):
                self.assertEqual(
                    [each["id"] for each in found if each["impact"] in ("serious", "critical")], []
                )

    def test_every_view_of_the_dashboard(self):
        for path, there in VIEWS:
            self.browser.visit(self.url + path)
            harness.wait_for(
                path,
                lambda: self.browser.run(
                    "return document.querySelector(arguments[0]) !== null", there
                ),
                limit=60,
            )
            time.sleep(0.3)
            self.browser.run(
                "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
            )
            self.look(path)

    def test_what_opens_over_and_within_a_job(self):
        self.browser.visit(self.url + "/jobs/00000001")
        harness.wait_for(
            "the job", lambda: self.browser.run("return document.querySelector('.cells') !== null")
        )
        self.browser.run(
            "[...document.querySelectorAll('button')].filter((each) => each.innerText === 'Show as table').forEach((each) => each.click())"
        )
        self.look("tables")
        self.browser.run(
            "[...document.querySelectorAll('button')].find((each) => each.innerText.startsWith('Cancel')).click()"
        )
        self.look("cancel")

    def test_reports(self):
        for outputs in (self.paths[:1], self.paths):
            page = os.path.join(self.folder, "page.html")
            result = harness.run("report", *outputs, "--html", page)
            self.assertEqual(result.code, 0, str(result))
            self.browser.open(page)
            self.look("report of %d" % len(outputs))


if __name__ == "__main__":
    unittest.main(verbosity=2)

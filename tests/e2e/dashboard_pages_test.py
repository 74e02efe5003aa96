"""The dashboard's pages, over a feed of made-up jobs (dashboard_feed.py): what lists, workers and comparisons
show and how it changes; every view in both themes and on a phone.

MERGANSER_SCREENSHOTS=FOLDER keeps pictures of the pages."""

import time

import dashboard_case
import dashboard_data as made
import harness
import make_report
from dashboard_case import RUNNING, SCREENSHOTS, PagesCase
from dashboard_pictures import comparison_page
from selenium.webdriver.common.keys import Keys

setUpModule = dashboard_case.set_up_module


class JobsTest(PagesCase):
    def test_a_row_says_the_most_useful_thing_of_its_state(self):
        self.visit("/jobs")
        row = lambda name: self.browser.run(
            "return [...document.querySelectorAll('tbody tr')].find((row) => row.innerText.includes(arguments[0])).innerText",
            name,
        )
        self.assertIn("388\u00a0MiB/s read", row("math-code-tools"))
        self.assertIn("about\u00a065\u00a0s", row("math-code-tools"))
        self.assertIn("Running, waits", row("llama-70b"))
        self.assertIn("Waits for storage: /shared/ckpt is not mounted", row("llama-70b"))
        self.assertIn("Second in the queue", row("sweep-08"))
        self.assertIn("Reads the headers of 3 models", row("tools-v3"))
        self.assertIn("Request wrong: slerp takes 1 model", row("chat-merge"))
        self.assertIn("The experts agree a little more than chance", row("sample-experts"))
        self.assertIn("15 of 16 answer", self.text(".strip").replace("\n", " "))
        self.assertEqual(self.text(".feed"), "Live")
        # Signs differ in shape, not in colour alone.
        shapes = self.browser.run(
            "return [...document.querySelectorAll('.jobs .glyph')].map((each) => each.innerHTML.replace(/stroke-dasharray=.[\\d.]+ 37.7./, ''))"
        )
        self.assertEqual(len(set(shapes)), 8)
        self.fine()

    def test_filter_order_and_page_stand_in_the_address(self):
        self.visit("/jobs")
        self.assertIn("1 to 50 of 110, newest first", self.text(".pager"))
        self.button("Older").click()
        self.until_text(".pager", "51 to 100 of 110")
        self.assertIn("page_token=50", self.address())
        self.button("Newer").click()
        self.until_text(".pager", "1 to 50")
        self.browser.run("scrollTo(0, 0)")
        self.button("Queued2").click()
        self.until_text(".pager", "1 to 2 of 2")
        self.assertEqual(self.address(), "/jobs?filter=state+%3D+QUEUED")
        search = self.find(".find")
        search.send_keys("sweep-09", Keys.ENTER)
        self.until_text(".pager", "1 to 1 of 1")
        # A link is the view.
        link = self.address()
        self.visit(link)
        self.assertIn("1 to 1 of 1", self.text(".pager"))
        self.assertEqual(self.text("[aria-pressed=true]"), "Queued2")
        self.assertEqual(self.find(".find").get_attribute("value"), "sweep-09")
        search = self.find(".find")
        search.clear()
        search.send_keys("nothing-like-this", Keys.ENTER)
        self.until_text("main", "No job matches \u201cnothing-like-this\u201d")
        self.button("Clear the filter").click()
        self.until_text(".pager", "1 to 50 of 110")
        # An unknown field: the server's words, and the list stays.
        self.find(".find").send_keys('colour = "red"', Keys.ENTER)
        self.until_text("#find-problem", "found the field \u2019colour\u2019")
        self.browser.complaints()  # the refusal itself
        self.visit("/jobs")
        self.button("By").click()
        self.until(
            "the order",
            "return location.search === '?order_by=owner' && document.querySelector('[aria-sort=ascending]') !== null",
        )
        self.until_text("tbody tr", "evaluation")
        self.button("By").click()
        self.until(
            "the other order",
            "return document.querySelector('[aria-sort=descending] button').innerText === 'By'",
        )
        self.until_text("tbody tr", "sweeps")
        self.fine()

    def test_rows_change_in_place_and_new_ones_wait_until_nobody_reads(self):
        self.visit("/jobs")
        self.browser.run(
            "for (const row of document.querySelectorAll('tbody tr')) row.known = true;"
            "window.changed = [];"
            "new MutationObserver((list) => window.changed.push(...list.map((each) => each.target.closest ? each.target : each.target.parentElement)))"
            ".observe(document.querySelector('tbody'), { subtree: true, childList: true, characterData: true, attributes: true });"
        )
        self.feed.change(RUNNING, pace={"bytes_read_per_second": str(512 * made.MIB)})
        self.until_text("tbody", "512\u00a0MiB/s read")
        rows = self.browser.run(
            "return new Set(window.changed.map((each) => each.closest('tr'))).size"
        )
        self.assertLessEqual(rows, 3, "only what changed is touched, and ages")
        self.assertTrue(
            self.browser.run(
                "return [...document.querySelectorAll('tbody tr')].every((row) => row.known)"
            )
        )
        self.feed.change(
            RUNNING,
            state="FAILED",
            error={
                "code": 13,
                "reason": "RETRY_MAY_HELP",
                "message": "the output\u2019s disk is full",
            },
            finish_time=made.stamp(time.time()),
            pace=None,
        )
        self.until_text("tbody", "the output\u2019s disk is full")
        # At the top a new job comes in by itself.
        self.feed.add(made.job(0xBEEF, "QUEUED", time.time(), display_name="came-in"))
        self.until_text("tbody tr", "came-in")
        # While somebody reads further down it waits.
        self.browser.run("scrollTo(0, 600)")
        self.feed.add(made.job(0xBEE0, "QUEUED", time.time() + 1, display_name="waits-above"))
        self.until_text(".news", "1 new job")
        self.assertNotIn("waits-above", self.text("tbody"))
        self.button("1 new job").click()
        self.until_text("tbody tr", "waits-above")
        self.fine()

    def test_an_empty_list_and_one_that_cannot_be_had(self):
        self.feed.jobs.clear()
        self.visit("/jobs")
        self.assertIn("No merge yet", self.text("main"))
        self.fine()
        self.feed.refusing = 503
        self.browser.visit(self.url + "/jobs")
        self.until_text("main", "refused by the test")
        self.feed.refusing = None
        self.button("Try again").click()
        self.until_text("main", "No merge yet")


class WorkersTest(PagesCase):
    def test_the_table_a_row_and_a_worker_that_dies_and_comes_back(self):
        self.visit("/workers")
        self.assertIn("15 of 16 answer", self.text(".facts"))
        row = lambda name: self.browser.run(
            "return [...document.querySelectorAll('.workers tbody')].find((each) => each.innerText.includes(arguments[0])).innerText",
            name,
        )
        self.assertIn("silent for", row("node-12"))
        self.button("node-05").click()
        self.assertEqual(self.address(), "/workers?worker=node-05")
        self.assertIn("read timed out", row("node-05"))
        self.assertIn("Last ten minutes", row("node-05"))
        self.visit(self.address())
        self.assertIn("read timed out", row("node-05"))
        self.browser.run(
            "window.untouched = document.querySelector('.workers tbody'); new MutationObserver(() => { window.touched = true; }).observe(window.untouched, { subtree: true, childList: true, characterData: true })"
        )
        self.feed.change_worker(
            "node-03",
            state="GONE",
            last_seen=made.stamp(time.time() - 31),
            bytes_read_per_second="0",
            bytes_written_per_second="0",
        )
        harness.wait_for(
            "it to be silent",
            lambda: "silent for 31" in row("node-03").replace("\u00a0", " "),
            limit=20,
        )
        self.until_text(".facts", "14 of 16 answer")
        self.feed.change_worker("node-03", state="ALIVE", last_seen=made.stamp(time.time()))
        harness.wait_for("it to answer", lambda: "answers" in row("node-03"), limit=20)
        self.assertFalse(
            self.browser.run("return window.touched === true"), "other rows are left alone"
        )
        self.feed.change_worker("node-04", version="0.2.0")
        self.until_text("main", "Workers of 2 versions are here")
        self.find("input[type=search]").send_keys("node-1")
        self.until(
            "the others to go", "return document.querySelectorAll('.workers tbody').length === 7"
        )
        self.fine()


class CompareTest(PagesCase):
    def test_two_merges_and_the_tensors_that_differ_most(self):
        for name, seed in (("a", 1), ("b", 2)):
            make_report.write(self.path(name), make_report.report(6, 0, seed))
        self.feed.comparison = comparison_page(self.path("a"), self.path("b"))
        self.visit("/compare?a=00000009&b=00000001")
        self.until_text("#differ .head", "Coherence: 42 of 42 tensors differ")
        self.find("#differ input").send_keys("layers.2.")
        self.until(
            "the others to go",
            "return document.querySelectorAll('#differ tbody tr').length === 7",
        )
        self.assertIn("find=layers.2.", self.address())
        # A link is the view.
        self.visit(self.address())
        names = "return [...document.querySelectorAll('#differ tbody td:first-child')].map((each) => each.textContent)"
        self.until("the same tensors", names + ".length === 7")
        for name in self.browser.run(names):
            self.assertIn("layers.2.", name)
        self.find("#differ tbody a").click()
        self.assertIn("layer 2", self.text(".sentence[aria-live]"))
        self.assertIn("difference", self.text(".sentence[aria-live]"))
        self.fine()


class LookTest(PagesCase):
    def test_every_view_in_both_themes_and_widths(self):
        for name, seed in (("a", 1), ("b", 2)):
            make_report.write(self.path(name), make_report.report(6, 0, seed))
        self.feed.comparison = comparison_page(self.path("a"), self.path("b"))
        self.feed.measured = 108
        views = [
            ("jobs", "/jobs", ".jobs tbody tr"),
            ("job", "/jobs/00000001", ".cells"),
            ("report", "/jobs/00000009", ".opening"),
            ("failed", "/jobs/00000008", ".bad-note"),
            ("submit", "/submit?from=00000001", ".plan-body .figures"),
            ("workers", "/workers?worker=node-05", ".worker-details"),
            ("compare", "/compare?a=00000009&b=00000001", ".side-by-side"),
            ("login", "/login", "[name=token]"),
        ]
        for name, path, there in views:
            self.visit(path)
            self.until(there, "return document.querySelector(arguments[0]) !== null", there)
            self.assertLess(self.browser.run("return document.querySelectorAll('*').length"), 2000)
            for width in (1280, 390):
                grounds = []
                for dark in (False, True):
                    with self.subTest(view=name, width=width, dark=dark):
                        self.browser.look(width=width, dark=dark)
                        grounds.append(
                            self.browser.run(
                                "return getComputedStyle(document.body).backgroundColor"
                            )
                        )
                        self.fine()
                        if SCREENSHOTS:
                            # What sticks to the window's end would hide what it stands over.
                            self.browser.look(
                                width=width,
                                dark=dark,
                                height=self.browser.run(
                                    "return document.documentElement.scrollHeight"
                                ),
                            )
                            time.sleep(0.5)
                            self.shot("live-%s-%d-%s" % (name, width, "dark" if dark else "light"))
                self.assertEqual(len(set(grounds)), 2)


if __name__ == "__main__":
    harness.main()

"""The dashboard's pages where things are not as they should be, over a feed of made-up jobs
(dashboard_feed.py): what they say of a feed that is old, gone or refused; ten tabs; who is not signed
in; and that names stay text."""

import time

import dashboard_case
import dashboard_data as made
import harness
from dashboard_case import RUNNING, PagesCase
from selenium.webdriver.common.keys import Keys

setUpModule = dashboard_case.set_up_module

HOSTILE = "</script><img src=x onerror=document.title='taken'>\u202e\u200bx"

# Of a page that is loaded next: its clock can be set forward.
CLOCK = "window.ahead = 0; const now = Date.now.bind(Date); Date.now = () => now() + window.ahead;"


class FeedTest(PagesCase):
    def test_what_is_said_of_a_feed_that_is_silent_gone_and_back(self):
        identifier = self.browser.command("Page.addScriptToEvaluateOnNewDocument", source=CLOCK)[
            "identifier"
        ]
        self.addCleanup(
            self.browser.command, "Page.removeScriptToEvaluateOnNewDocument", identifier=identifier
        )
        self.visit("/jobs/00000001")
        self.until_text(".feed", "Live")
        self.browser.run("window.ahead = 7000")
        self.until_text(".feed", "old")
        self.assertIn("as of", self.text(".figure-left"))
        self.browser.run("window.ahead = 40000")
        self.until_text(".feed", "No answer")
        self.until_text(".banner", "The coordinator has not answered for")
        self.assertIn("388\u00a0MiB/s", self.text(".figure-read"), "figures stay")
        self.assertEqual(
            self.text("[role=status].unseen").strip(), "The coordinator does not answer"
        )
        self.feed.send("cluster", self.feed.cluster())
        self.until_text(".feed", "Live")
        self.assertNotIn("as of", self.text(".figure-left"))

    def test_after_a_restart_the_view_is_asked_for_again(self):
        self.visit("/jobs")
        harness.wait_for("the stream", lambda: self.feed.streams, limit=20)
        self.feed.send("cluster", self.feed.cluster())
        self.until_text(".feed", "Live")
        with self.feed.lock:
            self.feed.jobs[RUNNING]["display_name"] = "renamed-while-away"
            self.feed.restart()
        self.until_text("tbody", "renamed-while-away")

    def test_where_no_stream_is_to_be_had_the_page_asks(self):
        self.feed.events_status = 503
        self.visit("/jobs")
        self.until_text(".feed", "Every 5 s")
        self.feed.jobs[RUNNING]["display_name"] = "seen-by-asking"
        self.until_text("tbody", "seen-by-asking")

    def test_pages_that_were_left_let_go_of_their_streams(self):
        # The browser keeps pages for the way back, and has six connections to a host.
        for number in range(8):
            self.browser.driver.get("%s/workers?find=node-%d" % (self.url, number))
            self.shown()
        self.until_text(".feed", "Live")
        self.browser.driver.back()
        self.shown()
        self.until_text(".feed", "Live")

    def test_a_hidden_tab_lets_go_of_its_stream_and_ten_tabs_work(self):
        driver = self.browser.driver
        first = driver.current_window_handle
        self.visit("/jobs")
        self.feed.send("cluster", self.feed.cluster())
        harness.wait_for("the stream", lambda: len(self.feed.streams) == 1, limit=20)
        try:
            for _ in range(9):
                driver.switch_to.new_window("tab")
                driver.get(self.url + "/jobs/00000001")
                self.shown()

            # The others are hidden and have none; a dead stream is seen at the next word to it.
            def streams():
                self.feed.send("cluster", self.feed.cluster())
                return len(self.feed.streams) <= 2

            harness.wait_for("hidden tabs to let go", streams, limit=20, pause=0.3)
            driver.switch_to.window(first)
            self.feed.change(RUNNING, display_name="renamed-while-hidden")
            self.browser.command("Page.bringToFront")
            self.until_text("tbody", "renamed-while-hidden")
        finally:
            for handle in driver.window_handles:
                if handle != first:
                    driver.switch_to.window(handle)
                    driver.close()
            driver.switch_to.window(first)


class SafetyTest(PagesCase):
    def test_signing_in_leads_back(self):
        self.feed.token = "secret"
        self.browser.visit(self.url + "/jobs/00000001?measure=beta")
        self.until(
            "the login",
            "return location.pathname === '/login' && document.querySelector('[name=token]') !== null",
        )
        self.assertEqual(self.address(), "/login?next=%2Fjobs%2F00000001%3Fmeasure%3Dbeta")
        self.assertIn("you come back to the view you were at", self.text("main"))
        self.find("[name=token]").send_keys("wrong", Keys.ENTER)
        self.until_text("#login-problem", "This token is not known here.")
        self.find("[name=token]").send_keys("secret", Keys.ENTER)
        self.until(
            "the view",
            "return location.pathname === '/jobs/00000001' && location.search === '?measure=beta'",
        )
        self.until_text(".who", "alice")
        # Nothing of the token is kept where a script could read it.
        self.assertEqual(
            self.browser.run(
                "return [document.cookie, localStorage.length, sessionStorage.length]"
            ),
            ["", 0, 0],
        )
        # The token is withdrawn while the page is open.
        self.feed.sessions.clear()
        self.feed.break_streams()
        self.until("the login again", "return location.pathname === '/login'")
        # A link that logs in works once, and says so.
        self.browser.visit(self.url + "/login?link=spent")
        self.until_text("main", "This link was used already")
        # Another host is no place to go to next.
        self.browser.visit(self.url + "/login?next=%2F%2Fevil.example%2Fx")
        self.find("[name=token]").send_keys("secret", Keys.ENTER)
        self.until("the list", "return location.pathname === '/jobs'")
        self.shown()
        self.button("Sign out").click()
        self.until("the login at last", "return location.pathname === '/login'")
        self.assertEqual(self.feed.sessions, set())

    def test_names_stay_text(self):
        job = self.feed.jobs[RUNNING]
        job.update(
            display_name=HOSTILE,
            owner=HOSTILE,
            method=HOSTILE,
            models=[HOSTILE],
            labels={HOSTILE: HOSTILE},
            output_uri=HOSTILE,
            recipe=HOSTILE,
            recipe_source=HOSTILE,
            warnings=[HOSTILE],
        )
        job["pace"]["diagnosis"].update(text=HOSTILE, advice=HOSTILE)
        self.feed.jobs["jobs/00000008"]["error"]["message"] = HOSTILE
        worker = self.feed.workers["node-05"]
        for key in ("host", "version", "simd"):
            worker[key] = HOSTILE
        worker["last_trouble"]["message"] = HOSTILE
        self.feed.workers[HOSTILE] = dict(worker, name=HOSTILE)
        activity = made.activity(job, list(self.feed.workers.values())[:6], time.time())
        activity["event_kinds"][0].update(kind=HOSTILE, means=HOSTILE, advice=HOSTILE)
        activity["event_kinds"][0]["recent"][-1]["text"] = HOSTILE
        activity["slowest"][0].update(worker=HOSTILE, tensor=HOSTILE)
        self.feed.activities[RUNNING] = activity
        self.feed.plan = dict(
            made.PLAN,
            warnings=[{"text": HOSTILE, "line": 1, "key": HOSTILE}],
            modes=[{"mode": HOSTILE, "family": HOSTILE, "tensors": 1, "parameters": "1"}],
            models=[{"given": HOSTILE, "uri": HOSTILE, "shards": 1, "origin": HOSTILE}],
        )
        for path in (
            "/jobs",
            "/jobs/00000001",
            "/jobs/00000008",
            "/workers?worker=node-05",
            "/submit?from=00000001",
        ):
            with self.subTest(path=path):
                self.visit(path)
                self.until(
                    "all of it",
                    "return !document.querySelector('[aria-busy]') && document.body.innerText.includes('</script><img src=x')",
                )
                time.sleep(0.7 if path.startswith("/submit") else 0.2)
                shown = self.browser.run(
                    "document.querySelectorAll('details').forEach((each) => { each.open = true; }); return document.body.innerText"
                )
                self.assertIn("\\u{202e}", shown)
                self.assertNotIn("\u202e", shown)
                self.assertEqual(
                    self.browser.run(
                        "return [document.images.length, document.scripts.length, document.title.startsWith('taken')]"
                    ),
                    [0, 1, False],
                )
                self.fine()

    def test_a_foreign_script_would_be_seen(self):
        """That the policy is in force, and that this test would see what it forbids."""
        self.visit("/jobs")
        self.browser.run(
            "const script = document.createElement('script'); script.textContent = \"document.title = 'taken'\"; document.body.append(script);"
            "document.querySelector('h1').setAttribute('style', 'color: red')"
        )
        self.assertNotEqual(self.browser.driver.title, "taken")
        complaints = self.browser.complaints()
        self.assertGreaterEqual(len(complaints), 2, complaints)
        self.assertTrue(all("Content Security Policy" in c for c in complaints), complaints)


if __name__ == "__main__":
    harness.main()

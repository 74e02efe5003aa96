"""The dashboard stays smooth with 10,000 jobs, 200 workers and a picture of a thousand tensors: in a
trace of Chromium no task of the page takes more than 100 ms, neither while a view is loaded nor while
a recorded feed is played to it.

A bar of the clock would be the machine's, which may do other work on its two cores: a task is judged
by the CPU time that its thread took, and what took longest by the clock is printed beside it. The
recording is made by a seed (dashboard_recording.py), and not kept as a file."""

import time

import browser_trace
import dashboard_case
import dashboard_feed
import dashboard_recording
import harness
from dashboard_case import RUNNING, PagesCase
from dashboard_pictures import Picture, report_page

TASK_WITHIN_MS = 100
# Half of the updates, so that a busy machine does not count: 8 ms are typical without other work.
UPDATE_WITHIN_MS = 200


def setUpModule():
    dashboard_case.open_browser(traced=True)


class TasksTest(harness.Case):
    """What is read out of a trace."""

    META = {"ph": "M", "name": "thread_name"}
    MARK = {"ph": "I", "name": "here", "pid": 1, "tid": 7}

    def test_only_the_main_thread_of_the_page_counts(self):
        events = [
            dict(self.META, pid=1, tid=7, args={"name": "CrRendererMain"}),
            dict(self.META, pid=1, tid=8, args={"name": "Compositor"}),
            dict(self.META, pid=2, tid=7, args={"name": "CrRendererMain"}),
            self.MARK,
        ]
        for pid, tid, took in ((1, 7, 120), (1, 7, 3), (1, 8, 500), (2, 7, 700)):
            events.append(
                {
                    "ph": "X",
                    "name": "RunTask",
                    "pid": pid,
                    "tid": tid,
                    "ts": took,
                    "dur": 2000 * took,
                    "tdur": 1000 * took,
                }
            )
        events.append(
            {"ph": "X", "name": "Layout", "pid": 1, "tid": 7, "ts": 130, "dur": 90_000, "tdur": 9}
        )
        self.assertEqual(
            browser_trace.tasks(events, "here"), [(120, 240, "Layout"), (3, 6, "")]
        )

    def test_a_trace_that_cannot_be_judged_is_no_smooth_page(self):
        meta = dict(self.META, pid=1, tid=7, args={"name": "CrRendererMain"})
        with self.assertRaisesRegex(AssertionError, "no page"):
            browser_trace.tasks([meta], "here")
        task = {"ph": "X", "name": "RunTask", "pid": 1, "tid": 7, "ts": 1, "dur": 2}
        self.assertEqual(
            browser_trace.tasks([meta, self.MARK, task], "here"), [(0.002, 0.002, "")]
        )
        task["dur"] = 20_000
        with self.assertRaisesRegex(AssertionError, "tdur"):
            browser_trace.tasks([meta, self.MARK, task], "here")


class SmoothTest(PagesCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recording = dashboard_recording.make(time.time())

    def setUp(self):
        super().setUp()
        picture = Picture(
            report_page(self.path("large"), self.recording.layers, seed=self.recording.seed)
        )
        self.assertGreaterEqual(len(picture.gates), 1000)
        self.serve(dashboard_feed.Feed(self.recording.jobs, self.recording.workers, picture))
        self.feed.measured = dashboard_recording.MEASURED

    def open(self, path):
        """From here on the trace is of this page, its loading included."""
        self.browser.trace()
        self.visit(path)

    def play(self, view):
        for pause, name, data in self.recording.events[view]:
            if name == "measure":
                self.feed.measure(view, data)
            else:
                self.feed.send(name, data, view)
            time.sleep(pause)

    def judge(self, what, measure):
        """That it stayed smooth; prints how smooth. Ends the page's trace."""
        updates = self.browser.run(
            "return performance.getEntriesByName(arguments[0]).map((each) => each.duration)",
            measure,
        )
        found = browser_trace.tasks(self.browser.trace(), "merganser-shown")
        print("%s: %s" % (what, browser_trace.longest(found)))
        self.assertGreater(len(found), 20)
        self.assertGreaterEqual(len(updates), 3)
        self.assertLess(sorted(updates)[len(updates) // 2], UPDATE_WITHIN_MS)
        self.assertLess(found[0].cpu, TASK_WITHIN_MS, "%s: %r" % (what, found[:3]))

    def test_ten_thousand_jobs(self):
        self.open("/jobs")
        self.play("jobs")
        self.until_text("tr:has(a[href='/%s'])" % RUNNING, "307\u00a0MiB/s")
        self.judge("list of 10,000 jobs", "merganser-apply")
        self.assertIn("1 to 50 of 10,000", self.text(".pager"))
        self.assertLess(self.browser.run("return document.querySelectorAll('*').length"), 1500)
        loaded = self.browser.run(
            "return performance.getEntriesByType('resource').map((each) => each.name.replace(location.origin, '')).filter((each) => each.startsWith('/static/') && !each.endsWith('.svg'))"
        )
        self.assertLessEqual(len(loaded), 7, loaded)
        self.fine()

    def test_two_hundred_workers(self):
        self.open("/workers")
        self.play("workers")
        self.until_text(".workers tbody", "81.0\u00a0MiB/s")
        self.judge("200 workers", "merganser-apply")
        self.assertLess(self.browser.run("return document.querySelectorAll('*').length"), 5000)
        self.fine()

    def test_a_thousand_tensors(self):
        self.open("/jobs/00000001")
        self.until_text("main", "400 of 1,001 tensors so far")
        self.play(RUNNING)
        self.until_text("main", "700 of 1,001 tensors so far")
        self.judge("picture of 1,001 tensors", "merganser-picture")
        self.fine()

    def test_a_page_that_stutters_would_be_found(self):
        """By a planted task of 150 ms; planted again where the system took the core away meanwhile."""
        script = (
            "setTimeout(() => { const end = performance.now() + 150;"
            " while (performance.now() < end); performance.mark('planted'); }, 10);"
        )

        def found():
            self.browser.trace()
            self.browser.run("performance.clearMarks('planted'); " + script)
            self.until("the loop", "return performance.getEntriesByName('planted').length > 0")
            worst = browser_trace.tasks(self.browser.trace(), "planted")[0]
            self.assertGreaterEqual(worst.wall, 150)
            return worst if worst.cpu > TASK_WITHIN_MS else None

        self.visit("/jobs")
        worst = harness.wait_for("the planted task", found)
        print("planted: %r" % (worst,))


if __name__ == "__main__":
    harness.main()

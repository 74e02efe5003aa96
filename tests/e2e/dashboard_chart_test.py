"""The chart of a job's throughput over time: no two words on it stand on one another, and all stand
inside, wherever its lines end, however long the queue was and the rest takes, and in any width."""

import itertools
import time

import dashboard_case
import dashboard_data as made
from dashboard_case import RUNNING, PagesCase

setUpModule = dashboard_case.set_up_module

WIDTHS = (1280, 800, 390)
# Drawn for the width that it has.
DRAWN = (
    "const host = document.querySelector('.chart-host'); const drawing = host && host.querySelector('svg');"
    "return Boolean(drawing) && drawing.viewBox.baseVal.width === Math.max(240, Math.floor(host.clientWidth))"
)
WORDS = (
    "const box = (each) => { const at = each.getBoundingClientRect(); return [at.left, at.top, at.right, at.bottom]; };"
    "const drawing = document.querySelector('.chart svg');"
    "return [box(drawing), [...drawing.querySelectorAll('text')].map((each) => [each.textContent, box(each)])]"
)


def overlap(one, other):
    """Whether two boxes share more than half a pixel each way."""
    return all(
        min(one[i + 2], other[i + 2]) - max(one[i], other[i]) > 0.5 for i in (0, 1)
    )


class ChartTest(PagesCase):
    def activity(self, job, read=388, write=97, queued=58):
        """Of which the last point has these rates, in MiB/s, after a wait in the queue."""
        created = time.time() - 262
        job["create_time"] = made.stamp(created)
        activity = made.activity(job, list(self.feed.workers.values())[:6], time.time())
        points = activity["history"]["points"]
        for key, rate in (("bytes_read", read), ("bytes_written", write)):
            points[-1][key] = str(int(points[-2][key]) + 2 * rate * made.MIB)
        begin = made.stamp(created + queued + 4)
        activity["history"]["begin"] = begin
        for phase, at in zip(activity["phases"], (0, queued, queued + 4)):
            phase["begin"] = made.stamp(created + at)
        for phase, at in zip(activity["phases"], (queued, queued + 4)):
            phase["end"] = made.stamp(created + at)
        self.feed.activities[job["name"]] = activity

    def check(self, what):
        for width in WIDTHS:
            with self.subTest(what, width=width):
                self.browser.look(width)
                self.until("the chart", DRAWN)
                whole, words = self.browser.run(WORDS)
                self.assertGreaterEqual(len(words), 5, words)
                self.assertTrue(
                    {"read", "written", "submitted"} <= {text for text, _ in words}, words
                )
                for text, box in words:
                    self.assertTrue(
                        box[0] >= whole[0] - 0.5 and box[2] <= whole[2] + 0.5, (text, box, whole)
                    )
                on_one = [
                    (one[0], other[0])
                    for one, other in itertools.combinations(words, 2)
                    if overlap(one[1], other[1])
                ]
                self.assertEqual(on_one, [], words)
                self.shot("chart-%s-%d" % (what.replace(" ", "-"), width))

    def test_while_it_runs(self):
        job = self.feed.jobs[RUNNING]
        for what, left, rates in (
            ("much is to come", "600s", {}),
            ("little is to come", "20s", {}),
            ("the end is near", "1s", {}),
            ("nobody knows how long", None, {}),
            ("as much is written as read", "20s", {"read": 97, "write": 97}),
            ("a little less is written", "1s", {"read": 110, "write": 85}),
            ("a little more is written", "1s", {"read": 300, "write": 320}),
            ("nothing moves", "20s", {"read": 0, "write": 0}),
            ("all at the top", "1s", {"read": 500, "write": 500}),
            ("it waited long", "20s", {"queued": 180}),
        ):
            job["pace"]["time_left"] = left
            self.activity(job, **rates)
            self.visit("/" + RUNNING)
            self.check(what)
        self.fine()

    def test_when_it_ended(self):
        job = self.feed.jobs["jobs/00000009"]
        self.activity(job, read=4, write=2)
        job["start_time"] = made.stamp(time.time() - 200)
        job["finish_time"] = made.stamp(time.time() - 1)
        self.visit("/jobs/00000009")
        self.find("details.fold > summary").click()
        self.check("it ended")


if __name__ == "__main__":
    dashboard_case.harness.main()

"""The dashboard over a real coordinator and real workers, in Chromium: a merge from the login to its
report, with what happens on the way, and that all who tell its numbers tell the same.

MERGANSER_SCREENSHOTS=FOLDER keeps pictures of the pages, in both themes at two widths."""

import contextlib
import functools
import http.server
import json
import os
import re
import signal
import threading
import time

import dashboard_case
import harness
import metrics_text
from dashboard_case import SCREENSHOTS
from http_case import Site, bearer, token
from ports import free_port
from selenium.webdriver.common.keys import Keys

setUpModule = dashboard_case.open_browser

# After so many seconds of silence a worker is gone.
PATIENCE = 4
BROWSER_NAMES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Slowed:
    """A worker that runs for moments only, for as long as this context lasts or until `over`: no
    machine is too fast for a browser to look on, and the worker still says that it lives."""

    def __init__(self, worker, done):
        """`done()`: how many units are done."""
        self._worker, self._done = worker, done
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        moment, before, pause = 0.001, 0, 0.05
        while not self._over.wait(pause):
            self._worker.send_signal(signal.SIGCONT)
            time.sleep(moment)
            self._worker.send_signal(signal.SIGSTOP)
            done = self._done()
            # Longer moments where a machine does nothing in one; a rest where it did.
            moment = 0.001 if done > before else min(moment * 1.2, 0.3)
            pause = 1.0 if done > before else 0.05
            before = done

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self.over()

    def over(self):
        self._over.set()
        self._thread.join()
        self._worker.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def another_site(page):
    """A page of another site: by another name of this machine, since cookies know no ports."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *unused):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield "http://localhost:%d/" % server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def as_bytes(text):
    """18.1 MiB -> the least and the greatest number that is told so."""
    number, unit = re.match(r"([\d.]+)\s(\w+)", text).groups()
    step = 10 ** -len(number.partition(".")[2])
    return ((float(number) - step / 2) * BROWSER_NAMES[unit],
            (float(number) + step / 2) * BROWSER_NAMES[unit])


class DashboardTest(dashboard_case.BrowserCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.browser.driver.get, "about:blank")
        tokens = self.path("tokens")
        with open(tokens, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("".join("%s %s %s-user\n" % (token(role), role, role)
                            for role in ("read", "submit", "work")))
        for role in ("submit", "work"):
            with open(self.path(role), "w", encoding="utf-8") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(token(role) + "\n")
        # A port that the next coordinator has as well.
        port = free_port()
        self.url = "http://127.0.0.1:%d" % port
        self.site = Site(self.url)
        self.cluster = self.enterContext(harness.Cluster(
            0, self.path("state"), connect_args=("--token-file", self.path("work")),
            coordinator_args=("--http", "127.0.0.1:%d" % port, "--token-file", tokens,
                              "--worker-timeout", PATIENCE)))
        with open(harness.recipe(
                self.path("r.yaml"), "resmerge", harness.SAMPLE_BASE, harness.SAMPLE,
                {"rank_topk": 1, "src_beta_min": 0.7, "head_ratio_budget": 0.2},
                # 25 units, and not one.
                max_shard_size="200KB", out_dtype="bfloat16"), encoding="utf-8") as f:
            self.recipe = f.read()

    def api(self, path):
        answer = self.site.ask("GET", "/api/v1/" + path, headers=bearer("read"))
        self.assertEqual(answer.status, 200, str(answer))
        return answer.json

    def log_in(self):
        self.until("the login", "return location.pathname === '/login' && document.querySelector('[name=token]')")
        self.find("[name=token]").send_keys(token("submit"), Keys.ENTER)
        self.until("the view", "return location.pathname !== '/login' && performance.getEntriesByName('merganser-shown').length > 0")

    def fine(self):
        # That it was not logged in; and that this test reads pixels.
        told = [c for c in self.browser.complaints()
                if not re.search(r"/api/v1/session - .* 401|Canvas2D", c)]
        self.assertEqual(told, [])

    def looks(self, name):
        """Pictures of what is open, in both themes at two widths."""
        if SCREENSHOTS:
            # The header stays where the window is.
            self.browser.run("scrollTo(0, 0)")
            for width in (1280, 390):
                for dark in (False, True):
                    self.browser.look(width, 900, dark)
                    time.sleep(0.3)
                    self.shot("%s-%d-%s" % (name, width, "dark" if dark else "light"))
            self.browser.look()

    def submit_on_the_page(self):
        self.button("Submit").click()
        self.until_text("h1", "Submit a merge")
        # Typed, an editor would have to keep up; people paste.
        self.browser.run(
            "const area = document.querySelector('textarea'); area.focus();"
            "document.execCommand('insertText', false, arguments[0])", self.recipe)
        self.find("[name=output]").send_keys(self.path("out"))
        self.find("[name=name]").send_keys("sample experts")
        self.until_text(".plan-body", "What happens to the tensors")
        self.until_text(".plan-body", "18.1\u00a0MiB")
        self.assertIn("stored as BF16", self.text(".plan-body"))
        start = self.button("Start the merge")
        harness.wait_for("the start", start.is_enabled)
        self.looks("submit")
        start.click()
        self.until("the job", "return location.pathname.startsWith('/jobs/')")
        return self.browser.run("return location.pathname.slice(1)")

    def picture(self):
        """How many tensors have their measurement, by the page's words, and how many pixels are
        painted on the map."""
        found = re.search(r"(\d+) of 42 tensors so far", self.text("main") or "")
        return (int(found.group(1)) if found else 0, self.browser.run(
            "const map = document.querySelector('.map canvas'); if (!map || !map.width) return 0;"
            "const data = map.getContext('2d').getImageData(0, 0, map.width, map.height).data;"
            "let painted = 0; for (let i = 3; i < data.length; i += 4) if (data[i] === 255) painted += 1;"
            "return painted"))

    def watch_it_fill(self):
        seen = [self.picture()]
        while len(seen) < 5:
            def more():
                found = self.picture()
                return found if found[0] > seen[-1][0] else None
            seen.append(harness.wait_for("more of the picture", more, pause=0.05))
            if len(seen) == 4:
                self.looks("job")
        tensors, pixels = zip(*seen)
        self.assertEqual(sorted(set(tensors)), list(tensors))
        self.assertEqual(sorted(set(pixels)), list(pixels))
        self.assertGreater(tensors[-1], 8)

    def worker_rows(self):
        return self.browser.run(
            "return [...document.querySelectorAll('.worker-line')].map((row) => row.innerText)")

    def test_from_login_to_report(self):
        self.browser.visit(self.url + "/jobs")
        self.log_in()
        self.until_text("main", "No merge yet")
        self.browser.run("window.loaded = 'once'")
        first = self.cluster.add_worker()
        harness.wait_for("it", lambda: self.cluster.log().count("connected") == 1)
        first.send_signal(signal.SIGSTOP)
        name = self.submit_on_the_page()
        with Slowed(first, lambda: int(self.api(name)["progress"]["units_done"])):
            self.watch_it_fill()
            self.until_text(".workers-now", "unit")
            self.assertIn("base: stored as BF16", self.text(".origins"))
            units = self.api(name)["progress"]["units_total"]
            self.assertIn("of %s" % units, self.text(".figure-units"))

            # A worker dies. What it held goes to the next.
            self.button("Workers").click()
            harness.wait_for("a worker", lambda: "answers" in "".join(self.worker_rows()))
            died = self.worker_rows()[0].split()[0]
            # In the middle of the merge.
            first.send_signal(signal.SIGKILL)
            first.wait()
        harness.wait_for("it to be gone", lambda: re.search(
            r"silent for|gone", "".join(self.worker_rows())))
        self.assertEqual(self.api(name)["state"], "RUNNING")
        self.assertIn("0 of 1 answer", self.text(".facts"))

        # Another job, which nobody works on, is cancelled.
        with open(self.path("other.yaml"), "w", encoding="utf-8") as f:
            f.write(self.recipe)
        done = harness.run("submit", self.path("other.yaml"), self.path("other"), "--coordinator",
                           self.cluster.address, "--token-file", self.path("submit"))
        self.assertEqual(done.code, 0, str(done))
        other = done.out.strip()
        self.button("Jobs").click()
        self.until_text("tbody", "other.yaml")
        self.until_text("tbody", "Running, waits")
        self.looks("jobs")
        self.find("a[href='/%s']" % other).click()
        self.until_text("h1", "other.yaml")
        self.button("Cancel\u2026").click()
        self.button("Cancel the merge").click()
        self.until_text("main", "Nothing of the output became visible")
        self.assertEqual(self.api(other)["state"], "CANCELLED")
        self.assertNoOutput(self.path("other"))

        # A worker comes, and the rest is done.
        self.button("Workers").click()
        self.cluster.add_worker()
        harness.wait_for("the next one", lambda: len(
            [row for row in self.worker_rows() if "answers" in row and died not in row]) == 1)
        self.looks("workers")
        self.browser.driver.back()
        self.button("Jobs").click()
        self.until_text("tbody", "18.1\u00a0MiB read, 4.54\u00a0MiB written")
        self.find("a[href='/%s']" % name).click()
        self.until_text("main", "What went in and came out")
        self.find("details.fold > summary").click()
        self.until_text(".events", "A unit was lost by a silent worker")
        self.assertEqual(self.browser.run("return window.loaded"), "once")
        self.looks("ended")
        self.fine()
        self.check_numbers(name)
        self.check_restart(name)

    def check_numbers(self, name):
        """Page, API, both reports and metrics tell the same."""
        report = harness.report(self.path("out"))
        summary = json.loads(self.ok("report", self.path("out"), "--json").out)
        job = self.api(name)
        self.assertEqual(self.api(name + "/report"), report)
        listed = [each for each in self.api("jobs")["jobs"] if each["name"] == name]
        run = report["run"]
        series, _ = metrics_text.parse(self.site.get("/metrics").body)
        metric = functools.partial(metrics_text.total, series)
        for key, metric_name in (("bytes_read", "input"), ("bytes_written", "output")):
            self.assertEqual(
                [summary["run"][key], int(job[key]), int(listed[0][key]),
                 metric("merganser_units_%s_bytes_total" % metric_name)], 4 * [run[key]])
        units = len(run["unit_seconds"])
        self.assertEqual([int(job["progress"]["units_done"]), int(job["progress"]["units_total"]),
                          summary["units"], metric("merganser_units_completed_total")], 4 * [units])
        # Jobs by state, and workers.
        cluster = self.api("cluster")
        of_state = {state.lower(): int(number) for state, number in cluster["jobs"].items()}
        self.assertEqual({k: v for k, v in of_state.items() if v}, {"succeeded": 1, "cancelled": 1})
        for state in ("queued", "planning", "running", "publishing", "succeeded", "failed",
                      "cancelled"):
            self.assertEqual(metric("merganser_jobs", state=state), of_state.get(state, 0), state)
        for state in ("succeeded", "failed", "cancelled"):
            self.assertEqual(metric("merganser_jobs_ended_total", state=state),
                             of_state.get(state, 0), state)
        workers = self.api("workers")["workers"]
        alive = [each for each in workers if each["state"] != "GONE"]
        self.assertEqual([metric("merganser_workers"), cluster["workers_alive"],
                          cluster["workers_known"]], [len(alive), len(alive), len(workers)])
        self.assertEqual((len(alive), len(workers)), (1, 2))
        # Where the time went, and what was done again: of this job alone, as the other had no unit.
        activity = self.api(name + "/activity")
        self.assertEqual(set(activity["stages"]), set(run["stage_seconds"]))
        for stage, seconds in run["stage_seconds"].items():
            self.assertAlmostEqual(activity["stages"][stage], seconds, delta=0.001, msg=stage)
            self.assertAlmostEqual(metric("merganser_units_stage_seconds_total", stage=stage),
                                   seconds, delta=0.001, msg=stage)
        counted = {each["kind"]: int(each["count"]) for each in activity["event_kinds"]}
        lost, failed = (metric("merganser_leases_%s_total" % how) for how in ("lost", "failed"))
        self.assertGreater(lost, 0)
        self.assertEqual([counted.get("LEASE_LOST", 0), counted.get("UNIT_FAILED", 0)],
                         [lost, failed])
        self.assertEqual([int(activity["retries"]), int(job["progress"]["retries"])],
                         2 * [lost + failed])
        # The page has them in its fold, which is open.
        whole = sum(run["stage_seconds"].values())
        shown = self.browser.run(
            "return [...document.querySelectorAll('.keys li')].map((row) => row.children[2].innerText)")
        self.assertEqual(len(shown), len(run["stage_seconds"]))
        for text, stage in zip(shown, ("wait", "read", "compute", "write", "flush")):
            share = 100 * run["stage_seconds"][stage] / whole
            told = 0.5 if text.startswith("<") else float(text.split()[0])
            self.assertLessEqual(abs(told - share), 0.51, (stage, text, share))
        times = "once" if lost == 1 else "%d\u00a0times" % lost
        self.assertIn(times, self.browser.run(
            "return [...document.querySelectorAll('.events summary')].find((each) => each.innerText.includes('lost by a silent worker')).innerText"))

        # The page.
        figures = dict(self.browser.run(
            "return [...document.querySelectorAll('.opening .figures > *')].map((each) => [each.children[0].innerText, each.children[1].innerText])"))
        for label, value in (("Read", run["bytes_read"]),
                             ("Written", sum(shard["size"] for shard in report["shards"]))):
            least, most = as_bytes(figures[label])
            self.assertTrue(least <= value <= most, (label, figures, value))
        tensors = {each["name"]: each for each in report["tensors"]}
        fell = [each for each in tensors.values() if each.get("branch") == 0]
        gates = [each for each in tensors.values() if "branch" in each]
        self.assertGreater(len(fell), 0)
        self.assertEqual(summary["fell_back"]["count"], len(fell))
        self.assertEqual(summary["fell_back"]["of"], len(gates))
        self.assertEqual(figures["Fell back"], "%d of %d" % (len(fell), len(gates)))

        # One tensor's numbers, by keyboard alone.
        gate = summary["fell_back"]["gates"][0]
        self.assertEqual(gate["coherence"], tensors[gate["name"]]["coherence"])
        self.browser.run("document.activeElement.blur(); scrollTo(0, 0)")
        for _ in range(60):
            self.browser.driver.switch_to.active_element.send_keys(Keys.TAB)
            if self.browser.run("return document.activeElement.classList.contains('cells')"):
                break
        cells = self.browser.driver.switch_to.active_element
        cells.send_keys(Keys.CONTROL, Keys.HOME)
        layer, module = re.match(r"model\.layers\.(\d+)\.(.*)", gate["name"]).groups()
        cells.send_keys(*[Keys.ARROW_RIGHT] * int(layer))
        for _ in range(7):
            if module in self.text(".read-out"):
                break
            cells.send_keys(Keys.ARROW_DOWN)
        cells.send_keys(Keys.ENTER)
        self.assertIn(gate["name"], self.text(".read-out"))
        self.assertIn("tensor=" + gate["name"], self.address())
        digits = re.match(r"0\.(\d+)", self.text(".read-out .big")).group(1)
        self.assertEqual(digits, ("%.*f" % (len(digits), gate["coherence"]))[2:])
        self.assertGreaterEqual(len(digits), 3)

    def check_restart(self, name):
        """A coordinator that was killed and started again, before which its pages stay open."""
        self.cluster.kill_coordinator()
        harness.wait_for("the page to notice", lambda: self.text(".feed") != "Live")
        self.cluster.start_coordinator()
        # Who was logged in was so with the one that died; the address is kept.
        address = self.address()
        self.until("the login, which the page goes to by itself", "return location.pathname === '/login'")
        self.until_text("main", "when the coordinator is started again")
        self.log_in()
        self.assertEqual(self.address(), address)
        self.until_text("main", "What went in and came out")
        self.until_text(".read-out", "model.layers")
        self.assertIn("Succeeded", self.text(".facts"))
        # It was read from the output, and nothing else has it.
        os.rename(self.path("out", "merge_report.json"), self.path("kept"))
        answer = self.site.ask("GET", "/api/v1/%s/report" % name, headers=bearer("read"))
        self.assertEqual((answer.status, answer.json["error"]["details"][0]["reason"]),
                         (404, "REPORT_GONE"))
        # The picture of it that was made before is not shown in its place.
        self.browser.driver.refresh()
        self.until_text("main", "The report is gone")
        os.rename(self.path("kept"), self.path("out", "merge_report.json"))
        self.browser.driver.refresh()
        self.until_text("main", "What went in and came out")

    def test_a_link_from_another_site(self):
        answer = self.site.ask("POST", "/api/v1/jobs", {
            "recipe": self.recipe, "output_uri": self.path("out"), "directories": [self.dir],
            "display_name": "sent-in-a-chat"}, bearer("submit"))
        self.assertEqual(answer.status, 200, str(answer))
        name = answer.json["name"]
        self.browser.visit(self.url + "/")
        self.log_in()
        form = ('<form method="post" enctype="text/plain" action="%s/api/v1/%s:cancel">'
                '<button>cancel it</button></form>' % (self.url, name))
        with another_site('<!doctype html><a href="%s/%s">look</a>%s' % (self.url, name, form)) as url:
            self.browser.visit(url)
            self.find("a").click()
            # No login is between.
            self.until_text("h1", "sent-in-a-chat")
            self.fine()
            # What it asks for is another matter.
            self.browser.visit(url)
            self.find("button").click()
            self.until("an answer", "return location.origin === arguments[0] && document.body", self.url)
            self.assertNotIn("CANCELLED", self.browser.run("return document.body.innerText"))
        job = self.api(name)
        self.assertFalse(job["cancelling"] or job["state"] == "CANCELLED", str(job))


if __name__ == "__main__":
    harness.main()

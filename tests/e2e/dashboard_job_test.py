"""The dashboard's pages of one job and of its beginning, over a feed of made-up jobs: a merge that goes on,
its picture, cancelling and priorities; a recipe that is planned and started once."""

import re
import time

import dashboard_case
import dashboard_data as made
import harness
from dashboard_case import RUNNING, PagesCase
from dashboard_feed import Refused
from selenium.webdriver.common.keys import Keys

setUpModule = dashboard_case.set_up_module


class JobTest(PagesCase):
    def test_a_running_job_as_it_goes_on(self):
        self.feed.measured = 100
        self.visit("/jobs/00000001")
        self.until_text("main", "100 of 196 tensors so far")
        self.assertIn("about\u00a065\u00a0s", self.text(".figure-left"))
        self.assertIn("Reading is the limit.", self.text(".note"))
        self.assertIn("Round 1: measure, done", self.text(".rounds"))
        bar = self.find("[role=progressbar]")
        self.assertEqual(
            bar.get_attribute("aria-valuetext"), "56 percent, about\u00a065\u00a0s left"
        )
        self.assertIn("3.2\u00a0\u00d7 slower", self.text(".workers-now tbody tr"))
        self.assertIn("node-05", self.text(".workers-now tbody tr"))
        self.assertIn(
            "base base: stored as FP8 E4M3 with 128x128 blocks (253 tensors), BF16 (1 tensor)",
            self.text(".origins"),
        )
        self.assertIn(
            "expert rl-math: LoRA, 224 of 224 modules, r=16, alpha 32, scale 2, on /models/base,",
            self.text(".origins"),
        )
        self.feed.change(
            RUNNING,
            pace={"time_left": "41s", "bytes_read_per_second": str(420 * made.MIB)},
            progress={"units_done": "80"},
        )
        self.until_text(".figure-left", "about\u00a040\u00a0s")
        self.assertIn("80 of 114", self.text(".figure-units"))
        # The cell that is looked at is measured while it is looked at.
        cells = self.find(".cells")
        cells.send_keys(Keys.CONTROL, Keys.END)
        self.until_text(".read-out", "Not measured yet")
        self.feed.measure(RUNNING, 196)
        self.until_text("main", "196 of 196 tensors so far")
        self.until_text(".read-out", "model.layers.27.mlp.down_proj.weight")
        # It ends: the report takes the place of what was live.
        self.feed.change(
            RUNNING,
            state="SUCCEEDED",
            finish_time=made.stamp(time.time()),
            pace=None,
            verdict="They agree.",
        )
        self.until_text("main", "What went in and came out")
        self.assertIn("It is no accuracy", self.text(".opening"))
        self.assertIn("Time and events", self.text("main"))
        self.assertIn("Succeeded", self.text(".facts"))
        self.fine()

    def test_the_picture_fills_in_by_cells_and_the_scale_only_widens(self):
        self.feed.measured = 60
        self.visit("/jobs/00000001")
        self.until_text("main", "60 of 196 tensors so far")
        before = self.browser.run(
            "return document.querySelector('.legend svg').getAttribute('aria-label')"
        )
        self.browser.run(
            "window.drawn = 0; const fill = CanvasRenderingContext2D.prototype.fillRect;"
            "CanvasRenderingContext2D.prototype.fillRect = function (...all) { window.drawn += 1; return fill.apply(this, all); }"
        )
        self.feed.measure(RUNNING, 63)
        self.until_text("main", "63 of 196 tensors so far")
        drawn = self.browser.run("return window.drawn")
        self.assertLessEqual(drawn, 6, "three cells were measured, and only they are drawn")
        self.assertGreaterEqual(drawn, 1)
        edges = lambda label: [float(x) for x in re.findall(r"from ([\d.]+)", label)]
        after = self.browser.run(
            "return document.querySelector('.legend svg').getAttribute('aria-label')"
        )
        self.assertLessEqual(edges(after)[0], edges(before)[0])
        self.assertGreaterEqual(edges(after)[-1], edges(before)[-1])
        self.assertIn("with a worker", self.text(".legend"))
        self.assertIn("not yet", self.text(".legend"))
        self.fine()

    def test_the_map_by_keyboard_and_its_place_in_the_address(self):
        self.feed.measured = 196
        self.visit("/jobs/00000001?measure=beta")
        self.until_text("[aria-pressed=true]", "Beta")
        cells = self.find(".cells")
        cells.send_keys(Keys.CONTROL, Keys.HOME)
        cells.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
        self.assertIn("model.layers.1.self_attn.k_proj.weight", self.text(".read-out"))
        self.assertEqual(
            self.address(),
            "/jobs/00000001?measure=beta&tensor=model.layers.1.self_attn.k_proj.weight",
        )
        grid = self.browser.run(
            "const grid = document.querySelector('[role=grid]'); const cell = document.getElementById(grid.getAttribute('aria-activedescendant'));"
            "return [grid.getAttribute('aria-rowcount'), grid.getAttribute('aria-colcount'), cell.getAttribute('role'), cell.getAttribute('aria-rowindex'), cell.getAttribute('aria-colindex'), grid.querySelectorAll('[tabindex]').length]"
        )
        self.assertEqual(grid, ["7", "28", "gridcell", "2", "2", 0])
        self.visit(self.address())
        self.until_text(".read-out", "layer 1 \u00b7 k")
        # The chart has a cursor of its own.
        chart = self.find(".chart")
        chart.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
        self.assertIn("read", chart.get_attribute("aria-valuetext"))
        self.assertEqual(chart.get_attribute("aria-valuenow"), "1")
        self.fine()

    def test_events_are_folded_by_kind(self):
        self.visit("/jobs/00000001")
        self.until_text(".events", "A unit failed and was given out again")
        self.assertIn("44 events of 3 kinds", self.text("main"))
        summary = self.find(".events summary")
        self.assertIn("41 times", summary.text)
        summary.send_keys(Keys.ENTER)
        self.until_text(".events details[open]", "What to do: Look at the worker\u2019s log.")
        self.assertEqual(
            self.text(".events pre"), "unit 19 failed on worker node-02: read timed out"
        )
        self.assertEqual(
            self.browser.run("return document.querySelectorAll('.recent li').length"), 19
        )

    def test_cancelling_asks_first(self):
        self.visit("/jobs/00000001")
        self.button("Cancel\u2026").click()
        self.assertEqual(self.browser.run("return document.activeElement.innerText"), "Let it run")
        self.assertIn("64 of 114 units are done", self.text("dialog"))
        self.browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        self.until("the dialog to close", "return document.querySelector('dialog') === null")
        self.assertFalse(self.feed.jobs[RUNNING]["cancelling"])
        self.button("Cancel\u2026").click()
        self.shot("cancel-dialog")
        self.button("Cancel the merge").click()
        self.until(
            "the button to say so",
            "return [...document.querySelectorAll('button')].some((each) => each.innerText === 'Cancelling\u2026' && each.disabled)",
        )
        self.assertTrue(self.feed.jobs[RUNNING]["cancelling"])
        self.feed.change(
            RUNNING,
            state="CANCELLED",
            cancelling=False,
            finish_time=made.stamp(time.time()),
            pace=None,
        )
        self.until_text(".facts", "Cancelled")
        self.button("Submit again").click()
        self.until(
            "the recipe",
            "const area = document.querySelector('textarea'); return area && area.value.includes('merge_method: resmerge')",
        )
        self.assertEqual(self.address(), "/submit?from=00000001")
        self.fine()

    def test_a_priority_is_set_and_an_ended_job_removed(self):
        self.visit("/jobs/00000006")
        self.button("Priority\u2026").click()
        number = self.find("[name=priority]")
        number.clear()
        number.send_keys("7", Keys.ENTER)
        self.until_text(".facts", "priority 7")
        self.assertEqual(self.feed.jobs["jobs/00000006"]["priority"], 7)
        self.visit("/jobs/0000000a")
        self.button("Remove\u2026").click()
        self.assertEqual(self.browser.run("return document.activeElement.innerText"), "Keep it")
        self.button("Remove").click()
        self.until("the list", "return location.pathname === '/jobs'")
        self.until_text(".pager", "of 109")
        self.assertNotIn("jobs/0000000a", self.feed.jobs)
        self.fine()

    def test_what_fails_says_so_in_its_place(self):
        self.feed.activity_refused = True
        self.feed.measured = 50
        self.visit("/jobs/00000001")
        self.until_text(".bad-note", "no history now")
        self.until_text("main", "50 of 196 tensors so far")
        self.assertIn("about\u00a065\u00a0s", self.text(".figure-left"))
        self.feed.activity_refused = False
        self.button("Try again").click()
        self.until_text(".events", "A unit failed and was given out again")
        self.assertIsNone(self.text(".bad-note"))

    def test_jobs_that_ended_otherwise(self):
        self.visit("/jobs/00000008")
        self.until_text(".bad-note", "Request wrong: slerp takes 1 model")
        self.assertIn("correct the recipe first", self.text(".bad-note"))
        self.feed.gone.add("jobs/00000009")
        self.visit("/jobs/00000009")
        self.until_text("main", "The report is gone")
        self.browser.complaints()
        self.browser.visit(self.url + "/jobs/ffff")
        self.until_text("main", "No job of this name")


class SubmitTest(PagesCase):
    def write(self, recipe):
        self.browser.run(
            "const area = document.querySelector('textarea'); area.value = arguments[0]; area.dispatchEvent(new Event('input'))",
            recipe,
        )

    def test_a_recipe_is_planned_and_started_once(self):
        self.visit("/submit")
        start = self.find(".button.go")
        self.assertFalse(start.is_enabled())
        self.assertEqual(self.text("#why-not"), "There is no recipe yet.")
        self.write(made.RECIPE)
        self.until_text("#why-not", "Say where the output is to go.")
        self.find("[name=output]").send_keys("/shared/merged/new")
        self.until_text(".plan-body", "99.0\u00a0GiB")
        self.assertIn("Line 9, rank_topk", self.text(".warn-note"))
        self.assertIn("r=16, alpha 32, scale 2, on /shared/qwen2.5-7b", self.text(".plan-body"))
        self.find(".line-link").click()
        self.assertEqual(
            self.browser.run(
                "const area = document.querySelector('textarea'); return area.value.slice(area.selectionStart, area.selectionEnd)"
            ),
            "  rank_topk: 1",
        )
        self.assertEqual(self.text(".editor .marked"), "9")
        harness.wait_for("the button", start.is_enabled)
        self.fine()
        self.find("[name=labels]").send_keys("sweep=7, night")
        self.until_text(".plan-body", "99.0\u00a0GiB")
        harness.wait_for("the button again", start.is_enabled)
        self.browser.run("const go = document.querySelector('.button.go'); go.click(); go.click();")
        self.until("the job's page", "return location.pathname.startsWith('/jobs/')")
        posts = [
            path
            for method, path in self.feed.requests
            if method == "POST" and path == "/api/v1/jobs"
        ]
        self.assertEqual(len(posts), 1)
        self.assertEqual(list(self.feed.made.values())[0]["labels"], {"sweep": "7", "night": ""})
        self.until_text(".facts", "Queued")

    def test_an_error_marks_its_line(self):
        self.feed.plan_error = Refused(
            400,
            "INVALID_ARGUMENT",
            "merge_method: found 'resmerg', expected resmerge",
            "RECIPE_INVALID",
            {"line": "2", "key": "merge_method"},
        )
        self.visit("/submit")
        self.find("[name=output]").send_keys("/shared/merged/new")
        self.write(made.RECIPE)
        self.until_text(".plan-body", "found \u2019resmerg\u2019")
        self.assertEqual(
            self.browser.run("return document.querySelector('.editor .bad').innerText"), "2"
        )
        self.assertFalse(self.find(".button.go").is_enabled())
        # What is said while it is refused to more than two at a time passes by itself.
        self.browser.complaints()
        self.feed.plan_error = None
        self.write(made.RECIPE + "# corrected\n")
        self.until_text(".plan-body", "99.0\u00a0GiB")

    def test_an_older_answer_never_stands_over_a_newer_one(self):
        self.visit("/submit")
        self.feed.plan_delay = 1.5
        self.write(made.RECIPE)
        harness.wait_for(
            "the first question",
            lambda: any(p == "/api/v1/plan" for _, p in self.feed.requests),
            limit=20,
        )
        self.feed.plan_delay = 0
        self.feed.plan = dict(made.PLAN, units="7")
        self.write(made.RECIPE + "\n")
        self.until_text(".plan-body", "in 2 rounds")
        time.sleep(1.2)
        self.assertIn("Units\n7", self.text(".plan-body"))

    def test_who_may_only_look_is_told(self):
        self.feed.roles = ["view"]
        self.visit("/submit")
        self.assertIn("This token may look, not submit.", self.text("#why-not"))
        self.visit("/jobs/00000001")
        self.until_text(".page-head", "This token may look, not change.")


if __name__ == "__main__":
    harness.main()

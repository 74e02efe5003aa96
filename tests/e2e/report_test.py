"""`merganser report`: what it says in text, JSON and HTML is what merge_report.json holds, and the
page works in a browser: numbers by keyboard and by table, tensors pinned by the address, no script
but its own, 47,000 tensors in a second.

MERGANSER_SCREENSHOTS=FOLDER keeps pictures of the pages."""

import array
import base64
import json
import math
import os
import re
import shutil
import statistics
import tempfile

import harness
import make_report
import remote_stubs
from browser import Browser
from harness import SOURCE
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

RECIPES = os.path.join(SOURCE, "tests", "data", "recipes")
SCREENSHOTS = os.environ.get("MERGANSER_SCREENSHOTS")
# A tenth of the experts where the program is slow.
LARGE = dict(layers=61, experts=24 if harness.SLOW else 256)
# The bar is a second on a machine that does nothing else.
OPENS_WITHIN_MS = 3000 * (4 if harness.SLOW else 1)
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\u202e\u2028"


def page_data(page):
    """The data that a page holds, with the columns of each side decoded: name -> rows of lists."""
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert len(found) == 1, "one block of data"
    data = json.loads(found[0])
    for side in ("a", "b"):
        if side not in data:
            continue
        columns = {}
        for column in data[side]["columns"]:
            code = {"f32": "f", "u8": "B", "u16": "H"}[column["type"]]
            none = {"f32": None, "u8": 0xff, "u16": 0xffff}[column["type"]]
            values = array.array(code, base64.b64decode(column["data"]))
            values = [math.nan if v == none else v for v in values]
            width = column["width"]
            columns[column["name"]] = [values[i:i + width] for i in range(0, len(values), width)]
        data[side]["columns"] = columns
    return data


class ReportCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="e2e-report-", dir=harness.DATA)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    @classmethod
    def merged(cls, recipe):
        """The output of a sample recipe, merged once."""
        output = os.path.join(cls.folder, recipe)
        if not os.path.exists(output):
            result = harness.run("merge", os.path.join(RECIPES, recipe + ".yaml"), output)
            assert result.code == 0, str(result)
        return output

    @staticmethod
    def written(output):
        with open(os.path.join(output, "merge_report.json"), encoding="utf-8") as f:
            return json.load(f)

    def page(self, *outputs):
        path = self.path("page.html")
        self.ok("report", *outputs, "--html", path)
        return path


class NumbersTest(ReportCase):
    def test_resmerge_says_the_same_everywhere(self):
        output = self.merged("resmerge")
        report = self.written(output)
        gates = [t for t in report["tensors"] if "coherence" in t]
        fell = [t for t in gates if t["branch"] == 0]
        self.assertTrue(gates and fell, "the samples have both")
        jump = 1 / math.sqrt(3)
        median = statistics.median_low([t["coherence"] for t in gates])

        text = self.ok("report", output).out
        self.assertIn("%d of the %d measured tensors" % (len(fell), len(gates)), text)
        self.assertIn("Coherence has its median at %.3f" % median, text)
        self.assertIn("%d of %d to the plain mean" % (len(fell), len(gates)), text)
        for tensor in fell:
            self.assertIn("coherence %.4f, %+.4f from the jump: %s" % (
                tensor["coherence"], tensor["coherence"] - jump, tensor["name"]), text)
        self.assertIn("plan " + report["plan"], text)
        self.assertIn("numerics %d" % report["numerics"], text)

        summary = json.loads(self.ok("report", output, "--json").out)
        self.assertEqual(summary["fell_back"]["count"], len(fell))
        self.assertEqual(summary["fell_back"]["of"], len(gates))
        self.assertEqual(summary["fell_back"]["near_the_jump"],
                         sum(abs(t["coherence"] - jump) < 1e-3 for t in gates))
        self.assertEqual([t["name"] for t in summary["fell_back"]["gates"]],
                         [t["name"] for t in sorted(fell, key=lambda t: t["coherence"])])
        self.assertEqual(summary["measured"]["coherence"]["median"], median)
        self.assertEqual(summary["tensors"]["count"], len(report["tensors"]))
        self.assertEqual(sum(m["tensors"] for m in summary["tensors"]["by_mode"]),
                         len(report["tensors"]))
        self.assertEqual(summary["run"]["bytes_read"], report["run"]["bytes_read"])
        self.assertEqual(summary["recipe"], report["recipe"])
        for model, said in zip(report["models"], summary["models"]):
            self.assertEqual([f["header"] for f in said["files"]],
                             [f["header"] for f in model["shards"]])

        page = self.ok("report", output, "--html", "-").out
        side = page_data(page)["a"]
        self.assertEqual(side["summary"]["verdict"], summary["verdict"])
        self.assertEqual(side["left_out"], [])
        for measure in ("coherence", "beta", "head_agreement", "seconds", "steps", "head_energy"):
            for tensor, values in zip(report["tensors"], side["columns"][measure]):
                wanted = tensor.get(measure, math.nan)
                for found, value in zip(values, wanted if isinstance(wanted, list) else [wanted]):
                    self.assertTrue(
                        found == array.array("f", [value])[0] or
                        (math.isnan(found) and math.isnan(value)), (measure, tensor["name"]))

    def test_scf_rkl_says_who_contributes(self):
        output = self.merged("scf_rkl")
        report = self.written(output)
        taken = [sum(t["selected"][i] for t in report["tensors"]) for i in range(3)]
        elements = sum(t["elements"] for t in report["tensors"])
        summary = json.loads(self.ok("report", output, "--json").out)
        self.assertAlmostEqual(summary["density"], sum(taken) / elements, 12)
        for share, count in zip(summary["shares"], taken):
            self.assertAlmostEqual(share, count / sum(taken), 12)
        text = self.ok("report", output).out
        self.assertIn("%.1f %% of the coordinates" % (100 * sum(taken) / elements), text)
        by = page_data(self.ok("report", output, "--html", "-").out)["a"]["by_expert"]
        for expert in range(3):
            self.assertEqual(by["totals"][expert], taken[expert])
            for layer, value in zip(by["layers"], by["values"][expert]):
                self.assertEqual(value, sum(t["selected"][expert] for t in report["tensors"]
                                            if ".layers.%d." % layer in t["name"]))

    def test_two_reports(self):
        a, b = self.merged("scf_rkl"), self.merged("scf_rkl_model")
        text = self.ok("report", a, b).out
        self.assertIn("The two merge the same inputs.", text)
        self.assertRegex(text, r"scope +tensor  ->  model  \(changed\)")
        self.assertNotIn("threshold ", text)  # equal in both
        read = [self.written(x)["run"]["bytes_read"] for x in (a, b)]
        said = json.loads(self.ok("report", a, b, "--json").out)
        self.assertTrue(said["comparable"])
        difference = {d["what"]: d["difference"] for d in said["differences"]}
        self.assertEqual(difference["Read"], "x %.2g" % (read[1] / read[0]))
        self.assertEqual(difference["Rounds"], "+2")
        # linear has no base.
        said = json.loads(self.ok("report", a, self.merged("linear"), "--json").out)
        self.assertFalse(said["comparable"])
        self.assertIn("Only A has a base", said["sentences"][0])

    def test_a_web_server_is_read_as_a_disk(self):
        output = self.merged("linear")
        with remote_stubs.Site([output]) as site:
            at = site.url + "/" + os.path.basename(output)
            text = self.ok("report", at, "--allow-private-addresses").out
            self.assertOneError(harness.run("report", at), 2, "private")
        local = self.ok("report", output).out
        self.assertEqual(text.splitlines()[4:], local.splitlines()[4:])
        self.assertIn(at, text)


class RefusalsTest(ReportCase):
    def test_what_is_said_where_there_is_no_report(self):
        empty = self.path("empty")
        os.makedirs(empty)
        self.assertOneError(harness.run("report", empty), 2, "there is no report",
                            "merge_report.json")
        self.assertOneError(harness.run("report", self.path("nowhere")), 2, "nowhere")
        # A merge is at work: its claim stands there, and no report yet.
        os.makedirs(os.path.join(empty, ".merganser"))
        with open(os.path.join(empty, ".merganser", "claim"), "w", encoding="utf-8") as f:
            json.dump({"job": "merge-abc", "epoch": 1, "started": "2026-11-29T02:40:00Z",
                       "host": "node-1", "pid": 7, "process": "", "beat_ms": 10000}, f)
        self.assertOneError(harness.run("report", empty), 4, "there is no report yet", "merge-abc",
                            "node-1", "2026-11-29T02:40:00Z")

    def test_reports_that_are_newer_or_broken(self):
        report = make_report.report(1, 0)
        newer = make_report.write(self.path("newer"), dict(report, format=2))
        self.assertOneError(harness.run("report", os.path.dirname(newer)), 2, "found format 2",
                            "expected 1", newer)
        with open(newer, encoding="utf-8") as f:
            text = f.read()
        os.makedirs(self.path("broken"))
        broken = self.path("broken", "merge_report.json")
        for content in (text[:len(text) // 2], "", "[]", "\0"):
            with open(broken, "w", encoding="utf-8") as f:
                f.write(content)
            self.assertOneError(harness.run("report", self.path("broken")), 3, broken)
        with open(broken, "wb") as f:
            f.truncate((256 << 20) + 1)
        self.assertOneError(harness.run("report", self.path("broken")), 3, broken, "268435456")

    def test_where_the_page_cannot_be_written(self):
        output = self.merged("linear")
        self.assertOneError(harness.run("report", output, "--html", self.path("no", "page.html")),
                            3, "--html", "page.html")
        self.assertOneError(harness.run("report", output, "--html", "/dev/full"), 4, "--html")
        self.assertOneError(harness.run("report"), 2, "OUTPUT")


class BrowserTest(ReportCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = cls.enterClassContext(Browser())

    def shot(self, name, **how):
        if SCREENSHOTS:
            os.makedirs(SCREENSHOTS, exist_ok=True)
            self.browser.picture(os.path.join(SCREENSHOTS, name + ".png"), **how)

    def fine(self):
        """No error, no violation of the policy, nothing wider than the window."""
        self.assertEqual(self.browser.complaints(), [])
        wide, window = self.browser.run(
            "return [document.documentElement.scrollWidth, innerWidth]")
        self.assertLessEqual(wide, window)

    def text(self, css):
        return self.browser.run("return document.querySelector(arguments[0]).innerText", css)

    def keys(self, *keys):
        self.browser.find(By.CSS_SELECTOR, ".cells").send_keys(*keys)

    def click(self, text):
        self.browser.find(By.XPATH, "//button[text()='%s']" % text).click()

    def test_every_page_in_both_themes_and_widths(self):
        pages = [("resmerge", ["resmerge"]), ("scf_rkl", ["scf_rkl"]), ("linear", ["linear"]),
                 ("compare", ["scf_rkl", "scf_rkl_model"])]
        for name, recipes in pages:
            page = self.page(*[self.merged(r) for r in recipes])
            for width in (1280, 390):
                grounds = []
                for dark in (False, True):
                    with self.subTest(page=name, width=width, dark=dark):
                        self.browser.open(page, width=width, dark=dark)
                        self.assertIn("linear" if name == "linear" else recipes[0],
                                      self.text("h1"))
                        grounds.append(self.browser.run(
                            "return getComputedStyle(document.body).backgroundColor"))
                        self.fine()
                        self.shot("%s-%d-%s" % (name, width, "dark" if dark else "light"))
                self.assertNotEqual(*grounds)
        # As coordinator/cli/README.md has it.
        self.browser.open(self.page(self.merged("resmerge")))
        self.assertRegex(self.text(".terms"), r"base \S*base: stored as (F32|BF16)")
        self.shot("report", height=1060)
        self.browser.open(page, dark=True)
        # The button does what the system's setting does.
        self.browser.find(By.CSS_SELECTOR, ".icon").click()
        self.assertEqual(self.browser.run("return getComputedStyle(document.body).backgroundColor"),
                         grounds[0])
        self.browser.run("localStorage.clear()")

    def test_on_paper_the_ground_is_white(self):
        self.browser.open(self.page(self.merged("resmerge")), dark=True)
        ground = lambda: self.browser.run(
            "dispatchEvent(new Event(arguments[0]));"
            "const canvas = document.querySelector('canvas');"
            "const at = canvas.getContext('2d').getImageData(canvas.width - 90, 40, 1, 1).data;"
            "return [getComputedStyle(document.body).color, [...at]]", event)
        event = "beforeprint"
        self.assertEqual(ground(), ["rgb(23, 32, 29)", [0xe8, 0xe9, 0xe3, 255]])
        event = "afterprint"
        self.assertEqual(ground(), ["rgb(231, 236, 234)", [0x2a, 0x30, 0x2f, 255]])

    def test_the_map_by_keyboard(self):
        output = self.merged("resmerge")
        tensors = {t["name"]: t for t in self.written(output)["tensors"]}
        self.browser.open(self.page(output))
        self.keys(Keys.CONTROL, Keys.HOME)
        name = "model.layers.0.self_attn.q_proj.weight"
        self.assertIn(name, self.text(".read-out"))
        self.assertIn("Coherence %.4f" % tensors[name]["coherence"], self.text(".read-out"))
        self.keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        name = "model.layers.2.self_attn.k_proj.weight"
        self.assertIn("%.4f" % tensors[name]["coherence"], self.text(".read-out"))
        # What a screen reader is given: one cell, that changes places with another.
        cell = self.browser.run(
            "const grid = document.querySelector('[role=grid]');"
            "const cell = document.getElementById(grid.getAttribute('aria-activedescendant'));"
            "return [cell.getAttribute('aria-label'), cell.getAttribute('aria-rowindex'),"
            "        cell.getAttribute('aria-colindex'), grid.getAttribute('aria-colcount')]")
        self.assertEqual(cell, ["layer 2 k %.3f" % tensors[name]["coherence"], "2", "3", "6"])
        self.keys(Keys.END, Keys.PAGE_DOWN)
        self.assertIn("model.layers.5.mlp.down_proj.weight", self.text(".read-out"))
        self.keys(Keys.ARROW_RIGHT)  # there is no further one
        self.assertIn("model.layers.5.mlp.down_proj.weight", self.text(".read-out"))
        harness.wait_for("the sentence to be spoken", lambda: self.browser.run(
            "return document.querySelector('[aria-live]').textContent"))
        self.fine()

    def test_measures_the_table_and_the_list_of_tensors(self):
        output = self.merged("resmerge")
        tensors = {t["name"]: t for t in self.written(output)["tensors"]}
        self.browser.open(self.page(output))
        self.click("Head agreement")
        self.click("Show as table")
        at = lambda row, column: self.text(
            ".behind tbody tr:nth-child(%d) td:nth-child(%d)" % (row, column))
        self.assertEqual(self.text(".behind thead").strip(),
                         "Layer\tq\tk\tv\to\tgate\tup\tdown")
        for layer, column, name in ((0, 2, "self_attn.q_proj"), (4, 3, "self_attn.k_proj"),
                                    (5, 8, "mlp.down_proj")):
            tensor = tensors["model.layers.%d.%s.weight" % (layer, name)]
            mark = "" if tensor["branch"] else "\u00a0*"
            self.assertEqual(at(layer + 1, column), "%.3f" % tensor["head_agreement"] + mark)
        self.assertEqual(self.browser.run("return location.hash"), "#measure=head_agreement")
        # The list: sorted, filtered, and back into the picture.
        search = self.browser.find(By.CSS_SELECTOR, "input[type=search]")
        search.send_keys("layers.3.self_attn.v")
        rows = self.browser.driver.find_elements(By.CSS_SELECTOR, ".cards tbody tr")
        self.assertEqual({r.text.split()[0] for r in rows if r.text},
                         {"model.layers.3.self_attn.v_proj.weight",
                          "model.layers.3.self_attn.v_proj.bias"})
        self.browser.find(
            By.XPATH, "//a[.='model.layers.3.self_attn.v_proj.weight']").click()
        self.assertIn("layer 3 \u00b7 v", self.text(".read-out"))
        self.fine()

    def test_tensors_that_differ_most(self):
        a, b = self.merged("scf_rkl"), self.merged("scf_rkl_model")
        said = json.loads(self.ok("report", a, b, "--json").out)
        by_name = [{t["name"]: t for t in self.written(x)["tensors"]} for x in (a, b)]
        told = {(m["measure"], m["expert"]): m for m in said["measured"]}
        density = told["density_reached", None]
        apart = {name: by_name[1][name]["density_reached"] - tensor["density_reached"]
                 for name, tensor in by_name[0].items()
                 if tensor.get("density_reached") is not None}
        self.assertEqual(density["compared"], len(apart))
        self.assertEqual(density["differ"], sum(value != 0 for value in apart.values()))
        self.assertGreater(density["differ"], 10)
        most = sorted((name for name in apart if apart[name]), key=lambda name: -abs(apart[name]))
        self.assertEqual([t["name"] for t in density["most"]], most[:100])
        for tensor in density["most"]:
            self.assertEqual(tensor["difference"], apart[tensor["name"]])
            self.assertEqual([tensor["a"], tensor["b"]],
                             [of[tensor["name"]]["density_reached"] for of in by_name])

        # The page says the same, of what its columns hold.
        self.browser.open(self.page(a, b), fragment="#measure=density_reached")
        rows = lambda: [row.split("\t") for row in self.browser.run(
            "return [...document.querySelectorAll('#differ tbody tr')].map((row) =>"
            " [...row.children].map((cell) => cell.textContent).join('\\t'))")]
        # Decimals that lie between two are rounded either way.
        number = lambda text: float(text.replace("\u2212", "-"))
        near = lambda texts, values: all(abs(number(text) - value) < 0.000051
                                         for text, value in zip(texts, values))
        self.assertEqual(len(rows()), 10)
        for row, tensor in zip(rows(), density["most"]):
            self.assertEqual(row[0], tensor["name"])
            self.assertTrue(near(row[1:4], [tensor["a"], tensor["b"], tensor["difference"]]), row)
        self.assertIn("Density: %d of %d tensors differ" % (density["differ"], density["compared"]),
                      self.text("#differ .head"))
        # Sorted, filtered, and shown in the maps.
        self.browser.find(By.CSS_SELECTOR, "#differ th:first-child button").click()
        self.assertEqual(rows()[0][0], min(apart))
        search = self.browser.find(By.CSS_SELECTOR, "#differ input")
        search.send_keys("layers.3.self_attn.v_proj.w")
        self.assertEqual([row[0] for row in rows()], ["model.layers.3.self_attn.v_proj.weight"])
        self.browser.find(By.CSS_SELECTOR, "#differ tbody a").click()
        name = "model.layers.3.self_attn.v_proj.weight"
        values = [*(of[name]["density_reached"] for of in by_name), apart[name]]
        found = re.fullmatch("layer 3 \u00b7 v: A (.*), B (.*), difference (.*)",
                             self.text("main > section .sentence[aria-live]"))
        self.assertTrue(near(found.groups(), values), found.group(0))
        labels = self.browser.run(
            "return [...document.querySelectorAll('.cells')].map((grid) => document.getElementById("
            "grid.getAttribute('aria-activedescendant')).getAttribute('aria-label'))")
        for label, value in zip(labels, values):
            self.assertTrue(label.startswith("layer 3 v "), labels)
            self.assertLess(abs(number(label.split()[-1]) - value), 0.00051, labels)
        # Another measure, another table.
        self.click("Seconds")
        self.assertIn("Seconds: ", self.text("#differ .head"))
        self.fine()

    def test_a_large_comparison(self):
        for name, seed in (("a", 1), ("b", 2)):
            make_report.write(self.path(name), make_report.report(**LARGE, seed=seed))
        self.browser.open(self.page(self.path("a"), self.path("b")))
        harness.wait_for("the table", lambda: self.browser.run(
            "return document.querySelectorAll('#differ tbody tr').length === 10"))
        said = json.loads(self.ok("report", self.path("a"), self.path("b"), "--json").out)
        coherence, = [m for m in said["measured"] if m["measure"] == "coherence"]
        self.assertEqual(len(coherence["most"]), 100)
        self.assertEqual(self.text("#differ tbody td").replace("\n", ""),
                         coherence["most"][0]["name"])
        self.click("All {:,}".format(coherence["compared"]))
        self.assertEqual(self.browser.run(
            "return document.querySelectorAll('#differ tbody tr').length"), 100)
        self.assertLess(self.browser.run("return document.querySelectorAll('*').length"), 2500)
        self.fine()

    def test_an_address_pins_a_tensor(self):
        page = self.page(self.merged("resmerge"))
        self.browser.open(page, fragment="#measure=beta&tensor=model.layers.4.self_attn.k_proj.weight")
        self.assertIn("layer 4 \u00b7 k", self.text(".read-out"))
        self.assertEqual(self.text("[aria-pressed=true]"), "Beta")
        # It is the browser that follows a link within the page.
        self.browser.run("location.hash = '#tensor=model.layers.1.mlp.up_proj.weight'")
        harness.wait_for("the other tensor", lambda: "layer 1 \u00b7 up" in (self.browser.run(
            "const out = document.querySelector('.read-out'); return out ? out.innerText : ''")))
        # What no tensor is called is not found, and harms nothing.
        self.browser.open(page, fragment="#tensor=%3Cb%3E&measure=none&open=__proto__&stat=x")
        self.assertEqual(self.text("[aria-pressed=true]"), "Coherence")
        self.fine()

    def test_a_large_report(self):
        output = self.path("large")
        report = make_report.report(**LARGE)
        make_report.write(output, report)
        page = self.page(output)
        size = os.path.getsize(page)
        self.assertLess(size, 5 << 20)
        self.browser.open(page)
        took = self.browser.run(
            "return performance.getEntriesByName('merganser-shown')[0].startTime"
            " - performance.getEntriesByType('navigation')[0].responseStart")
        print("%d tensors: a page of %.1f MB, opened in %.0f ms" % (
            len(report["tensors"]), size / 1e6, took))
        self.assertLess(took, OPENS_WITHIN_MS)
        self.assertLess(self.browser.run("return document.querySelectorAll('*').length"), 2000)
        # Experts of one matrix are one cell; Enter unfolds them.
        self.keys(Keys.HOME, Keys.PAGE_DOWN)
        values = [t["coherence"] for t in report["tensors"]
                  if re.fullmatch(r"model\.layers\.0\.mlp\.experts\.\d+\.down_proj\.weight",
                                  t["name"])]
        self.assertEqual(len(values), LARGE["experts"])
        self.assertIn("median %.4f, from %.4f to %.4f" % (
            statistics.median_low(array.array("f", values)), min(values), max(values)),
            self.text(".read-out"))
        self.keys(Keys.ENTER)
        self.assertEqual(self.text(".drill h3"), "experts down: %d experts" % LARGE["experts"])
        self.browser.find(By.CSS_SELECTOR, ".drill .cells").send_keys(
            Keys.ARROW_DOWN)
        self.assertIn("experts.1.down_proj", self.text(".read-out").replace("\n", ""))
        self.shot("large-1280-light")
        # An address may name one of them.
        name = "model.layers.7.mlp.experts.5.up_proj.weight"
        self.browser.open(page, fragment="#tensor=" + name)
        self.assertIn(name, self.text(".read-out").replace("\n", ""))
        self.click("All {:,}".format(len(report["tensors"])))
        self.assertEqual(len(self.browser.driver.find_elements(
            By.CSS_SELECTOR, ".cards tbody tr")) - len(report["models"]), 100)
        self.fine()

    def test_hostile_names_stay_text(self):
        report = make_report.report(2, 0)
        report["tensors"][1]["name"] = "model.layers.0.self_attn." + HOSTILE
        report["tensors"][2]["mode"] = report["tensors"][2]["note"] = HOSTILE
        report["tensors"][2][HOSTILE] = 1
        report["warnings"] = [HOSTILE]
        report["recipe"] = report["plan"] = report["program"] = HOSTILE
        report["method"]["parameters"][HOSTILE] = HOSTILE
        for model in report["models"]:
            model["model"] += HOSTILE
            model["origin"] = {"text": HOSTILE, "stored_as": HOSTILE}
            model["shards"][0]["header"] = HOSTILE
        report["run"]["simd"] = report["run"]["finished"] = HOSTILE
        make_report.write(self.path("hostile"), report)
        report["method"]["parameters"][HOSTILE] = "other"
        make_report.write(self.path("other"), report)
        text = self.ok("report", self.path("hostile")).out
        self.assertNotIn("\u202e", text)
        for outputs in (["hostile"], ["hostile", "other"]):
            self.browser.open(self.page(*[self.path(o) for o in outputs]))
            self.assertNotIn("taken", self.browser.driver.title.split("<")[0])
            shown = self.browser.run(
                "document.querySelectorAll('details').forEach((each) => { each.open = true; });"
                "return document.body.innerText")
            self.assertIn("</script><script>", shown)
            self.assertIn("\\u{202e}", shown)
            self.assertNotIn("\u202e", shown)
            self.assertEqual(self.browser.run(
                "return [document.images.length, document.scripts.length]"), [0, 2])
            self.fine()

    def test_a_foreign_script_would_be_seen(self):
        """That the policy is in force, and that this test would see what it forbids."""
        with open(self.page(self.merged("linear")), encoding="utf-8") as f:
            page = f.read()
        path = self.path("changed.html")
        with open(path, "w", encoding="utf-8") as f:
            f.write(page.replace("</body>", "<script>document.title = 'taken'</script>"
                                 "<p style='color: red'>x</p></body>"))
        self.browser.open(path)
        self.assertNotEqual(self.browser.driver.title, "taken")
        complaints = self.browser.complaints()
        self.assertGreaterEqual(len(complaints), 2, complaints)
        self.assertTrue(all("Content Security Policy" in c for c in complaints), complaints)


if __name__ == "__main__":
    harness.main()

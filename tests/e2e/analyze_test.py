"""`merganser analyze`: what it says before a merge is what the merge's report says after it, and
nothing is written anywhere, in any scope; it is as small as the merge is, and can be interrupted."""

import json
import os
import signal

import harness
from harness import SAMPLE, SAMPLE_BASE, SOURCE

RECIPES = os.path.join(SOURCE, "tests", "data", "recipes")
# What differs between two runs of one merge.
OF_A_RUN = ("output", "run")


class AnalyzeTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.scratch = self.path("tmp")
        os.makedirs(self.scratch)

    def analyzed(self, recipe, *arguments):
        before = sorted(os.listdir(self.dir))
        result = harness.run("analyze", recipe, *arguments, env={"TMPDIR": self.scratch})
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        self.assertEqual(os.listdir(self.scratch), [])
        return result

    def test_it_says_what_the_merge_would(self):
        for scope in ("tensor", "layer", "model"):
            for method in ("resmerge", "scf_rkl"):
                with self.subTest(scope=scope, method=method):
                    recipe = harness.recipe(self.path("r.yaml"), method, SAMPLE_BASE, SAMPLE,
                                            parameters={"scope": scope}, out_dtype="bfloat16")
                    output = self.path("out-%s-%s" % (scope, method))
                    self.merge(recipe, output)
                    wanted = json.loads(self.ok("report", output, "--json").out)
                    found = json.loads(self.analyzed(recipe, "--json").out)
                    self.assertTrue(found["run"]["analysis"])
                    self.assertFalse(wanted["run"]["analysis"])
                    self.assertEqual(found["run"]["bytes_written"], 0)
                    self.assertEqual(found["run"]["bytes_read"], wanted["run"]["bytes_read"])
                    self.assertEqual(found["output"], "none: an analysis of " + recipe)
                    seconds = found["measured"].pop("seconds", None)
                    self.assertEqual(seconds is None, wanted["measured"].pop("seconds", None) is None)
                    for name in OF_A_RUN:
                        found.pop(name), wanted.pop(name)
                    self.assertEqual(found, wanted)

    def test_its_text_and_page(self):
        recipe = os.path.join(RECIPES, "resmerge.yaml")
        text = self.analyzed(recipe).out
        self.assertIn("none: an analysis of", text)
        self.assertIn("fell back", text)
        page = self.analyzed(recipe, "--html", "-").out
        self.assertTrue(page.startswith("<!doctype html>"), page[:80])
        self.assertIn('"analysis":true', page)

    def test_what_is_wrong_is_said_as_by_merge(self):
        self.assertOneError(harness.run("analyze", self.path("none.yaml")), 2, "none.yaml")
        recipe = os.path.join(RECIPES, "resmerge.yaml")
        self.assertOneError(harness.run("analyze", recipe, "--memory", "1MiB"), 2, "--memory")
        wide = harness.recipe(self.path("r.yaml"), "scf_rkl", SAMPLE_BASE, SAMPLE,
                              parameters={"scope": "model"})
        self.assertOneError(harness.run("analyze", wide, env={"TMPDIR": self.path("missing")}), 2,
                            "TMPDIR")

    def test_interrupted_it_leaves_nothing(self):
        models = harness.data("generated")
        recipe = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                                parameters={"scope": "model"})
        with harness.running("analyze", recipe, "--threads", "1",
                             env={"TMPDIR": self.scratch}) as process:
            harness.wait_for("something left for a later round", lambda: process.poll() is not None
                             or any("keep" in folder for folder, _, _ in os.walk(self.scratch)))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=harness.LIMIT)
            self.assertEqual(process.returncode, 130)
        self.assertEqual(os.listdir(self.scratch), [])


if __name__ == "__main__":
    harness.main()

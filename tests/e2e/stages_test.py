"""Recipes of several documents: stages are merged in order, as if each had a file of its own; a run
that ended early goes on by stage; the stages' outputs are gone at the end."""

import os
import shutil
import subprocess

import numpy as np

import harness
import stio
import tiny_chat_models

STAGES = """name: first
merge_method: linear
models:
  - {model: a, parameters: {weight: 0.3}}
  - {model: b, parameters: {weight: 0.7}}
---
# needs the first
name: second
merge_method: slerp
base_model: first
models: [c]
parameters: {t: 0.25}
---
merge_method: task_arithmetic
base_model: base
models:
  - {model: second, parameters: {weight: 0.5}}
  - {model: first, parameters: {weight: 0.25}}
chat_template: auto
"""


class StagesTest(harness.Case):
    def setUp(self):
        super().setUp()
        tiny_chat_models.models(self.dir)
        self.write(STAGES)

    def write(self, text, name="r.yaml"):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def go(self, *flags, output="out"):
        return harness.run("merge", "r.yaml", output, *flags, cwd=self.dir)

    def assertSame(self, one, other):
        one, other = stio.Checkpoint(self.path(one)), stio.Checkpoint(self.path(other))
        self.assertEqual(sorted(one.tensors), sorted(other.tensors))
        for name in one.tensors:
            self.assertTrue(np.array_equal(one.raw(name), other.raw(name)), name)

    def by_hand(self):
        for i, (name, document) in enumerate(zip(("first", "second", "last"),
                                                 STAGES.split("---\n"))):
            self.merge(self.write(document, "%d.yaml" % i), self.path(name), cwd=self.dir)

    def test_they_are_the_merges_one_by_one(self):
        done = self.go("--verify")
        self.assertEqual(done.code, 0, str(done))
        for line in ("stage 1 of 3: first", "stage 2 of 3: second", "stage 3 of 3\n"):
            self.assertIn(line, done.err)
        self.assertFalse(os.path.exists(self.path("out.stages")), "stages are removed")
        self.by_hand()
        self.assertSame("out", "last")
        with open(self.path("out", "merge_recipe.yaml"), encoding="utf-8") as f:
            self.assertEqual(f.read(), STAGES)
        self.assertEqual([m["model"] for m in harness.report(self.path("out"))["models"]],
                         ["base", "second", "first"])
        self.assertOneError(self.go(), 2, "out", "not empty")
        again = self.go("--resume")
        self.assertEqual(again.code, 0, str(again))
        self.assertIn("holds this merge already", again.out)
        self.assertFalse(os.path.exists(self.path("out.stages")))
        again = self.go("--overwrite")
        self.assertEqual(again.code, 0, str(again))
        self.assertSame("out", "last")

    def test_another_place_for_the_stages(self):
        done = self.go("--stages", "aside")
        self.assertEqual(done.code, 0, str(done))
        self.assertIn(self.path("aside", "second"), done.out)
        self.assertFalse(os.path.exists(self.path("aside")))
        os.makedirs(self.path("kept"))
        open(self.path("kept", "mine.txt"), "w").close()
        self.assertEqual(self.go("--stages", "kept", output="out2").code, 0)
        self.assertEqual(os.listdir(self.path("kept")), ["mine.txt"])
        self.assertOneError(harness.run("merge", "r.yaml", "s3://bucket", cwd=self.dir), 2,
                            "whole bucket", "--stages")

    def test_a_run_that_ended_early_goes_on_by_stage(self):
        # What can be known before is told before.
        shutil.move(self.path("c"), self.path("away"))
        self.assertOneError(self.go(), 2, "model c")
        shutil.move(self.path("away"), self.path("c"))
        self.write(STAGES.replace("t: 0.25", "t: 1.5"))
        self.assertOneError(self.go(), 2, "parameters.t", "1.5")
        self.assertFalse(os.path.exists(self.path("out.stages")))
        # What only the tensors show is found when the stage is planned.
        self.write(STAGES.replace("{t: 0.25}", "{t: [{filter: mlp, value: 0.25}]}"))
        failed = self.go()
        self.assertEqual(failed.code, 2, str(failed))
        self.assertIn("stages that are complete are kept in %s" % self.path("out.stages"),
                      failed.err)
        self.assertTrue(os.path.exists(self.path("out.stages", "first", "model.safetensors")))
        self.write(STAGES)
        done = self.go()
        self.assertEqual(done.code, 0, str(done))
        self.assertIn("first holds this merge already", done.out)
        self.assertFalse(os.path.exists(self.path("out.stages")))
        self.by_hand()
        self.assertSame("out", "last")

    def test_what_a_killed_run_left_of_its_stages_goes_and_nothing_else(self):
        self.assertEqual(self.go().code, 0)
        self.by_hand()
        os.makedirs(self.path("out.stages"))
        shutil.move(self.path("first"), self.path("out.stages", "first"))
        # Some of it was gone before; the report goes last.
        os.remove(self.path("out.stages", "first", "model.safetensors"))
        harness.link_folder(self.path("a"), self.path("out.stages", "second"))
        done = self.go("--resume")
        self.assertIn("holds this merge already", done.out)
        self.assertEqual(os.listdir(self.path("out.stages")), ["second"])
        self.assertTrue(os.path.exists(self.path("out.stages", "second", "model.safetensors")))

    def test_killed_anywhere_it_goes_on(self):
        self.by_hand()
        for i, delay in enumerate((0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)):
            with self.subTest(delay=delay):
                output = "out-%d" % i
                process = subprocess.Popen(
                    [harness.BIN, "merge", "r.yaml", output, "--record-every", "0.01"],
                    cwd=self.dir, env=harness.environment(), stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    process.wait(delay)
                except subprocess.TimeoutExpired:
                    process.kill()
                process.wait()
                done = self.go("--resume", output=output)
                self.assertEqual(done.code, 0, str(done))
                self.assertSame(output, "last")
                self.assertFalse(os.path.exists(self.path(output + ".stages")))

    def test_a_stage_of_another_recipe_is_not_taken(self):
        self.write(STAGES.replace("{t: 0.25}", "{t: [{filter: mlp, value: 0.25}]}"))
        self.assertEqual(self.go().code, 2)
        self.write(STAGES.replace("weight: 0.3", "weight: 0.4"))
        self.assertOneError(self.go(), 2, "first", "--overwrite")
        self.assertEqual(self.go("--overwrite").code, 0)
        self.assertFalse(os.path.exists(self.path("out.stages")))

    def test_the_last_may_have_a_name(self):
        self.write(STAGES.replace("---\nmerge_method: task", "---\nname: third\nmerge_method: task"))
        self.assertEqual(self.go().code, 0)
        self.by_hand()
        self.assertSame("out", "last")

    def test_circles_and_the_like_are_refused_before_anything_is_merged(self):
        self.write(STAGES.replace("models: [c]", "models: [second]"))
        self.assertOneError(self.go(), 2, "r.yaml:", "in a circle", "second needs second")
        self.write(STAGES.replace("name: second\n", ""))
        self.assertOneError(self.go(), 2, "r.yaml:", "second document without a name")
        self.assertFalse(os.path.exists(self.path("out.stages")))
        self.assertNoOutput(self.path("out"))

    def test_plan_shows_what_is_known(self):
        done = self.ok("plan", "r.yaml", cwd=self.dir)
        self.assertIn("stage        first\nmethod       linear\n", done.out)
        self.assertIn("stage        second\nplanned      when first is merged\n", done.out)
        self.assertIn("stage        the output\nplanned      when first, second are merged\n",
                      done.out)
        self.assertOneError(harness.run("plan", "r.yaml", "--json", cwd=self.dir), 2, "--json")
        self.assertOneError(harness.run("analyze", "r.yaml", cwd=self.dir), 2, "3 documents",
                            "mergekit-multi", "merganser merge")


if __name__ == "__main__":
    harness.main()

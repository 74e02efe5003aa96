"""Recipes as people publish them: each is taken, noted, warned of or refused as public_recipes.py
says, and those that are taken merge as the plainer recipe of the same meaning."""

import json
import os

import numpy as np

import harness
import public_recipes
import stio
import tiny_chat_models


def of_recipe(warnings):
    """Without those of the models: c and d have other chat templates than a and b."""
    return [line for line in warnings if "will lack what" not in line]


class PublicRecipesTest(harness.Case):
    def setUp(self):
        super().setUp()
        tiny_chat_models.models(self.dir)

    def write(self, text, name="r.yaml"):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def check(self, expect, texts, recipe):
        """What is wrong, or nothing."""
        if expect == "accepted" and "\n---\n" in recipe:
            return self.check_stages(texts, recipe)
        done = harness.run("plan", self.write(recipe), "--json", cwd=self.dir)
        if expect == "refused":
            if done.code != 2:
                return "exit %d, expected 2" % done.code
            told = done.err
        else:
            if done.code != 0:
                return "exit %d: %s" % (done.code, done.err)
            plan = json.loads(done.out)
            plan["warnings"] = of_recipe(plan["warnings"])
            told = "\n".join(plan["warnings"] if expect == "warned" else plan["notes"])
            if expect != "warned" and plan["warnings"]:
                return "warnings: %s" % plan["warnings"]
            about = [n for n in plan["notes"] if "auto is the chat template" not in n]
            if expect == "accepted" and about:
                return "notes: %s" % about
            if expect in ("noted", "warned") and not told:
                return "nothing was said"
        missing = [text for text in texts if text not in told]
        return "%s is not in: %s" % (missing, told) if missing else None

    def check_stages(self, texts, recipe):
        done = harness.run("plan", self.write(recipe), cwd=self.dir)
        if done.code != 0:
            return "exit %d: %s" % (done.code, done.err)
        missing = [text for text in texts if text not in done.out]
        return "%s is not in: %s" % (missing, done.out) if missing else None

    def test_every_shape_has_its_verdict(self):
        first, second = public_recipes.halves()
        passed = set()
        for name, expect, texts, recipe in public_recipes.SHAPES:
            with self.subTest(shape=name):
                wrong = self.check(expect, texts, recipe)
                self.assertIsNone(wrong)
                passed.add(name)
        print("built against: %d of %d; the other half: %d of %d" % (
            len(passed & set(first)), len(first), len(passed & set(second)), len(second)))

    def test_what_mergekit_takes_is_taken(self):
        taken = [name for name, expect, _, _ in public_recipes.SHAPES if expect != "refused"]
        theirs = [name for name, _, _, _ in public_recipes.SHAPES
                  if name not in public_recipes.MERGEKIT_REFUSES]
        # Adapters, tokens of their own and slips in a key: said by name in the table.
        self.assertEqual(sorted(set(theirs) - set(taken)),
                         ["model_stock_adapters", "sce_misspelt_dtype",
                          "ties_modules_with_a_slip"])
        self.assertEqual(sorted(set(taken) - set(theirs)), [])

    def test_they_merge_like_the_plainer_recipe(self):
        shapes = {name: recipe for name, _, _, recipe in public_recipes.SHAPES}
        for name, plainer in public_recipes.LIKE.items():
            with self.subTest(shape=name):
                outputs = []
                for i, text in enumerate((shapes[name], plainer)):
                    output = self.path("%s-%d" % (name, i))
                    self.merge(self.write(text), output, cwd=self.dir)
                    outputs.append(stio.Checkpoint(output))
                one, other = outputs
                self.assertEqual(sorted(one.tensors), sorted(other.tensors))
                for tensor in one.tensors:
                    self.assertTrue(np.array_equal(one.raw(tensor), other.raw(tensor)), tensor)

    def test_what_is_taken_merges(self):
        for name, expect, _, recipe in public_recipes.SHAPES:
            if expect == "refused" or name in public_recipes.LIKE:
                continue
            with self.subTest(shape=name):
                output = self.path(name)
                self.merge(self.write(recipe), output, cwd=self.dir)
                self.ok("verify", output)
                report = harness.report(output)
                self.assertEqual(bool(of_recipe(report["warnings"])), expect == "warned")
                if expect == "noted":
                    self.assertTrue(report["notes"])
                    self.assertIn(report["notes"][0][-40:], self.ok("report", output).out)
                self.assertTrue(os.path.exists(os.path.join(output, "tokenizer.json")))


if __name__ == "__main__":
    harness.main()

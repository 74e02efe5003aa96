"""`merganser methods`: the table of METHODS.md is what the program prints, JSON is complete, every
method listed can be planned and has a sample recipe."""

import json
import os
import re

import harness
from harness import SAMPLE, SAMPLE_BASE, SOURCE

PAGE = os.path.join("common", "methods", "METHODS.md")
BEGIN, END = "<!-- methods:begin -->\n", "<!-- methods:end -->"


class MethodsTest(harness.Case):
    def methods(self):
        return json.loads(self.ok("methods", "--json").out)["methods"]

    def test_the_page_has_the_table_that_the_program_prints(self):
        with open(os.path.join(SOURCE, PAGE), encoding="utf-8") as f:
            text = f.read()
        self.assertEqual((text.count(BEGIN), text.count(END)), (1, 1))
        table = text[text.index(BEGIN) + len(BEGIN):text.index(END)]
        self.assertEqual(table, self.ok("methods", "--markdown").out,
                         "put the output of `merganser methods --markdown` into " + PAGE)

    def test_json(self):
        methods = self.methods()
        names = [m["name"] for m in methods]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names[0], "resmerge")
        self.assertGreaterEqual(set(names), {"linear", "slerp", "karcher", "passthrough"})
        for m in methods:
            with self.subTest(method=m["name"]):
                self.assertEqual(list(m), ["name", "summary", "paper", "base", "min_models",
                                           "max_models", "parameters", "properties"])
                self.assertIn(m["base"], ("required", "optional", "none"))
                self.assertTrue(m["summary"] and m["paper"])
                self.assertFalse(m["summary"].endswith("."))
                self.assertGreaterEqual(m["max_models"] or m["min_models"], m["min_models"])
                self.assertEqual(list(m["properties"]),
                                 ["identical_experts", "zero_deltas", "order_free", "split"])
                self.check_parameters(m["parameters"])

    def check_parameters(self, parameters):
        kinds = {"number": (int, float), "integer": int, "boolean": bool, "choice": str}
        for p in parameters:
            self.assertLessEqual({"key", "about", "type", "per_model", "required", "default"},
                                 set(p))
            if "no_effect" in p:
                self.assertTrue(p["no_effect"])
                continue
            self.assertTrue(p["about"], p["key"])
            if p["required"]:
                self.assertIsNone(p["default"])
            else:
                self.assertIsInstance(p["default"], kinds[p["type"]], p["key"])
            if p["type"] in ("number", "integer") and not p["required"]:
                self.assertGreaterEqual(p["default"], -1e308 if p["min"] is None else p["min"])
                self.assertLessEqual(p["default"], 1e308 if p["max"] is None else p["max"])
            if p["type"] == "choice":
                self.assertIn(p["default"], p["choices"])

    def test_text(self):
        text = self.ok("methods").out
        paragraphs = re.split(r"\n\n", text)
        self.assertEqual([p.split(":")[0] for p in paragraphs],
                         [m["name"] for m in self.methods()])
        self.assertOneError(harness.run("methods", "--json", "--markdown"), 2, "--markdown")

    def test_a_recipe_of_what_is_listed_is_planned(self):
        for m in self.methods():
            with self.subTest(method=m["name"]):
                count = min(m["max_models"] or 3, 3)
                required = {p["key"]: 1 if p["min"] is None else max(p["min"], 0.5)
                            for p in m["parameters"] if p["required"]}
                file = harness.recipe(
                    self.path(m["name"] + ".yaml"), m["name"],
                    None if m["base"] == "none" else SAMPLE_BASE, SAMPLE[:count], required or None)
                plan = json.loads(self.ok("plan", file, "--json").out)
                self.assertEqual(plan["method"], m["name"])
                self.assertEqual(
                    {p["key"] for p in m["parameters"]
                     if "no_effect" not in p and not p["per_model"]}, set(plan["parameters"]))

    def test_every_method_has_a_sample_recipe(self):
        folder = os.path.join(SOURCE, "tests", "data", "recipes")
        planned = set()
        for file in sorted(os.listdir(folder)):
            with self.subTest(file=file):
                done = self.ok("plan", os.path.join(folder, file), "--json")
                self.assertNotIn("warning", done.err)
                planned.add(json.loads(done.out)["method"])
        self.assertEqual(planned, {m["name"] for m in self.methods()})


if __name__ == "__main__":
    harness.main()

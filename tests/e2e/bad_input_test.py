"""Wrong recipes, checkpoints and flags: one line that says what and where, the right exit
code, and nothing left that looks like an output."""

import os

import bad_checkpoints  # noqa: F401 registers its cases
import bad_recipes  # noqa: F401
import harness
from bad_input_bench import CASES, Bench
from harness import SAMPLE, SAMPLE_BASE


class BadInputTest(harness.Case):
    def check(self, function, code, texts):
        folder = self.path(function.__name__)
        os.makedirs(folder)
        bench = Bench(folder)
        function(bench)
        bench.write()
        if bench.kept:
            os.makedirs(bench.output)
            for name in bench.kept:
                open(os.path.join(bench.output, name), "w").close()
        inputs = {m: harness.hash_output(bench.path(m)) for m in ("base", "expert_0", "expert_1")}
        command = bench.command or ["merge", bench.path("recipe.yaml"), bench.output] + bench.args
        # Relative outputs, were any made of a URI, would land here.
        aside = bench.path("aside")
        os.makedirs(aside)
        result = harness.run(*command, cwd=aside, timeout=60 if not harness.SLOW else 300)
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.code, codes, str(result))
        line = self.assertOneError(result, result.code, *texts)
        print("%s: %s" % (function.__name__, line))
        self.assertEqual(result.out, "", "stdout of a failed merge")
        if os.path.isdir(bench.output):
            self.assertEqual(harness.leftovers(bench.output), bench.kept)
        self.assertEqual(harness.leftovers(aside), [])
        for model, hashes in inputs.items():
            self.assertEqual(harness.hash_output(bench.path(model)), hashes, model)
            self.assertNotIn(".merganser", os.listdir(bench.path(model)))

    def test_a_good_recipe_passes(self):
        # The ground that every case stands on: unspoiled, the files merge.
        folder = self.path("good")
        os.makedirs(folder)
        bench = Bench(folder)
        bench.write()
        self.merge(bench.path("recipe.yaml"), bench.output)
        self.assertEqual(harness.weight_files(bench.output), ["model.safetensors"])

    def test_messages_name_what_was_found_and_expected(self):
        bench_dir = self.path("both")
        os.makedirs(bench_dir)
        bench = Bench(bench_dir)
        bench.recipe["parameters"] = {"rank_topk": "one"}
        bench.write()
        result = harness.run("merge", bench.path("recipe.yaml"), bench.output)
        self.assertOneError(result, 2, "found", "expected")

    def test_plan_refuses_what_merge_refuses(self):
        recipe = harness.recipe(self.path("r.yaml"), "resmerge", SAMPLE_BASE, SAMPLE,
                                {"rank_topk": 0})
        told = [self.assertOneError(harness.run(*command), 2, "rank_topk")
                for command in (("plan", recipe), ("merge", recipe, self.path("out")))]
        self.assertEqual(*told)


def _add_cases():
    for name, function, code, texts in CASES:
        def test(self, function=function, code=code, texts=texts):
            self.check(function, code, texts)
        setattr(BadInputTest, "test_" + name, test)


_add_cases()

if __name__ == "__main__":
    harness.main()

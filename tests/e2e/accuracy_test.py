"""Merged weights, and what the report says of them, against the float64 evaluation of the
formulas (oracle.py)."""

import os

import harness
import oracle
import stio
from accuracy_case import AccuracyCase
from harness import SAMPLE, SAMPLE_BASE, SLOW


class AccuracyTest(AccuracyCase):
    def test_sample_experts(self):
        for out_dtype in ("float64", "bfloat16"):
            with self.subTest(out_dtype=out_dtype):
                undefined = self.resmerge(SAMPLE_BASE, SAMPLE, {}, out_dtype)
                self.assertEqual(undefined, [])

    def test_sample_experts_wider_heads_and_other_parameters(self):
        parameters = {"rank_topk": 2, "src_beta_min": 0.5, "src_beta_max": 0.9,
                      "head_ratio_budget": 0.6}
        self.resmerge(SAMPLE_BASE, SAMPLE, parameters, "float64")

    def test_tiny_sets(self):
        counts = (1, 3) if SLOW else range(1, 7)
        for n in counts:
            models = harness.data("tiny", seed=10 + n, experts=n)
            for k in (1, 2, 3, 4):
                for out_dtype in ("float64", "bfloat16"):
                    with self.subTest(seed=10 + n, experts=n, rank_topk=k, out_dtype=out_dtype):
                        self.resmerge(models[0], models[1:], {"rank_topk": k}, out_dtype)

    def test_more_seeds(self):
        # MERGANSER_LONG=1 is what tests/run.sh --full sets.
        count = 100 if harness.LONG else 2 if SLOW else 8
        for seed in range(30, 30 + count):
            models = harness.data("tiny", seed=seed, experts=3)
            with self.subTest(seed=seed):
                self.resmerge(models[0], models[1:], {}, "bfloat16")

    def test_one_expert_is_followed_without_its_head_correction(self):
        # N = 1 takes the mean of the residuals, and its only head agrees with itself: with
        # no budget for heads the output is W0 + R.
        models = harness.data("tiny", seed=11, experts=1)
        self.resmerge(models[0], models[1:], {"head_ratio_budget": 0.0}, "float64")

    def test_stored_dtypes_without_out_dtype(self):
        models = harness.data("tiny", seed=13, experts=3)
        output = self.path("out")
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:])
        self.merge(file, output)
        base = stio.Checkpoint(models[0])
        experts = [stio.Checkpoint(e) for e in models[1:]]
        self.check(output, oracle.resmerge(base, experts), base, None)

    # --- the baselines ---------------------------------------------------------------

    def baseline(self, models, file, merged, wanted):
        output = self.path("out-%d" % len(os.listdir(self.dir)))
        self.merge(file, output)
        base = stio.Checkpoint(models[0])
        self.check(output, merged([stio.Checkpoint(m) for m in models]), base, wanted)

    def test_linear(self):
        sets = [[SAMPLE_BASE] + SAMPLE, harness.data("tiny", seed=13, experts=3)]
        for models in sets:
            for normalize in (True, False):
                for out_dtype, wanted in (("float64", "F64"), ("bfloat16", "BF16")):
                    weights = [0.25, 1.0, 0.3]
                    file = harness.recipe(
                        self.path("r.yaml"), "linear", None, models[1:],
                        {"normalize": normalize}, [{"weight": w} for w in weights],
                        out_dtype=out_dtype)
                    with self.subTest(models=models[0], normalize=normalize, dtype=out_dtype):
                        self.baseline(
                            models[1:], file,
                            lambda opened: oracle.linear(opened, weights, normalize), wanted)

    def test_task_arithmetic(self):
        sets = [[SAMPLE_BASE] + SAMPLE, harness.data("tiny", seed=13, experts=3)]
        weights = [1.0, 0.5, -0.3]
        for models in sets:
            for lam, normalize in ((1.0, False), (0.7, True)):
                for out_dtype, wanted in (("float64", "F64"), ("bfloat16", "BF16")):
                    file = harness.recipe(
                        self.path("r.yaml"), "task_arithmetic", models[0], models[1:],
                        {"lambda": lam, "normalize": normalize},
                        [{"weight": w} for w in weights], out_dtype=out_dtype)
                    with self.subTest(models=models[0], normalize=normalize, dtype=out_dtype):
                        self.baseline(
                            models, file,
                            lambda opened: oracle.task_arithmetic(
                                opened[0], opened[1:], weights, lam, normalize), wanted)

    def test_weight_zero_is_as_if_the_model_were_not_there(self):
        file = harness.recipe(self.path("a.yaml"), "task_arithmetic", SAMPLE_BASE, SAMPLE,
                              None, [{"weight": 1}, {"weight": 0}, {"weight": 1}])
        other = harness.recipe(self.path("b.yaml"), "task_arithmetic", SAMPLE_BASE,
                               [SAMPLE[0], SAMPLE[2]], None, [{"weight": 1}] * 2)
        self.merge(file, self.path("a"))
        self.merge(other, self.path("b"))
        self.assertEqual(harness.hash_output(self.path("a")), harness.hash_output(self.path("b")))


if __name__ == "__main__":
    harness.main()

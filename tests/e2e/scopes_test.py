"""Gates that serve a layer, a family or the whole model: against the formulas, with the same
bytes whoever computes them, and at the promised price in bytes read."""

import json
import os
import signal

import harness
import oracle
import stio
from accuracy_case import AccuracyCase
from harness import LONG, SAMPLE, SAMPLE_BASE

WIDE = ("layer", "family", "model")


class ScopesCase(AccuracyCase):
    def sample(self, method, parameters, name="sample.yaml", **top):
        return harness.recipe(self.path(name), method, SAMPLE_BASE, SAMPLE, parameters, **top)

    def merge_here(self, file, *args):
        """Merges, and returns the folder; nothing of the work is left in it."""
        output = self.path("out-%d" % len(os.listdir(self.dir)))
        self.merge(file, output, *args)
        self.assertNotIn(".merganser", os.listdir(output))
        return output

    def planned(self, file):
        return json.loads(self.ok("plan", file, "--json").out)


class ScopesAccuracyTest(ScopesCase):
    """resmerge; scf_rkl's scopes are among the runs of methods_accuracy_test.py."""

    def test_sample_experts(self):
        for scope in WIDE:
            for out_dtype in ("float64", "bfloat16"):
                with self.subTest(scope=scope, out_dtype=out_dtype):
                    undefined = self.resmerge(SAMPLE_BASE, SAMPLE, {"scope": scope}, out_dtype)
                    self.assertEqual(undefined, [])

    def test_sample_experts_wider_heads_and_other_parameters(self):
        for scope in WIDE:
            with self.subTest(scope=scope):
                self.resmerge(SAMPLE_BASE, SAMPLE, {
                    "scope": scope, "rank_topk": 2, "src_beta_min": 0.5, "src_beta_max": 0.9,
                    "head_ratio_budget": 0.6}, "float64")

    def test_tiny_sets(self):
        for seed, experts in ((11, 1), (12, 2), (13, 3), (16, 6))[::1 if LONG else 2]:
            models = harness.data("tiny", seed=seed, experts=experts)
            for scope in WIDE:
                for k in (1, 3):
                    with self.subTest(seed=seed, scope=scope, rank_topk=k):
                        self.resmerge(models[0], models[1:], {"scope": scope, "rank_topk": k},
                                      "float64")

    def test_a_wider_scope_is_another_merge(self):
        # Guards the tests above: were the scope ignored, theirs would be the oracle's mistake.
        for method in ("resmerge", "scf_rkl"):
            hashes = {scope: str(harness.hash_output(
                self.merge_here(self.sample(method, {"scope": scope}))))
                for scope in ("tensor",) + WIDE}
            self.assertEqual(len(set(hashes.values())), 4, (method, hashes))


class ScopesIdentityTest(ScopesCase):
    def recipes(self, **top):
        """Wide scopes over odd shapes, fused experts, and tensors of several leaves."""
        tiny = harness.data("tiny", seed=13, experts=3)
        big = harness.data("adversarial-big")
        return [
            self.sample("resmerge", {"scope": "model"}, "a.yaml", out_dtype="bfloat16", **top),
            harness.recipe(self.path("b.yaml"), "resmerge", tiny[0], tiny[1:],
                           {"rank_topk": 2, "scope": "layer"}, out_dtype="float64", **top),
            harness.recipe(self.path("c.yaml"), "scf_rkl", big[0], big[1:],
                           {"scope": "family", "threshold": "iqr"}, **top),
            self.sample("scf_rkl", {"scope": "model", "importance": "element"}, "d.yaml", **top),
        ]

    def test_threads_units_and_shards(self):
        wanted = [harness.hash_output(self.merge_here(file, "--threads", "1"))
                  for file in self.recipes()]
        for top in ({"unit_size": "40KB", "split_size": "1KB"}, {"unit_size": "64MB"}):
            for file, expected in zip(self.recipes(**top), wanted):
                with self.subTest(recipe=file, **top):
                    self.assertEqual(harness.hash_output(self.merge_here(file, "--threads", "3")),
                                     expected)

    def cluster(self, workers):
        for file in self.recipes(unit_size="300KB"):
            wanted = harness.hash_output(self.merge_here(file, "--threads", "2"))
            with self.subTest(recipe=file):
                output = self.path("cluster-" + os.path.basename(file))
                state = self.path("state-" + os.path.basename(file))
                with harness.Cluster(workers, state) as cluster:
                    last = cluster.finish(cluster.submit(file, output))
                    self.assertEqual(harness.state_of(last), "SUCCEEDED",
                                     str(last) + cluster.log())
                self.assertEqual(harness.hash_output(output), wanted)
                self.assertNotIn(".merganser", os.listdir(output))
                self.ok("verify", output)

    def test_one_worker(self):
        self.cluster(1)

    def test_three_workers(self):
        self.cluster(3)

    def test_a_worker_killed_while_it_analyzes(self):
        models = harness.data("generated", whole=True)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              {"scope": "model"}, unit_size="2MB")
        wanted = harness.hash_output(self.merge_here(file))
        units = len(self.planned(file)["units"])
        output = self.path("disturbed")
        with harness.Cluster(3, self.path("state")) as cluster:
            cluster.stop_workers()
            job = cluster.submit(file, output)
            # All three holding units means that this one does.
            seen = cluster.step(job, "every worker holding units",
                                lambda told: int(told.get("workers", 0)) == 3)
            # The last round writes every unit: what is done when as many are left was analysis.
            self.assertLess(int(seen.get("units_done", 0)), int(seen["units_total"]) - units, seen)
            victim = cluster.workers[1]
            victim.send_signal(signal.SIGKILL)
            self.assertEqual(victim.wait(), -signal.SIGKILL)
            cluster.signal_workers(signal.SIGCONT)
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
            self.assertGreaterEqual(int(last["progress"]["retries"]), 1)
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.ok("verify", output)


class ScopesCostTest(ScopesCase):
    def read(self, method, parameters):
        """Bytes that a merge of the samples read, as it reports and as the plan says."""
        file = self.sample(method, parameters)
        read = harness.report(self.merge_here(file))["run"]["bytes_read"]
        self.assertEqual(self.planned(file)["bytes_read"], read)
        return read

    def tensor_bytes(self, chosen):
        models = [stio.Checkpoint(m) for m in [SAMPLE_BASE] + SAMPLE]
        return sum(entry.size for model in models for name, entry in model.tensors.items()
                   if chosen(name, entry))

    def test_resmerge_reads_spectral_tensors_once_more(self):
        spectral = self.tensor_bytes(lambda name, entry: oracle.mode(name, entry.shape, 1) ==
                                     "spectral")
        self.assertGreater(spectral, 0)
        once = self.read("resmerge", {"scope": "tensor"})
        self.assertEqual(self.read("resmerge", {"scope": "model"}), once + spectral)

    def test_scf_rkl_reads_twice_more(self):
        everything = self.tensor_bytes(lambda *_: True)
        once = self.read("scf_rkl", {"scope": "tensor"})
        self.assertEqual(once, everything)
        for threshold in ("quantile", "iqr"):
            with self.subTest(threshold=threshold):
                self.assertEqual(
                    self.read("scf_rkl", {"scope": "model", "threshold": threshold}),
                    3 * everything)


if __name__ == "__main__":
    harness.main()

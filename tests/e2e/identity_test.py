"""The same merge is the same bytes, whatever ran it: threads, memory, instruction set,
how inputs are cut into files, and how many workers there are."""

import os
import re

import harness
import origin_models
from harness import EXPERTS, SAMPLE, SAMPLE_BASE


class IdentityTest(harness.Case):
    def merge_hash(self, file, *args, env=None):
        output = self.path("out-%d" % len(os.listdir(self.dir)))
        self.merge(file, output, *args, env=env)
        hashes = harness.hash_output(output)
        self.assertTrue(hashes)
        return hashes

    def recipes(self):
        """resmerge of the samples and of a set with every oddity; models that are decoded."""
        tiny = harness.data("tiny", seed=13, experts=3)
        return [
            harness.recipe(self.path("sample.yaml"), "resmerge", SAMPLE_BASE, SAMPLE,
                           out_dtype="bfloat16"),
            harness.recipe(self.path("tiny.yaml"), "resmerge", tiny[0], tiny[1:],
                           {"rank_topk": 2}, out_dtype="float64"),
        ] + self.decoded_recipes(scale=0.34)

    def decoded_recipes(self, **size):
        """Adapters on a base, and FP8 with MXFP4: merges in several rounds."""
        return [origin_models.recipe(self.path(family + ".yaml"), family,
                                     harness.data(family, **size), unit_size="1MB")
                for family in origin_models.RECIPES]

    def generated_recipe(self, method="resmerge"):
        models = harness.data("generated")
        per_model = None if method == "resmerge" else [{"weight": 0.7}] * len(models[1:])
        return harness.recipe(self.path("generated-%s.yaml" % method), method, models[0],
                              models[1:], None, per_model)

    def test_threads(self):
        for file in self.recipes():
            wanted = self.merge_hash(file, "--threads", "1")
            for threads in ("2", "4"):
                with self.subTest(recipe=file, threads=threads):
                    self.assertEqual(self.merge_hash(file, "--threads", threads), wanted)

    def test_repeats(self):
        for file in self.recipes()[:2]:
            self.assertEqual(self.merge_hash(file), self.merge_hash(file))

    def test_memory(self):
        file = self.generated_recipe()
        wanted = self.merge_hash(file, "--threads", "2", "--memory", "4GiB")
        self.assertEqual(self.merge_hash(file, "--threads", "1", "--memory", "300MiB"), wanted)

    def test_memory_of_models_that_are_decoded(self):
        for file in self.decoded_recipes():
            with self.subTest(recipe=file):
                wanted = self.merge_hash(file, "--threads", "2", "--memory", "4GiB")
                self.assertEqual(self.merge_hash(file, "--threads", "1", "--memory", "1GiB"), wanted)

    def test_instruction_sets(self):
        version = self.ok("--version").out
        found = re.search(r"^simd: (.+)$", version, re.MULTILINE)
        self.assertTrue(found, version)
        names = found.group(1).split()
        print("instruction sets: %s" % " ".join(names))
        for file in self.recipes():
            wanted = self.merge_hash(file)
            for name in names:
                with self.subTest(recipe=file, simd=name):
                    self.assertEqual(self.merge_hash(file, env={"MERGANSER_SIMD": name}), wanted)

    def test_sharded_input(self):
        whole = harness.recipe(self.path("a.yaml"), "resmerge", SAMPLE_BASE, SAMPLE)
        sharded = harness.recipe(self.path("b.yaml"), "resmerge", SAMPLE_BASE, [
            os.path.join(EXPERTS, "expert_add_sharded")] + SAMPLE[1:])
        self.assertEqual(self.merge_hash(sharded), self.merge_hash(whole))

    def cluster(self, file, workers, name):
        wanted = self.merge_hash(file, "--threads", "2")
        output = self.path("cluster-" + name)
        with harness.Cluster(workers, self.path("state-" + name)) as cluster:
            job = cluster.submit(file, output)
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.ok("verify", output)

    def test_one_worker(self):
        self.cluster(self.recipes()[1], 1, "one")

    def test_two_workers(self):
        self.cluster(self.recipes()[0], 2, "two")

    def test_three_workers(self):
        self.cluster(self.generated_recipe(), 3, "three")

    def test_three_workers_task_arithmetic(self):
        self.cluster(self.generated_recipe("task_arithmetic"), 3, "three-ta")

    def test_three_workers_on_models_that_are_decoded(self):
        files = self.decoded_recipes()
        with harness.Cluster(3, self.path("state")) as cluster:
            jobs = [cluster.submit(file, file + "-workers") for file in files]
            for file, job in zip(files, jobs):
                last = cluster.finish(job)
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
        for file in files:
            self.assertEqual(harness.hash_output(file + "-workers"), self.merge_hash(file))

    def test_submit_and_watch(self):
        file = self.recipes()[0]
        wanted = self.merge_hash(file)
        with harness.Cluster(1, self.path("state")) as cluster:
            result = cluster.client("submit", file, self.path("watched"), "--watch")
            self.assertEqual(result.code, 0, str(result) + cluster.log())
            self.assertRegex(result.out.splitlines()[0], r"^jobs/[a-z0-9-]+$")
        self.assertEqual(harness.hash_output(self.path("watched")), wanted)


if __name__ == "__main__":
    harness.main()

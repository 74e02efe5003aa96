"""Runs of `merganser merge-lora`: the same bytes for threads, memory and processors, interrupts, and the
memory that it asks for."""

import os
import re
import shutil
import signal
import time

import numpy as np

import harness
import lora_models
from lora_models import LAYER, Adapter
from merge_lora_case import MergeLoraCase


class BytesTest(MergeLoraCase):
    def hashes(self, out):
        found = {}
        for name in sorted(os.listdir(self.path(out))):
            with open(self.path(out, name), "rb") as f:
                found[name] = f.read()
        return found

    def test_same_bytes_for_threads_memory_and_processors(self):
        shape = (7000, 200)  # several blocks and leaves
        lora_models.save(self.path("base"), dict(self.base, **{
            LAYER % i + "mlp.up_proj.weight": np.zeros(shape) for i in range(2)}))
        for name, seed in (("a", 5), ("b", 6)):
            adapter = Adapter(seed, r=16, alpha=8)
            for i in range(2):
                adapter.linear(LAYER % i + "mlp.up_proj", shape)
            self.write(name, adapter)
        simd = self.ok("--version").out.split("simd: ")[1].split()
        for method, own, flags in (("linear", {"weight": 1}, ()),
                                   ("dare_ties", {"density": 0.5}, ("--rank", 4)),
                                   ("ties", {"density": 0.5}, ("--rank", 4))):
            recipe = self.recipe(method, own=own)
            self.merge_lora(recipe, *flags, "--threads", 1, out="one")
            for more, name in [(("--threads", 3), ""), (("--memory", "9GiB"), "")] + [
                    (("--threads", 2), name) for name in simd]:
                with self.subTest(method=method, more=more, simd=name):
                    self.merge_lora(recipe, *flags, *more, out="other", env={"MERGANSER_SIMD": name})
                    self.assertEqual(self.hashes("one"), self.hashes("other"))
        self.assertEqual(harness.leftovers(self.path("one")),
                         ["adapter_config.json", "adapter_model.safetensors",
                          "merge_lora_report.json"])

    def test_an_interrupt_leaves_nothing(self):
        shape = (1500, 1400)
        lora_models.save(self.path("base"), dict(self.base, **{
            LAYER % i + "mlp.up_proj.weight": np.zeros(shape) for i in range(2)}))
        for name, seed in (("a", 5), ("b", 6)):
            adapter = Adapter(seed, r=8, alpha=8)
            for i in range(2):
                adapter.linear(LAYER % i + "mlp.up_proj", shape)
            self.write(name, adapter)
        there = set(os.listdir(self.dir)) | {"r.yaml"}
        process = harness.start("merge-lora", self.path(self.recipe("ties", own={"density": 0.5})),
                                self.path("out"), "--rank", 200, "--threads", 1)
        time.sleep(0.3)  # it takes seconds
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=harness.LIMIT)
        self.assertIn(process.returncode, (130, -signal.SIGINT), err)
        self.assertEqual(set(os.listdir(self.dir)), there)

    def test_the_memory_that_is_asked_for_is_enough(self):
        wide, deep = 3000, 2000
        tensors = dict(self.base, **{"model.layers.0.mlp.up_proj.weight": np.zeros((wide, deep)),
                                     "model.layers.1.mlp.up_proj.weight": np.zeros((wide, deep))})
        lora_models.save(self.path("base"), tensors)
        for name, seed in (("a", 5), ("b", 6)):
            adapter = Adapter(seed, r=8, alpha=8)
            for i in range(2):
                adapter.linear(LAYER % i + "mlp.up_proj", (wide, deep))
            self.write(name, adapter)
        for method, flags in (("linear", ()), ("ties", ("--rank", 4))):
            recipe = self.recipe(method, own={"weight": 1})
            shutil.rmtree(self.path("out"), ignore_errors=True)
            line = self.refused(recipe, "--memory", flags=flags + ("--memory", "97MiB"))
            least = re.search("expected ([0-9]+)MiB or more", line).group(1)
            done, peak = harness.run_measured("merge-lora", self.path(recipe), self.path("out"),
                                              *flags, "--memory", least + "MiB", "--threads", 2)
            self.assertEqual(done.code, 0, done)
            if not harness.SLOW:
                self.assertLess(peak, int(least) << 20, method)


if __name__ == "__main__":
    harness.main()

"""Adapters of known rank under resmerge: heads from their factors are the leading triplets that
numpy finds, ranks are told by the plan, and a task vector of no more directions than heads leaves
nothing. `lora_dtype` rounds products first, and then their rank is not known."""

import json
import os
import shutil

import numpy as np

import harness
import lora_models
import stio
from lora_case import LoraCase
from lora_models import HIDDEN, LAYER, WIDE, Adapter, attention

CHANGED = [LAYER % i + name + ".weight" for i in range(2)
           for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")]


class RanksCase(LoraCase):
    def recipe(self, models, method="resmerge", **top):
        body = dict({"merge_method": method, "base_model": "base", "models": models,
                     "out_dtype": "float32"}, **top)
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in body.items() if v is not None}, f)
        return "r.yaml"

    def run_merge(self, *args, flags=(), **kw):
        output = self.path("out")
        shutil.rmtree(output, ignore_errors=True)
        self.merge(self.recipe(*args, **kw), output, *flags, cwd=self.dir)
        return output


class RanksTest(RanksCase):
    def measured(self, output):
        return {t["name"]: t for t in harness.report(output)["tensors"] if "sigma" in t}

    def hold(self, models, experts, rank_topk):
        """`experts`: of each a dict tensor -> float64 delta."""
        output = self.run_merge(models, parameters={"rank_topk": rank_topk})
        found = self.measured(output)
        self.assertTrue(set(CHANGED) <= set(found))
        for name, tensor in found.items():
            sigma = np.reshape(tensor["sigma"], (len(experts), rank_topk))
            for i, expert in enumerate(experts):
                delta = expert.get(name)
                if delta is None:
                    np.testing.assert_array_equal(sigma[i], 0)
                    continue
                want = np.linalg.svd(delta, compute_uv=False)
                np.testing.assert_allclose(sigma[i], want[:rank_topk], rtol=0,
                                           atol=1e-13 * want[0], err_msg=name)
                left = np.sqrt(np.sum(want[rank_topk:] ** 2))
                np.testing.assert_allclose(tensor["residual_norm"][i], left, rtol=1e-5,
                                           atol=1e-13 * want[0], err_msg=name)
            self.assertEqual(tensor["passes"], [0] * len(experts), name)
            self.assertEqual(tensor["steps"], [0] * len(experts), name)
        return output

    def test_heads_are_those_of_a_dense_svd(self):
        for r in (1, 3, 20):  # the last is above some tensors' sides
            for rank_topk in (1, 2):
                with self.subTest(r=r, rank_topk=rank_topk):
                    a = self.write("a", attention(5, r=r, alpha=2 * r))
                    b = self.write("b", attention(6, r=4, alpha=4, dtype="BF16"))
                    self.hold(["a", "b"], [a.changes, b.changes], rank_topk)
                    for name in "ab":
                        shutil.rmtree(self.path(name))

    def test_several_adapters_of_one_model(self):
        a, b = self.write("a", attention(5)), self.write("b", attention(6, r=3, alpha=6))
        both = {n: 0.5 * a.changes[n] - 1.25 * b.changes[n] for n in a.changes}
        self.hold([{"model": "base", "lora": [{"path": "a", "weight": 0.5},
                                              {"path": "b", "weight": -1.25}]}, "a"],
                  [both, a.changes], 2)

    def test_no_more_directions_than_heads_give_back_the_base(self):
        a = self.write("a", attention(5, r=2))
        b = self.write("b", Adapter(6, r=1).linear(LAYER % 0 + "mlp.up_proj", (WIDE, HIDDEN)))
        output = stio.Checkpoint(self.hold(["a", "b"], [a.changes, b.changes], 2))
        for name, values in self.base.items():
            np.testing.assert_array_equal(output.values(name), values, name)
        plan = json.loads(self.ok("plan", "r.yaml", "--json", cwd=self.dir).out)
        notes = [n for n in plan["notes"] if n.startswith("resmerge: model ")]
        self.assertEqual(len(notes), 2)
        self.assertIn("model a: 8 tensors with task vectors of rank 2: heads of rank_topk 2 come from "
                      "the adapter's factors; all of these have no more directions", notes[0])
        self.assertIn("model b: 1 tensor with task vectors of rank 1", notes[1])
        self.assertIn(notes[0], self.ok("plan", "r.yaml", cwd=self.dir).out)

    def test_what_is_left_behind_the_heads_is_told(self):
        self.write("a", attention(5, r=6))
        plan = json.loads(self.ok("plan", self.recipe(["a"]), "--json", cwd=self.dir).out)
        self.assertTrue(any("residuals of rank 5 are behind them" in n for n in plan["notes"]),
                        plan["notes"])

    def test_rounded_products_have_no_known_rank(self):
        self.write("a", attention(5, r=2))
        found = self.measured(self.run_merge(["a"], lora_dtype="bfloat16"))
        for name in CHANGED:
            self.assertGreater(found[name]["passes"][0], 0)
            self.assertGreater(found[name]["residual_norm"][0], 0)

    def test_the_same_bytes_however_it_is_cut(self):
        self.write("a", attention(5, r=6))
        self.write("b", attention(6, r=3))
        for scope in ("tensor", "model"):
            seen = set()
            for flags, top in ((("--threads", 1), {}), (("--threads", 3), {}),
                               ((), {"split_size": "1KiB", "unit_size": "1KiB"})):
                output = self.run_merge(["a", "b"], flags=flags, parameters={"scope": scope}, **top)
                seen.add(json.dumps(harness.hash_output(output), sort_keys=True))
            self.assertEqual(len(seen), 1, scope)


def rounded(product, scale, dtype):
    """`lora_dtype`, as RECIPE.md has it."""
    scaled = np.float32(product) * np.float32(scale)
    return stio.decode(stio.encode(scaled.astype(np.float64), dtype), dtype)


class RoundingTest(RanksCase):
    def test_weights_and_task_vectors(self):
        # Of one rank a product is one multiplication, exact in float64 whoever makes it.
        adapter = self.write("a", attention(5, r=1, alpha=0.7, dtype="BF16"))
        factors = stio.Checkpoint(self.as_model("a"))
        for key, dtype in (("bfloat16", "BF16"), ("float16", "F16")):
            want = dict(self.base)
            for name in adapter.changes:
                stem = "base_model.model." + name[:-len(".weight")]
                product = (factors.values(stem + ".lora_B.weight")
                           @ factors.values(stem + ".lora_A.weight"))
                want[name] = self.base[name] + rounded(product, 0.7, dtype)
            for method, models, base in (("passthrough", ["base+a"], None),
                                         ("task_arithmetic", [{"model": "a", "parameters":
                                                               {"weight": 1}}], "base")):
                output = stio.Checkpoint(self.run_merge(models, method, base_model=base,
                                                        lora_dtype=key))
                for name, values in want.items():
                    np.testing.assert_array_equal(
                        output.values(name), values.astype(np.float32).astype(np.float64),
                        "%s, %s, %s" % (name, key, method))

    def as_model(self, name):
        """The adapter's file, where a reader of models finds it."""
        folder = self.path(name + "-file")
        os.mkdir(folder)
        shutil.copy(self.path(name, "adapter_model.safetensors"),
                    os.path.join(folder, "model.safetensors"))
        return folder

    def test_bake_takes_it_as_a_flag(self):
        self.write("a", attention(5, r=3, alpha=2, dtype="BF16"))
        self.ok("bake", "base+a", "baked", "--lora-dtype", "bfloat16", "--out-dtype", "float32",
                cwd=self.dir)
        wanted = harness.hash_output(self.run_merge(["base+a"], "passthrough", base_model=None,
                                                    lora_dtype="bfloat16"))
        self.assertEqual(harness.hash_output(self.path("baked")), wanted)
        self.ok("bake", "base+a", "plain", "--out-dtype", "float32", cwd=self.dir)
        self.assertNotEqual(harness.hash_output(self.path("plain")), wanted)
        self.ok("bake", "base+a", "same", "--lora-dtype", "float32", "--out-dtype", "float32",
                cwd=self.dir)
        self.assertEqual(harness.hash_output(self.path("same")),
                         harness.hash_output(self.path("plain")))
        # What such rounding makes of a base of 16 bits is base plus adapter all the same.
        self.ok("bake", "base+a", "half", "--lora-dtype", "bfloat16", cwd=self.dir)
        self.ok("verify", "half", "--adapter", "a", "--base", "base", cwd=self.dir)

    def test_it_is_told(self):
        self.write("a", attention(5, r=2))
        plan = json.loads(self.ok("plan", self.recipe(["a"], lora_dtype="bfloat16"), "--json",
                                  cwd=self.dir).out)
        self.assertTrue(any("r=2, alpha 4, scale 2, rounded to bfloat16" in n
                            for n in plan["notes"]), plan["notes"])
        plain = json.loads(self.ok("plan", self.recipe(["a"], lora_dtype="float32"), "--json",
                                   cwd=self.dir).out)
        self.assertNotEqual(plan["digest"], plain["digest"])
        self.assertEqual(plain["digest"], json.loads(
            self.ok("plan", self.recipe(["a"]), "--json", cwd=self.dir).out)["digest"])
        lora_models.save(self.path("b"), self.base)
        plan = json.loads(self.ok("plan", self.recipe(["b"], lora_dtype="float16"), "--json",
                                  cwd=self.dir).out)
        self.assertTrue(any("key 'lora_dtype': accepted, but it has no effect here: no model of the "
                            "recipe has an adapter" in n for n in plan["notes"]), plan["notes"])

    def test_workers_of_a_service_give_the_same_bytes(self):
        self.write("a", attention(5, r=3, alpha=2))
        base = self.path("base")
        wanted = harness.hash_output(self.run_merge([base + "+" + self.path("a")], "passthrough",
                                                    base_model=None, lora_dtype="float16"))
        with harness.Cluster(2, self.path("state")) as cluster:
            job = cluster.finish(cluster.submit(self.path("r.yaml"), self.path("workers")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
        self.assertEqual(harness.hash_output(self.path("workers")), wanted)


if __name__ == "__main__":
    harness.main()

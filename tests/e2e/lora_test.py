"""Models with adapters: what is merged of them is what PEFT's formulas say in float64, in every form
of a recipe; what does not fit is refused; and plan, report and card say what was read."""

import json
import os
import shutil

import numpy as np

import harness
import lora_models
import methods_oracle
import oracle
import stio
from lora_case import LoraCase
from lora_models import HIDDEN, LAYER, ROWS, WIDE, Adapter, adapted, attention

# Whether the method merges task vectors.
METHODS = {
    "linear": (False, {}, {"weight": 0.5}),
    "task_arithmetic": (True, {"lambda": 0.7}, {"weight": 0.5}),
    "ties": (True, {}, {"weight": 0.5, "density": 0.6}),
    "slerp": (False, {"t": 0.35}, None),
    "scf_rkl": (False, {"density": 0.3}, None),
}


class LoraTest(LoraCase):
    def plan(self, *args, **kw):
        return json.loads(self.ok("plan", self.recipe(*args, **kw), "--json", cwd=self.dir).out)

    def recipe(self, method, models, parameters=None, own=None, base="base", **top):
        body = {"merge_method": method, "models": [
            dict(m if isinstance(m, dict) else {"model": m}, **({"parameters": own} if own else {}))
            for m in models]}
        if base is not None:
            body["base_model"] = base
        if parameters:
            body["parameters"] = parameters
        body.update(dict({"out_dtype": "float32"}, **top))
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump(body, f)
        return "r.yaml"

    def run_merge(self, *args, **kw):
        output = self.path("out")
        shutil.rmtree(output, ignore_errors=True)
        self.merge(self.recipe(*args, **kw), output, cwd=self.dir)
        return output

    def hold(self, method, models, experts, parameters=None, own=None, **kw):
        """Merges `models` and holds the output against the oracle over `experts`."""
        output = stio.Checkpoint(self.run_merge(method, models, parameters, own, **kw))
        wanted = methods_oracle.merge(method, kw.get("oracle_base", self.base), experts, parameters,
                                      [own or {}] * len(experts))
        self.assertEqual(set(output.tensors), set(wanted))
        changed = 0
        for name, value in wanted.items():
            entry = output.tensors[name]
            methods_oracle.check(name, value, output.raw(name), entry.dtype, self.base[name],
                                 [e[name] for e in experts])
            changed += int(not np.array_equal(output.values(name), self.base[name]))
        self.assertGreater(changed, 0)
        return output

    def test_every_kind_of_method(self):
        a, b = self.write("a", attention(5)), self.write("b", attention(6, r=3, alpha=3))
        for method, (deltas, parameters, own) in METHODS.items():
            with self.subTest(method=method):
                which = ["a"] if method == "slerp" else ["a", "b"]
                experts = [adapted(self.base, [(x, 1)], deltas)
                           for x in ([a] if method == "slerp" else [a, b])]
                # linear takes a base for one more model.
                if method == "linear":
                    self.hold(method, ["base+a", "base+b"], experts, parameters, own, base=None)
                else:
                    self.hold(method, which, experts, parameters, own)

    def test_resmerge(self):
        for name, seed in (("a", 5), ("b", 6)):
            adapter = self.write(name, attention(seed, r=4, alpha=4))
            full = adapted(self.base, [(adapter, 1)], True)
            stio.save(self.path("full-" + name), {n: ("F64", v) for n, v in full.items()},
                      config=lora_models.CONFIG)
        output = stio.Checkpoint(self.run_merge("resmerge", ["a", "b"], out_dtype="float64"))
        merged = {m.name: m for m in oracle.resmerge(
            stio.Checkpoint(self.path("base")),
            [stio.Checkpoint(self.path("full-" + n)) for n in "ab"])}
        for name, entry in output.tensors.items():
            oracle.check(merged[name], output.raw(name), entry.dtype)

    def test_every_form_means_one_model(self):
        self.write("a", attention(5))
        forms = ["a", "base+a", {"model": "base", "lora": "a"}, {"model": {"path": "base", "lora": "a"}},
                 {"model": {"model": {"path": "base"}, "lora": {"path": "a"}}},
                 {"model": "base", "lora": [{"path": "a", "weight": 1.0}]},
                 self.path("base") + "+" + self.path("a")]
        outputs = [harness.hash_output(self.run_merge("task_arithmetic", [form], None,
                                                      {"weight": 1}))
                   for form in forms]
        self.assertEqual(len({json.dumps(o, sort_keys=True) for o in outputs}), 1)

    def test_a_folder_whose_name_has_a_plus_stays_one(self):
        self.write("a", attention(5))
        shutil.copytree(self.path("base"), self.path("base+a"))
        plan = self.plan("linear", ["base+a"], None, {"weight": 1}, base=None)
        self.assertTrue(plan["models"][0]["uri"].endswith("/base+a"))
        self.assertNotIn("adapters", plan["models"][0])

    def test_a_base_that_only_the_adapter_names(self):
        a = attention(5, base_model_name_or_path=self.path("base"))
        self.write("a", a)
        self.hold("linear", ["a"], [adapted(self.base, [(a, 1)], False)], None, {"weight": 1},
                  base=None)
        self.write("lost", attention(5, base_model_name_or_path="/nowhere/model"))
        self.assertOneError(harness.run("plan", self.recipe("linear", ["lost"], None, {"weight": 1},
                                                            base=None), cwd=self.dir),
                            2, "/nowhere/model", "MODEL+ADAPTER")

    def test_several_adapters_with_weights(self):
        a, b = self.write("a", attention(5)), self.write("b", attention(6, r=3, alpha=6))
        expert = adapted(self.base, [(a, 0.5), (b, -1.25)], True)
        self.hold("task_arithmetic",
                  [{"model": "base", "lora": [{"path": "a", "weight": 0.5},
                                              {"path": "b", "weight": -1.25}]}],
                  [expert], None, {"weight": 0.75})

    def test_ranks_and_scales_by_pattern(self):
        a = Adapter(5, r=2, alpha=4, use_rslora=True, rank_pattern={"layers.1.self_attn.q_proj": 3})
        for i in range(2):
            a.linear(LAYER % i + "self_attn.q_proj", (HIDDEN, HIDDEN), r=3 if i else 2)
        self.write("a", a)
        self.hold("task_arithmetic", ["a"], [adapted(self.base, [(a, 1)], True)], None, {"weight": 1})
        told = self.plan("task_arithmetic", ["a"], None, {"weight": 1})["models"][1]["adapters"][0]
        self.assertEqual((told["rank"], told["modules"], told["expected"]), ([2, 3], 2, 2))

    def test_tensors_that_are_brought_whole(self):
        a = attention(5, modules_to_save=["norm", "lm_head"], bias="lora_only")
        a.bring("model.norm.weight", (HIDDEN,)).bring("lm_head.weight", (ROWS, HIDDEN))
        a.bring(LAYER % 0 + "self_attn.q_proj.bias", (HIDDEN,))
        self.write("a", a)
        for method, (deltas, parameters, own) in (("linear", METHODS["linear"]),
                                                  ("task_arithmetic", METHODS["task_arithmetic"])):
            with self.subTest(method=method):
                self.hold(method, ["base+a"], [adapted(self.base, [(a, 1)], deltas)], parameters, own,
                          **({"base": None} if method == "linear" else {}))

    def test_dora(self):
        a = Adapter(5, use_dora=True)
        for i in range(2):
            a.linear(LAYER % i + "self_attn.q_proj", (HIDDEN, HIDDEN), dora=True)
            a.linear(LAYER % i + "mlp.down_proj", (HIDDEN, WIDE), dora=True)
        self.write("a", a)
        for method in ("linear", "task_arithmetic", "ties"):
            deltas, parameters, own = METHODS[method]
            with self.subTest(method=method):
                self.hold(method, ["base+a"], [adapted(self.base, [(a, 1)], deltas)], parameters, own,
                          **({"base": None} if method == "linear" else {}))

    def test_embeddings(self):
        a = Adapter(5).embedding("model.embed_tokens", ROWS, HIDDEN)
        a.linear("lm_head", (ROWS, HIDDEN))
        self.write("a", a)
        self.hold("task_arithmetic", ["a"], [adapted(self.base, [(a, 1)], True)], None, {"weight": 1})

    def test_matrices_that_are_stored_transposed(self):
        rng = np.random.default_rng(3)
        self.base = {"h.0.attn.c_attn.weight": rng.standard_normal((HIDDEN, 3 * HIDDEN)),
                     "h.0.attn.c_proj.weight": rng.standard_normal((HIDDEN, HIDDEN)),
                     "wte.weight": rng.standard_normal((ROWS, HIDDEN))}
        self.base = {n: stio.decode(stio.encode(v, "BF16"), "BF16") for n, v in self.base.items()}
        shutil.rmtree(self.path("base"))
        lora_models.save(self.path("base"), self.base,
                         config={"model_type": "gpt2", "n_layer": 1, "vocab_size": ROWS})
        a = Adapter(5, fan_in_fan_out=True)
        for module, out in (("h.0.attn.c_attn", 3 * HIDDEN), ("h.0.attn.c_proj", HIDDEN)):
            a.linear(module, (out, HIDDEN), turned=True, prefix="transformer.")
        self.write("a", a)
        self.hold("task_arithmetic", ["a"], [adapted(self.base, [(a, 1)], True)], None, {"weight": 1})

    def test_experts(self):
        count, out, inner = 3, 8, 6
        experts = LAYER % 0 + "mlp.experts"
        rng = np.random.default_rng(4)
        packed = {experts + ".gate_up_proj": rng.standard_normal((count, 2 * out, inner)),
                  experts + ".down_proj": rng.standard_normal((count, inner, out)),
                  "model.embed_tokens.weight": rng.standard_normal((ROWS, inner))}
        packed = {n: stio.decode(stio.encode(v, "BF16"), "BF16") for n, v in packed.items()}
        a = Adapter(5).experts(experts, "gate_up_proj", count, 2 * out, inner, depth=1)
        a.experts(experts, "down_proj", count, inner, out)
        self.write("a", a)
        config = {"model_type": "qwen3_moe", "num_hidden_layers": 1, "vocab_size": ROWS}
        single = {"model.embed_tokens.weight": packed["model.embed_tokens.weight"]}
        changes = {}
        for e in range(count):
            for name, values in ((experts + ".gate_up_proj", "gate up"),
                                 (experts + ".down_proj", "down")):
                for k, part in enumerate(values.split()):
                    rows = slice(k * out, (k + 1) * out) if values != "down" else slice(None)
                    to = "%s.%d.%s_proj.weight" % (experts, e, part)
                    single[to] = packed[name][e, rows]
                    changes[to] = a.changes[name][e, rows]
        for base, delta in ((packed, a.changes), (single, changes)):
            with self.subTest(tensors=len(base)):
                shutil.rmtree(self.path("base"))
                self.base, a.changes = base, delta
                lora_models.save(self.path("base"), base, config=config)
                self.hold("task_arithmetic", ["a"], [adapted(base, [(a, 1)], True)], None,
                          {"weight": 1})

    def test_bytes_do_not_depend_on_threads_cuts_or_memory(self):
        self.write("a", attention(5))
        self.write("b", attention(6, r=3, alpha=3))
        for method in ("resmerge", "ties", "linear"):
            seen = set()
            for args, top in (((), {}), (("--threads", "1"), {}),
                              ((), {"split_size": "1KiB", "unit_size": "1KiB"}),
                              ((), {"max_shard_size": "20KB"})):
                recipe = self.recipe(method, ["base+a", "base+b"], None,
                                     {"weight": 0.5} if method != "resmerge" else None,
                                     **({"base": None} if method == "linear" else {}), **top)
                output = self.path("out")
                shutil.rmtree(output, ignore_errors=True)
                self.merge(recipe, output, *args, cwd=self.dir)
                whole = stio.Checkpoint(output)
                seen.add(b"".join(whole.raw(n).tobytes() for n in sorted(whole.tensors)))
            self.assertEqual(len(seen), 1, method)

    def test_workers_of_a_service_give_the_same_bytes(self):
        self.write("a", attention(5))
        dora = Adapter(6, use_dora=True)
        dora.linear(LAYER % 1 + "mlp.up_proj", (WIDE, HIDDEN), dora=True)
        self.write("b", dora)
        base = self.path("base")
        wanted = harness.hash_output(self.run_merge(
            "ties", [base + "+" + self.path(n) for n in "ab"], None, {"weight": 0.5}, base=base))
        with harness.Cluster(2, self.path("state")) as cluster:
            job = cluster.finish(cluster.submit(self.path("r.yaml"), self.path("workers")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
        self.assertEqual(harness.hash_output(self.path("workers")), wanted)

    def test_what_is_told(self):
        self.write("a", attention(5))
        output = self.run_merge("task_arithmetic", ["a"], None, {"weight": 1})
        phrase = "LoRA, 8 of 8 modules, r=2, alpha 4, scale 2"
        model = [m for m in harness.report(output)["models"] if "adapters" in m]
        self.assertEqual([m["adapters"][0]["origin"] for m in model], [phrase])
        self.assertIn(phrase, self.ok("report", output).out)
        with open(os.path.join(output, "README.md"), encoding="utf-8") as f:
            self.assertIn(phrase, f.read())
        self.assertIn(phrase, self.ok("plan", "r.yaml", cwd=self.dir).out)
        self.ok("verify", output)
        # Of the base how it is stored, of the adapter on what it is, for people and programs.
        told = ["stored as BF16", "%s, on %s, stored as BF16" % (phrase, self.path("base"))]
        planned = json.loads(self.ok("plan", "r.yaml", "--json", cwd=self.dir).out)["models"]
        reported = harness.report(output)["models"]
        for models in (planned, reported):
            self.assertEqual([m["origin"]["text"] for m in models], told)
            self.assertEqual(models[1]["origin"]["on"], self.path("base"))
            self.assertEqual([m["origin"]["stored"] for m in models], 2 * [[
                {"format": "BF16", "tensors": len(self.base),
                 "elements": sum(x.size for x in self.base.values())}]])
            self.assertEqual((models[1]["adapters"][0]["rank"], models[1]["adapters"][0]["alpha"]),
                             ([2, 2], [4, 4]))
        self.assertEqual(self.ok("plan", "r.yaml", cwd=self.dir).out.count("  stored as  BF16\n"), 2)
        self.assertIn("  stored as BF16\n", self.ok("report", output).out)
        summary = json.loads(self.ok("report", output, "--json").out)
        self.assertEqual([m["origin"] for m in summary["models"]], told)
        self.assertIn(phrase + ", on ", self.ok("report", output, "--html", "-").out)

    def test_a_rank_that_resmerge_takes_for_the_head_is_warned_of(self):
        self.write("a", attention(5, r=1, alpha=1))
        self.write("b", attention(6, r=4, alpha=4))
        warnings = [w for w in self.plan("resmerge", ["a", "b"])["warnings"] if "rank_topk" in w]
        self.assertEqual(len(warnings), 1)
        self.assertIn("a, 8 of 8 matrices that adapters change", warnings[0])
        self.assertNotIn("b, 8", warnings[0])

    def test_what_does_not_fit_is_refused(self):
        def refused(adapter, *texts, models=("a",)):
            shutil.rmtree(self.path("a"), ignore_errors=True)
            adapter.save(self.path("a"))
            recipe = self.recipe("task_arithmetic", list(models), None, {"weight": 1})
            self.assertOneError(harness.run("plan", recipe, cwd=self.dir), 2, *texts)

        q = LAYER % 0 + "self_attn.q_proj"
        refused(Adapter(5).linear(q, (HIDDEN, HIDDEN + 2)), "q_proj", "[16, 16]", "trained on")
        refused(Adapter(5, r=2).linear(q, (HIDDEN, HIDDEN), r=3), "rank 3", "rank 2")
        refused(Adapter(5).linear(LAYER % 7 + "self_attn.q_proj", (HIDDEN, HIDDEN)), "layers.7",
                "matches no tensor")
        lost = Adapter(5).linear(q, (HIDDEN, HIDDEN))
        del lost.tensors["base_model.model." + q + ".lora_B.weight"]
        refused(lost, "found no lora_B", "saved whole")
        refused(attention(5, init_lora_weights="pissa"), "init_lora_weights",
                "path_initial_model_for_weight_conversion")
        refused(attention(5, alora_invocation_tokens=[1]), "alora_invocation_tokens")
        refused(attention(5, some_new_thing=7), "some_new_thing")
        refused(attention(5, peft_type="LOHA"), "LOHA")
        more = attention(5)
        more.config["target_modules"].append("k_proj")
        refused(more, "k_proj", "saved whole")
        os.rename(self.path("a", "adapter_model.safetensors"), self.path("a", "adapter_model.bin"))
        self.assertOneError(harness.run("plan", "r.yaml", cwd=self.dir), 2, "adapter_model.bin",
                            "save_pretrained")

    def test_an_output_in_an_adapters_folder_is_refused(self):
        self.write("a", attention(5))
        recipe = self.recipe("task_arithmetic", ["a"], None, {"weight": 1})
        result = harness.run("merge", recipe, self.path("a", "out"), cwd=self.dir)
        self.assertNotEqual(result.code, 0)
        self.assertIn("lies inside", result.err)


if __name__ == "__main__":
    harness.main()

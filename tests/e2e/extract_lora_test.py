"""`merganser extract-lora`: the adapter that makes a model of its base, held against dense SVDs."""

import json
import os
import shutil
import signal
import time

import numpy as np

import harness
import lora_files
import stio

LAYERS = (("self_attn.q_proj", (24, 17)), ("self_attn.k_proj", (5, 17)),
          ("mlp.up_proj", (33, 17)), ("mlp.down_proj", (17, 33)))


class ExtractCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(11)

    def base(self, layers=2, shapes=LAYERS, vocabulary=40, width=17):
        normal = self.random.standard_normal
        tensors = {"model.embed_tokens.weight": 0.1 * normal((vocabulary, width))}
        for i in range(layers):
            for name, shape in shapes:
                tensors["model.layers.%d.%s.weight" % (i, name)] = 0.1 * normal(shape)
            tensors["model.layers.%d.self_attn.q_proj.bias" % i] = normal(shapes[0][1][0])
            tensors["model.layers.%d.input_layernorm.weight" % i] = 1 + 0.1 * normal(width)
        tensors["model.norm.weight"] = 1 + 0.1 * normal(width)
        tensors["lm_head.weight"] = 0.1 * normal((vocabulary, width))
        return tensors

    def save(self, name, tensors, dtype="F32", shards=1, **config):
        shutil.rmtree(self.path(name), ignore_errors=True)
        stio.save(self.path(name), {n: (dtype, x) for n, x in tensors.items()}, shards=shards,
                  config=dict({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                               "num_hidden_layers": 2, "vocab_size": 40,
                               "tie_word_embeddings": False}, **config))
        return self.path(name)

    def trained(self, tensors, noise=0.01, only=".weight"):
        """Every 2-D weight within layers changed by white noise."""
        return {n: x + noise * self.random.standard_normal(x.shape)
                if x.ndim == 2 and ".layers." in n and n.endswith(only) else x
                for n, x in tensors.items()}

    def extract(self, base, model, *flags, out="out", **kw):
        shutil.rmtree(self.path(out), ignore_errors=True)
        return self.ok("extract-lora", base, model, self.path(out), *flags, **kw)

    def report(self, out="out"):
        with open(self.path(out, "extract_report.json"), encoding="utf-8") as f:
            return json.load(f)

    def difference(self, base, model, module):
        one, other = stio.Checkpoint(base), stio.Checkpoint(model)
        name = module + ".weight"
        return other.values(name) - one.values(name)

    def hashes(self, out):
        return {name: open(os.path.join(out, name), "rb").read() for name in
                sorted(os.listdir(out))}


class ApproximationTest(ExtractCase):
    def check(self, base, model, rank, unit):
        """The product of every module is as good as the best of its rank; `unit` is the relative
        error of a stored factor."""
        report = {t["module"]: t for t in self.report()["tensors"]}
        products = lora_files.products(self.path("out"))
        self.assertEqual(set(products), set(report))
        for module, product in products.items():
            delta = self.difference(base, model, module)
            sigma = np.linalg.svd(delta, compute_uv=False)
            k = min(rank, len(sigma))
            self.assertEqual(report[module]["rank"], k)
            total, best = (sigma ** 2).sum(), (sigma[k:] ** 2).sum()
            error = ((delta - product) ** 2).sum()
            # Rounding both factors moves the product by 2 units of its norm; across the best
            # approximation's own error that is a square.
            self.assertLess(error - best, (4 * unit) ** 2 * total + 1e-9 * total, module)
            self.assertLess(abs(report[module]["kept"] - (1 - error / total)), 1e-9, module)
            self.assertLess(abs(report[module]["difference_norm"] - np.sqrt(total)),
                            1e-9 * np.sqrt(total))
            np.testing.assert_allclose(report[module]["sigma"], sigma[:k], rtol=1e-5)
        return products

    def test_is_the_best_of_its_rank(self):
        tensors = self.base()
        for dtype, other, shards in (("F32", "F32", 1), ("BF16", "BF16", 3), ("BF16", "F32", 2),
                                     ("F16", "F64", 1)):
            base = self.save("base", tensors, dtype, shards)
            model = self.save("model", self.trained(tensors, 0.02), other)
            for rank in (1, 3, 64):
                with self.subTest(dtype=dtype, other=other, rank=rank):
                    self.extract(base, model, "--rank", rank)
                    # A rounding base differs where training changed nothing: norms, embeddings.
                    products = self.check(base, model, rank, 2.0 ** -24)
                    self.assertEqual(len(products), 8)

    def test_factors_in_half_precision(self):
        tensors = self.base()
        base, model = self.save("base", tensors), self.save("model", self.trained(tensors))
        for dtype, stored, unit in (("bfloat16", "BF16", 2.0 ** -9), ("float16", "F16", 2.0 ** -11)):
            self.extract(base, model, "--rank", 4, "--dtype", dtype)
            entries, _ = stio.read_header(self.path("out", lora_files.WEIGHTS))
            self.assertEqual({e.dtype for e in entries.values()}, {stored})
            self.check(base, model, 4, unit)

    def test_a_low_rank_update_is_found_again(self):
        tensors = self.base()
        ranks = {"model.layers.0.self_attn.q_proj": 1, "model.layers.1.mlp.up_proj": 3,
                 "model.layers.1.mlp.down_proj": 2}
        changed, updates = dict(tensors), {}
        for module, rank in ranks.items():
            m, n = tensors[module + ".weight"].shape
            updates[module] = (self.random.standard_normal((m, rank)) @
                               self.random.standard_normal((rank, n)))
            changed[module + ".weight"] = tensors[module + ".weight"] + updates[module]
        base, model = self.save("base", tensors, "F64"), self.save("model", changed, "F64")
        self.extract(base, model, "--rank", 8, "--energy", 0.99999999)
        products = lora_files.products(self.path("out"))
        report = self.report()
        self.assertEqual({t["module"]: t["rank"] for t in report["tensors"]}, ranks)
        self.assertEqual(set(products), set(ranks))
        for module, update in updates.items():
            error = np.linalg.norm(products[module] - update) / np.linalg.norm(update)
            self.assertLess(error, 4 * 2.0 ** -24)
        self.assertGreater(report["kept"], 1 - 1e-12)
        settings = lora_files.config(self.path("out"))
        # Three ranks, one module each: the largest is the common one.
        self.assertEqual(settings["r"], 3)
        self.assertEqual(settings["lora_alpha"], 3)
        self.assertEqual(settings["rank_pattern"], {"model.layers.0.self_attn.q_proj": 1,
                                                    "model.layers.1.mlp.down_proj": 2})
        self.assertEqual(settings["alpha_pattern"], settings["rank_pattern"])
        self.assertEqual(sorted(settings["target_modules"]), sorted(ranks))
        self.assertEqual(settings["peft_type"], "LORA")
        self.assertEqual(settings["task_type"], "CAUSAL_LM")
        self.assertEqual(settings["base_model_name_or_path"], base)

    def test_rank_by_energy(self):
        tensors = self.base()
        base, model = self.save("base", tensors), self.save("model", self.trained(tensors))
        self.extract(base, model, "--rank", 4, "--energy", 0.5)
        capped = 0
        for tensor in self.report()["tensors"]:
            delta = self.difference(base, model, tensor["module"])
            shares = np.cumsum(np.linalg.svd(delta, compute_uv=False) ** 2)
            wanted = int(np.searchsorted(shares / shares[-1], 0.5)) + 1
            capped += wanted > 4
            self.assertEqual(tensor["rank"], min(wanted, 4), tensor["module"])
        self.assertGreater(capped, 0)
        self.assertLess(capped, 8)
        lora_files.products(self.path("out"))  # which holds shapes against the patterns

    def test_conv1d_is_stored_the_other_way_round(self):
        """GPT-2 keeps [in, out]; its biases tell so."""
        normal = self.random.standard_normal
        tensors = {"wte.weight": normal((40, 16)), "wpe.weight": normal((8, 16))}
        for i in range(2):
            for name, shape in (("attn.c_attn", (16, 48)), ("attn.c_proj", (16, 16)),
                                ("mlp.c_fc", (16, 64)), ("mlp.c_proj", (64, 16))):
                tensors["h.%d.%s.weight" % (i, name)] = normal(shape)
                tensors["h.%d.%s.bias" % (i, name)] = normal(shape[1])
            for name in ("ln_1", "ln_2"):
                tensors["h.%d.%s.weight" % (i, name)] = normal(16)
                tensors["h.%d.%s.bias" % (i, name)] = normal(16)
        changed = {n: x + 0.1 * normal(x.shape) if x.ndim == 2 and n.startswith("h.") else x
                   for n, x in tensors.items()}
        config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2,
                  "tie_word_embeddings": True}
        base = self.save("base", tensors, **config)
        model = self.save("model", changed, **config)
        self.extract(base, model, "--rank", 16)
        products = lora_files.products(self.path("out"))
        self.assertEqual(len(products), 8)
        for module, product in products.items():
            np.testing.assert_allclose(product.T, self.difference(base, model, module), atol=1e-5)
        self.assertTrue(lora_files.config(self.path("out"))["fan_in_fan_out"])


class BesideTest(ExtractCase):
    def setUp(self):
        super().setUp()
        self.tensors = self.base()
        self.changed = self.trained(self.tensors)
        for name in ("model.norm.weight", "model.layers.0.input_layernorm.weight",
                     "model.layers.1.self_attn.q_proj.bias", "lm_head.weight",
                     "model.embed_tokens.weight"):
            self.changed[name] = self.tensors[name] + 0.1
        self.paths = self.save("base", self.tensors), self.save("model", self.changed)

    def test_what_it_cannot_hold_is_told(self):
        result = self.extract(*self.paths, "--rank", 2)
        for text in ("2 tensors differ and the adapter does not have them (a norm): "
                     "model.layers.0.input_layernorm.weight, model.norm.weight; lost",
                     "1 tensor differs and the adapter does not have it (a bias): "
                     "model.layers.1.self_attn.q_proj.bias; lost",
                     "(an output head: --modules takes it): lm_head.weight",
                     "(an embedding: --modules takes it): model.embed_tokens.weight"):
            self.assertIn(text, result.err)
        report = self.report()
        self.assertEqual({b["name"]: b["saved"] for b in report["beside"]},
                         {n: False for n in ("model.norm.weight", "lm_head.weight",
                                             "model.layers.0.input_layernorm.weight",
                                             "model.layers.1.self_attn.q_proj.bias",
                                             "model.embed_tokens.weight")})
        one, other = stio.Checkpoint(self.paths[0]), stio.Checkpoint(self.paths[1])
        total = lost = 0
        for name in self.tensors:
            delta = other.values(name) - one.values(name)
            total += (delta ** 2).sum()
            found = [b for b in report["beside"] if b["name"] == name]
            if found:
                lost += (delta ** 2).sum()
                self.assertEqual(found[0]["elements"], np.count_nonzero(delta))
        for tensor in report["tensors"]:
            lost += (1 - tensor["kept"]) * tensor["difference_norm"] ** 2
        self.assertAlmostEqual(report["kept"], 1 - lost / total, 9)
        self.assertIn("of the whole difference", result.out)

    def test_modules(self):
        self.extract(*self.paths, "--rank", 2, "--modules", "q_proj,lm_head,embed_tokens",
                     "--exclude", "layers.0.self_attn.q_proj")
        products = lora_files.products(self.path("out"))
        self.assertEqual(set(products), {"model.layers.1.self_attn.q_proj", "lm_head",
                                         "model.embed_tokens"})
        for module in ("lm_head", "model.embed_tokens"):
            np.testing.assert_allclose(products[module], 0.1 * np.ones((40, 17)), rtol=1e-4)
        keys = lora_files.tensors(self.path("out"))
        self.assertIn("base_model.model.model.embed_tokens.lora_embedding_A", keys)
        self.assertEqual(keys["base_model.model.model.embed_tokens.lora_embedding_A"].shape,
                         (keys["base_model.model.model.embed_tokens.lora_embedding_B"].shape[1], 40))

    def test_saved_modules(self):
        result = self.extract(*self.paths, "--rank", 2, "--save-modules")
        settings, found = lora_files.config(self.path("out")), lora_files.tensors(self.path("out"))
        self.assertEqual(sorted(settings["modules_to_save"]),
                         ["lm_head", "model.embed_tokens", "model.layers.0.input_layernorm",
                          "model.norm"])
        model = stio.Checkpoint(self.paths[1])
        for module in settings["modules_to_save"]:
            np.testing.assert_array_equal(found[lora_files.PREFIX + module + ".weight"],
                                          model.values(module + ".weight"))
        # The bias of a layer that has a product cannot be saved beside it.
        self.assertIn("model.layers.1.self_attn.q_proj.bias", result.err)
        self.assertNotIn("model.norm", result.err)

    def test_tied_embeddings_are_left_out(self):
        del self.tensors["lm_head.weight"], self.changed["lm_head.weight"]
        base = self.save("base", self.tensors, tie_word_embeddings=True)
        model = self.save("model", self.changed, tie_word_embeddings=True)
        result = self.extract(base, model, "--rank", 2)
        self.assertIn("an embedding that is the output head too", result.err)
        self.assertOneError(harness.run("extract-lora", base, model, self.path("x"), "--rank", 2,
                                        "--modules", "embed_tokens"), 2, "embed_tokens")

    def test_a_router_is_left_out(self):
        for tensors in (self.tensors, self.changed):
            tensors["model.layers.0.mlp.gate.weight"] = (
                0.1 * self.random.standard_normal((4, 17)))
        base, model = self.save("base", self.tensors), self.save("model", self.changed)
        result = self.extract(base, model, "--rank", 2)
        self.assertIn("(a router: --modules takes it): model.layers.0.mlp.gate.weight", result.err)
        self.assertNotIn("model.layers.0.mlp.gate", lora_files.products(self.path("out")))

    def test_a_name_that_others_end_in(self):
        """Without more, PEFT would take "tower.proj" for "other.tower.proj" too."""
        names = ("tower.proj.weight", "other.tower.proj.weight", "third.tower.proj.weight")
        for name in names:
            self.tensors[name] = self.changed[name] = self.random.standard_normal((8, 8))
        for rank, name in zip((1, 2), names):
            self.changed[name] = self.tensors[name] + (
                self.random.standard_normal((8, rank)) @ self.random.standard_normal((rank, 8)))
        base = self.save("base", self.tensors, "F64")
        model = self.save("model", self.changed, "F64")
        self.extract(base, model, "--rank", 2, "--energy", "0.999999999")
        settings = lora_files.config(self.path("out"))
        self.assertEqual(settings["exclude_modules"], ["third.tower.proj"])
        products = lora_files.products(self.path("out"))
        for name in names[:2]:
            np.testing.assert_allclose(products[name[:-len(".weight")]],
                                       self.changed[name] - self.tensors[name], atol=1e-5)


class BytesTest(ExtractCase):
    def test_same_bytes_for_threads_and_processors(self):
        shapes = (("self_attn.q_proj", (300, 200)), ("mlp.up_proj", (500, 200)))
        tensors = self.base(shapes=shapes, width=200)
        changed = self.trained(tensors)
        base = self.save("base", tensors, "BF16")
        model = self.save("model", changed, "BF16", shards=2)
        self.extract(base, model, "--rank", 5, "--energy", 0.9, "--threads", 1)
        first = self.hashes(self.path("out"))
        self.assertEqual(sorted(first), ["adapter_config.json", "adapter_model.safetensors",
                                         "extract_report.json"])
        simd = self.ok("--version").out.split("simd: ")[1].split()
        for threads, name in [(2, ""), (3, "")] + [(2, s) for s in simd]:
            with self.subTest(threads=threads, simd=name):
                self.extract(base, model, "--rank", 5, "--energy", 0.9, "--threads", threads,
                             out="again", env={"MERGANSER_SIMD": name})
                self.assertEqual(self.hashes(self.path("again")), first)

    def test_nothing_is_left_of_a_run_that_ends_early(self):
        shapes = (("self_attn.q_proj", (600, 600)), ("mlp.up_proj", (700, 600)))
        tensors = self.base(layers=6, shapes=shapes, width=600)
        config = {"num_hidden_layers": 6}
        base = self.save("base", tensors, "BF16", **config)
        model = self.save("model", self.trained(tensors), "BF16", **config)
        there = set(os.listdir(self.dir))
        began = time.monotonic()
        self.extract(base, model, "--rank", 16, "--threads", 1)
        took = time.monotonic() - began
        whole = self.hashes(self.path("out"))
        shutil.rmtree(self.path("out"))
        codes = set()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for part in (0.1, 0.4, 0.8):
                process = harness.start("extract-lora", base, model, self.path("out"), "--rank", 16,
                                        "--threads", 1)
                time.sleep(part * took)
                process.send_signal(number)
                out, err = process.communicate(timeout=harness.LIMIT)
                codes.add(process.returncode)
                with self.subTest(signal=number, part=part):
                    if os.path.exists(self.path("out")):  # it was done
                        self.assertEqual(self.hashes(self.path("out")), whole)
                        shutil.rmtree(self.path("out"))
                    left = set(os.listdir(self.dir)) - there
                    if number == signal.SIGKILL:  # within the last moment, under a hidden name
                        for name in left:
                            self.assertRegex(name, r"^\.out\.[0-9a-f]{16}\.partial$")
                            shutil.rmtree(self.path(name))
                    else:
                        self.assertEqual(left, set(), err)
        self.assertTrue(codes & {130, -signal.SIGINT}, codes)
        self.assertIn(-signal.SIGKILL, codes)

    def test_memory_is_that_of_one_tensor(self):
        shapes = (("mlp.up_proj", (2048, 1024)),)
        tensors = self.base(layers=4, shapes=shapes, width=1024)
        base = self.save("base", tensors, num_hidden_layers=4)
        model = self.save("model", self.trained(tensors), num_hidden_layers=4)
        result = harness.run("extract-lora", base, model, self.path("out"), "--rank", 4,
                             "--memory", "100MiB")
        self.assertOneError(result, 2, "--memory", "expected", "or more")
        self.assertFalse(os.path.exists(self.path("out")))
        least = result.err.split("expected ")[1].split(" or more")[0]
        done, peak = harness.run_measured("extract-lora", base, model, self.path("out"), "--rank",
                                          4, "--memory", least, "--threads", 2)
        self.assertEqual(done.code, 0, done)
        if not harness.SLOW:
            self.assertLess(peak, int(least[:-3]) << 20)


class RefusedTest(ExtractCase):
    def setUp(self):
        super().setUp()
        tensors = self.base()
        self.paths = self.save("base", tensors), self.save("model", self.trained(tensors))
        self.tensors = tensors

    def refused(self, *args, paths=None, code=2, texts=()):
        before = sorted(os.listdir(self.dir))
        result = harness.run("extract-lora", *(paths or self.paths), *args)
        self.assertOneError(result, code, *texts)
        self.assertEqual(sorted(os.listdir(self.dir)), before)

    def test_something_is_there(self):
        os.mkdir(self.path("folder"))
        with open(self.path("file"), "w", encoding="utf-8") as f:
            f.write("mine")
        os.symlink("nowhere", self.path("link"))
        for name in ("folder", "file", "link"):
            self.refused(self.path(name), "--rank", 2, texts=(name, "is there already"))
        self.assertEqual(os.listdir(self.path("folder")), [])

    def test_flags(self):
        for flags, texts in ((("--rank", 0), ("--rank",)), ((), ("--rank",)),
                             (("--rank", 2, "--energy", 1.5), ("--energy",)),
                             (("--rank", 2, "--dtype", "float64"), ("--dtype", "float64")),
                             (("--rank", 2, "--modules", "q_prog"), ("--modules", "q_prog")),
                             (("--rank", 2, "--modules", "norm"), ("--modules", "norm")),
                             (("--rank", 2, "--exclude", "q_prog"), ("--exclude", "q_prog"))):
            with self.subTest(flags=flags):
                self.refused(self.path("out"), *flags, texts=texts)
        self.refused("s3://bucket/adapter", "--rank", 2, texts=("s3://bucket/adapter", "folder"))

    def test_models(self):
        out = self.path("out")
        same = self.save("same", self.tensors)
        self.refused(out, "--rank", 2, paths=(self.paths[0], same), texts=("are equal",))
        normed = dict(self.tensors)
        normed["model.norm.weight"] = normed["model.norm.weight"] + 1
        self.refused(out, "--rank", 2, paths=(self.paths[0], self.save("normed", normed)),
                     texts=("model.norm.weight", "a norm"))
        broken = {n: x.copy() for n, x in self.tensors.items()}
        broken["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
        self.refused(out, "--rank", 2, paths=(self.paths[0], self.save("nan", broken)),
                     texts=("model.layers.1.mlp.up_proj.weight", "element %d is NaN" % (3 * 17 + 4)))
        wide = dict(self.tensors)
        wide["model.layers.0.mlp.up_proj.weight"] = np.zeros((34, 17))
        self.refused(out, "--rank", 2, paths=(self.paths[0], self.save("wide", wide)),
                     texts=("model.layers.0.mlp.up_proj.weight", "[34, 17]", "[33, 17]"))
        self.refused(out, "--rank", 2, paths=(self.paths[0], self.path("missing")),
                     texts=("missing",))


if __name__ == "__main__":
    harness.main()

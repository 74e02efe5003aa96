"""What lies beside the weights, and what lies where weights should be: small files that go along by
kind, embedded, served, with ranks and to a bucket; Mistral's own layout; folders of trainers and
caches; packed weights and leftover keys; experts that are the base, or each other."""

import json
import os
import shutil

import numpy as np

import harness
import mpi_case
import s3_case
import stio
import tiny_chat_models

# Of tokenizers, sentence-transformers, Mistral, remote code and licences.
COPIED = ("tiktoken.model", "spm.model", "source.spm", "vocab.bpe", "encoder.json",
          "entity_vocab.json", "sentence_bert_config.json", "config_sentence_transformers.json",
          "params.json", "tokenizer.model.v3", "SYSTEM_PROMPT.txt", "labels.csv", "LICENSE",
          "NOTICE.md", "modeling_x.py", "requirements.txt", "1_Pooling/config.json",
          "2_Dense/config.json", "2_Dense/model.safetensors", "custom_generate/generate.py",
          "additional_chat_templates/tool.jinja")
LEFT_OUT = ("logo.png", "trainer_state.json", "train.jsonl", "README_zh.md", "state.pkl",
            "assets/voice.wav")
SILENT = ("README.md", ".gitattributes", ".git/config", ".cache/tokenizer.json", "training_args.bin",
          "pytorch_model.bin", "runs/events.out.tfevents.1", "checkpoint-10/vocab.json",
          "global_step100/mp_rank_00_model_states.pt", "original/params.json", "onnx/model.onnx",
          "model-q4.gguf", "optimizer.pt")
MODULES = [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]


def put(folder, files):
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())


def files_of(folder):
    return [name for name in harness.leftovers(folder)
            if os.path.isfile(os.path.join(folder, name))]


class SmallCase(harness.Case):
    def setUp(self):
        super().setUp()
        tiny_chat_models.models(self.dir)

    def base_with_files(self):
        put(self.path("base"), {name: "of " + name for name in COPIED + LEFT_OUT + SILENT})
        put(self.path("base"), {"modules.json": json.dumps(MODULES)})

    def recipe(self, *models, base="base", method="task_arithmetic", **top):
        at = lambda name: name if "://" in name else self.path(name)
        return harness.recipe(self.path("r.yaml"), method, base and at(base),
                              [at(name) for name in models], **top)

    def same(self, name, content):
        for part in COPIED + ("modules.json",):
            with open(self.path("base", part), "rb") as f:
                self.assertEqual(content(part), f.read(), "%s of %s" % (part, name))


class SmallFilesTest(SmallCase):
    def read(self, folder):
        def content(name):
            with open(os.path.join(folder, name), "rb") as f:
                return f.read()
        return content

    def test_every_small_file_goes_along_or_is_named(self):
        self.base_with_files()
        out = self.merge(self.recipe("a", "b"), self.path("out"))
        self.same("the output", self.read(out))
        for name in LEFT_OUT + SILENT:
            if name != "README.md":
                self.assertFalse(os.path.exists(os.path.join(out, name)), name)
        report = harness.report(out)
        note, = [n for n in report["notes"] if "left out" in n]
        for name in LEFT_OUT[:-1]:
            self.assertIn("'%s'" % name, note)
        self.assertIn("the folder 'assets/'", note)
        for name in SILENT:
            self.assertNotIn("'" + name.split("/")[0], note)
        dense, = [w for w in report["warnings"] if "2_Dense" in w]
        self.assertIn("not merged", dense)
        self.ok("verify", out)
        # Told by plan as well.
        self.assertIn("left out of the output", self.ok("plan", self.recipe("a", "b")).out)
        # A run that is gone on with finds the same files; one that was changed is told.
        self.ok("merge", self.recipe("a", "b"), out, "--resume")
        put(out, {"1_Pooling/config.json": "another"})
        self.assertOneError(harness.run("merge", self.recipe("a", "b"), out, "--resume"), 2,
                            "1_Pooling/config.json")

    def test_the_next_model_does_not_keep_what_would_mislead(self):
        self.base_with_files()
        out = self.merge(self.recipe("a", "b"), self.path("out"))
        self.merge(self.recipe("b", base="a"), out, "--overwrite")
        for name in ("modules.json", "params.json", "spm.model", "tokenizer.model.v3"):
            self.assertFalse(os.path.exists(os.path.join(out, name)), name)

    def test_an_ordinary_model_says_nothing(self):
        put(self.path("base"), {name: "x" for name in SILENT})
        report = harness.report(self.merge(self.recipe("a", "b"), self.path("out")))
        self.assertEqual((report["notes"], report["warnings"]), ([], []))

    def test_another_models_tokenizer_brings_its_kind(self):
        self.base_with_files()
        put(self.path("a"), {"my.tiktoken": "of a", "tokenization_x.py": "of a"})
        out = self.merge(self.recipe("a", "b", tokenizer_source=self.path("a")), self.path("out"))
        names = files_of(out)
        for name in ("spm.model", "vocab.bpe", "entity_vocab.json", "tiktoken.model"):
            self.assertNotIn(name, names)
        for name in ("my.tiktoken", "tokenization_x.py", "modules.json", "params.json", "LICENSE"):
            self.assertIn(name, names)

    def test_pointers_of_git_lfs_are_no_tokenizer(self):
        pointer = ("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 17000000\n" %
                   ("0" * 64))
        put(self.path("base"), {"tokenizer.json": pointer})
        self.assertOneError(harness.run("plan", self.recipe("a")), 2, "base/tokenizer.json",
                            "git lfs pull")
        put(self.path("a"), {"model.safetensors": pointer})
        self.assertOneError(harness.run("plan", self.recipe("a")), 2, "a/model.safetensors",
                            "git lfs pull")

    def test_a_service_writes_the_same_files(self):
        self.base_with_files()
        embedded = self.merge(self.recipe("a", "b"), self.path("out"))
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(self.recipe("a", "b"), self.path("served"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
        self.assertEqual(files_of(embedded), files_of(self.path("served")))
        self.same("the service", self.read(self.path("served")))
        self.assertEqual(harness.hash_output(embedded), harness.hash_output(self.path("served")))


class RanksTest(SmallCase, mpi_case.MpiCase):
    def test_ranks_write_the_same_files(self):
        self.base_with_files()
        embedded = self.merge(self.recipe("a", "b"), self.path("out"))
        self.mpi_ok(2, self.recipe("a", "b"), self.path("ranks"))
        self.assertEqual(files_of(embedded), files_of(self.path("ranks")))
        self.assertEqual(harness.hash_output(embedded), harness.hash_output(self.path("ranks")))


class BucketTest(s3_case.BucketCase, SmallCase):
    def test_from_and_to_a_bucket(self):
        self.base_with_files()
        for name in ("base", "a"):
            for at, _, names in os.walk(self.path(name)):
                for file in names:
                    path = os.path.join(at, file)
                    with open(path, "rb") as f:
                        self.s3.put("models", "in/small/%s/%s" % (
                            name, os.path.relpath(path, self.path(name))), f.read())
        inputs = "s3://models/in/small/"
        self.ok("merge", self.recipe(inputs + "a", base=inputs + "base"), "s3://models/out/small")
        local = self.merge(self.recipe("a"), self.path("local"))
        self.assertEqual(sorted(self.s3.keys("models", "out/small/")),
                         sorted("out/small/" + name for name in files_of(local)))
        self.same("the bucket", lambda name: self.s3.get("models", "out/small/" + name))

    def test_the_run_of_a_trainer_in_a_bucket(self):
        for name in ("checkpoint-20/trainer_state.json", "checkpoint-7/model.safetensors"):
            self.s3.put("models", "in/run/" + name, b"x")
        self.s3.put("models", "in/shards/model_world_size_1_rank_0.pt", b"x")
        self.assertOneError(
            harness.run("plan", self.recipe("s3://models/in/run")), 2,
            "s3://models/in/run/checkpoint-7, the newest of 2 that has weights")
        self.assertOneError(
            harness.run("plan", self.recipe("s3://models/in/shards")), 2, "FSDP",
            "--local_dir FOLDER", "(FOLDER: a copy of s3://models/in/shards)")


class MistralTest(SmallCase):
    """consolidated.safetensors beside params.json, without a config.json."""

    def tensors(self, seed, base=None):
        random = np.random.default_rng(seed)
        found = {}
        for name, shape in (("tok_embeddings.weight", (16, 8)), ("layers.0.attention.wq.weight", (8, 8)),
                            ("layers.0.feed_forward.w1.weight", (16, 8)), ("norm.weight", (8,)),
                            ("output.weight", (16, 8))):
            values = random.standard_normal(shape) * 0.02
            found[name] = values if base is None else base[name] + values
        return found

    def model(self, name, tensors, shards=1):
        folder = self.path(name)
        stio.save(folder, {n: ("F32", v) for n, v in tensors.items()}, shards)
        for file in os.listdir(folder):
            path = os.path.join(folder, file)
            if file.endswith(".json"):
                with open(path, encoding="utf-8") as f:
                    text = f.read().replace("model-", "consolidated-")
                os.remove(path)
                put(folder, {"consolidated.safetensors.index.json": text})
            else:
                os.rename(path, os.path.join(folder, file.replace("model", "consolidated")))
        put(folder, {"params.json": "{}", "tekken.json": "{}"})

    def test_is_written_back_as_such(self):
        base = self.tensors(1)
        experts = [self.tensors(2, base), self.tensors(3, base)]
        self.model("mb", base, shards=2)
        self.model("m1", experts[0])
        self.model("m2", experts[1], shards=3)
        recipe = self.recipe("m1", "m2", base=None, method="linear", parameters={"weight": 1},
                             max_shard_size="1KB")
        out = self.merge(recipe, self.path("out"))
        self.assertEqual(files_of(out), ["README.md", "consolidated.safetensors", "merge_recipe.yaml",
                                         "merge_report.json", "params.json", "tekken.json"])
        self.assertIn("max_shard_size", "".join(harness.report(out)["notes"]))
        self.ok("verify", out)
        os.makedirs(self.path("read"))
        shutil.copy(os.path.join(out, "consolidated.safetensors"),
                    self.path("read", "model.safetensors"))
        merged = stio.Checkpoint(self.path("read"))
        for name in base:
            np.testing.assert_allclose(merged.values(name),
                                       (experts[0][name] + experts[1][name]) / 2, atol=1e-6)
        # It is a model again, and takes the place of one in the other layout.
        self.ok("plan", self.recipe("m1", base="out"))
        self.merge(self.recipe("a"), self.path("other"))
        self.merge(self.recipe("m1", base="mb"), self.path("other"), "--overwrite")
        self.assertEqual([n for n in files_of(self.path("other")) if "safetensors" in n],
                         ["consolidated.safetensors"])
        self.assertFalse(os.path.exists(self.path("other", "config.json")))
        self.ok("verify", self.path("other"))
        # And is gone on with.
        self.ok("merge", self.recipe("m1", base="mb"), self.path("other"), "--resume")


class FoldersTest(SmallCase):
    def said(self, files, name="e"):
        put(self.path(name), files)
        return self.assertOneError(harness.run("plan", self.recipe(name)), 2)

    def test_folders_of_trainers_name_what_converts_them(self):
        for i, (files, texts) in enumerate((
                ({"model_world_size_2_rank_0.pt": "x", "huggingface/config.json": "{}"},
                 ("FSDP", "python -m verl.model_merger merge --backend fsdp --local_dir")),
                ({"zero_to_fp32.py": "x", "latest": "x", "global_step1/x_model_states.pt": "x"},
                 ("zero_to_fp32.py", "--safe_serialization")),
                ({"pytorch_model_fsdp_0/__0_0.distcp": "x"}, ("accelerate merge-weights",)),
                ({"dist_ckpt/common.pt": "x"}, ("--backend megatron",)),
                ({"tf_model.h5": "x"}, ("from_tf=True",)),
                ({"m.gguf": "x"}, ("GGUF",)),
                ({"checkpoint-9/adapter_config.json": "{}"}, ("checkpoint-9/", "adapter")))):
            with self.subTest(files=sorted(files)):
                line = self.said(files, "e%d" % i)
                for text in texts:
                    self.assertIn(text, line)

    def test_folders_that_lead_to_the_model(self):
        shutil.copytree(self.path("a"), self.path("run", "checkpoint-100"))
        shutil.copytree(self.path("a"), self.path("run", "checkpoint-20"))
        self.assertIn("run/checkpoint-100, the newest of 2", self.said({}, "run"))
        hub = self.path("hub", "models--org--name")
        shutil.copytree(self.path("a"), os.path.join(hub, "snapshots", "abc"))
        self.assertIn("models--org--name/snapshots/abc", self.said({}, "hub/models--org--name"))
        shutil.copytree(self.path("a"), self.path("parts", "pytorch_model"))
        self.assertIn("parts/pytorch_model", self.said({}, "parts"))
        # What is named is one.
        self.ok("plan", self.recipe("run/checkpoint-100"))
        self.ok("plan", self.recipe("hub/models--org--name/snapshots/abc"))


class QuantisedTest(SmallCase):
    def test_a_leftover_key_and_packed_tensors(self):
        path = self.path("a", "config.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        put(self.path("a"), {"config.json": json.dumps(
            {**config, "quantization_config": {"quant_method": "bitsandbytes"}})})
        line = self.assertOneError(harness.run("plan", self.recipe("a")), 2, "a/config.json",
                                   "quantization_config", "plain", "remove the key")
        self.assertNotIn("dequantise it first", line)
        put(self.path("a"), {"config.json": json.dumps(config)})
        self.ok("plan", self.recipe("a"))
        blocks = np.ones((2, 8, 1, 16), np.uint8)
        stio.save(self.path("mx"), {
            "model.layers.0.mlp.experts.down_proj_blocks": ("I8", blocks.astype(np.int8)),
            "model.layers.0.mlp.experts.down_proj_scales": ("U8", blocks[..., 0]),
            "model.norm.weight": ("F32", np.ones(8))}, config={"model_type": "gpt_oss"})
        # Equal in all models, so that nothing else would refuse them.
        shutil.copytree(self.path("mx"), self.path("mx2"))
        self.assertOneError(harness.run("plan", self.recipe("mx2", base="mx")), 2, "_blocks",
                            "quantised")


class EqualModelsTest(SmallCase):
    def warnings(self, *args, **kw):
        shutil.rmtree(self.path("out"), ignore_errors=True)
        return harness.report(self.merge(self.recipe(*args, **kw), self.path("out")))["warnings"]

    def test_an_expert_that_is_the_base_or_another(self):
        self.assertEqual(self.warnings("a", "b"), [])
        shutil.copytree(self.path("base"), self.path("lost"))
        told, = self.warnings("a", "lost")
        for text in ("/lost: found no difference to", "/base", "sampled", "adapter"):
            self.assertIn(text, told)
        shutil.copytree(self.path("a"), self.path("again"))
        told, = self.warnings("a", "b", "again", method="linear", base=None,
                              parameters={"weight": 1})
        self.assertIn("found no difference between them", told)
        self.assertIn("/again", told)
        # A model that the recipe names twice is its affair.
        self.assertEqual(self.warnings("a", "a", method="linear", base=None,
                                       parameters={"weight": 1}), [])


if __name__ == "__main__":
    harness.main()

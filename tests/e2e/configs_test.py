"""config.json of models that do not say the same: what is warned of, what is silent, what is refused;
and what becomes of it when slices move layers."""

import json

import numpy as np

import harness
import stio

LAYERS, HIDDEN, ROWS = 4, 16, 40
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
    "intermediate_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": ROWS, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "max_position_embeddings": 64, "eos_token_id": 2,
    "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.40.0"}

# A change of an expert's config, and the keys that the warnings name, one each.
WARNED = [
    ({"rope_theta": 1e6}, ["rope_theta"]),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, ["rope_scaling"]),
    ({"rope_scaling": {"type": "linear", "factor": 4.0}}, ["rope_scaling"]),
    ({"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
     ["rope_theta"]),
    ({"num_attention_heads": 8, "num_key_value_heads": 4},
     ["num_attention_heads", "num_key_value_heads"]),
    ({"hidden_act": "gelu"}, ["hidden_act"]),
    ({"rms_norm_eps": 1e-5}, ["rms_norm_eps"]),
    ({"sliding_window": 16}, ["sliding_window"]),
    ({"num_experts_per_tok": 2}, ["num_experts_per_tok"]),
    ({"final_logit_softcapping": 30.0}, ["final_logit_softcapping"]),
    ({"attention_multiplier": 0.5}, ["attention_multiplier"]),
    ({"max_position_embeddings": 32768}, ["max_position_embeddings"]),
    ({"of_somebody": {"alone": 1}, "nobody_knows": 7}, ["nobody_knows"]),
]

# Changes that every healthy fine-tune may bring.
SILENT = [
    {"torch_dtype": "bfloat16", "transformers_version": "4.57.1", "use_cache": False},
    {"torch_dtype": None, "dtype": "bfloat16"},
    {"rope_theta": 10000, "rms_norm_eps": 0.000001},
    {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    {"rope_scaling": None, "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0},
    {"head_dim": 4, "pretraining_tp": 1, "initializer_range": 0.02},
    {"_name_or_path": "x", "_attn_implementation_autoset": True, "unsloth_version": "2025.3"},
    {"eos_token_id": [2], "bos_token_id": None},
    {"layer_types": ["full_attention"] * LAYERS},
    {"id2label": {"0": "A"}, "auto_map": {"AutoModel": "a.B"}, "gradient_checkpointing": True},
    {"vocab_size": 41, "architectures": ["FSDPLlamaForCausalLM"]},
]

# What a config says that its own tensors contradict, and what the error names.
REFUSED = [
    ({"num_attention_heads": 8, "head_dim": 4}, ["num_attention_heads is 8", "q_proj", "expected 32"]),
    ({"num_key_value_heads": 4}, ["num_key_value_heads is 4", "k_proj", "found 8 rows"]),
    ({"hidden_size": 32}, ["hidden_size is 32", "found 16 columns"]),
    ({"intermediate_size": 32}, ["intermediate_size is 32", "gate_proj"]),
    ({"num_hidden_layers": 3}, ["num_hidden_layers is 3", "found 4 layers"]),
]

# Keys that tell layers by their number, and what they are when the first three of four layers come
# before the last three; None: kept, with a warning.
STACKED = [
    ("layer_types", list("abcd"), list("abcbcd")),
    ("hybrid_override_pattern", "M-M*", "M-M-M*"),
    ("moe_layers", [1, 3], [1, 3, 5]),
    ("full_attn_idxs", [2], [2, 4]),
    ("linear_attn_config", {"kda_layers": [1, 2, 3], "full_attn_layers": [4]},
     {"kda_layers": [1, 2, 3, 4, 5], "full_attn_layers": [6]}),
    ("moe_layer_start_index", 2, None),
    ("moe_layer_end_index", 3, 5),
    ("moe_layer_interval", 2, None),
    ("attention_types", [[["global", "local"], 2]],
     [[["global", "local", "global", "local", "global", "local"], 1]]),
    ("attn_layer_offset", 1, None),
    ("num_dense_layers", 2, None),
    ("n_dense_layers", 2, None),
    ("global_attn_every_n_layers", 2, None),
    ("max_window_layers", 2, None),
    ("max_window_layers", 4, 6),
    ("num_kv_shared_layers", 1, None),
    ("dense_attention_every_n_layers", 2, None),
    ("cross_attention_layers", [1, 3], [1, 3, 5]),
    ("deepstack_visual_indexes", [1, 2, 3, 4], None),
    ("moe_layers_enum", "2,3", "2,4,5"),
    ("mlp_layer_types", ["dense", "sparse", "sparse", "sparse"],
     ["dense", "sparse", "sparse", "sparse", "sparse", "sparse"]),
    ("no_rope_layers", [1, 1, 1, 0], [1, 1, 1, 1, 1, 0]),
    ("block_types", ["r", "r", "a"], ["r", "r", "a", "r", "a", "r"]),
    ("intermediate_sizes_by_layer", [8, 6, 6, 8], [8, 6, 6, 6, 6, 8]),
    ("pruned_heads", {"1": [0]}, {"1": [0], "3": [0]}),
    ("scale_depth", 1.4, None),
    ("scale_attn_by_inverse_layer_idx", True, None),
]


def tensors(layers=LAYERS, seed=0):
    random = np.random.default_rng(seed)
    kinds = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (8, HIDDEN),
             "self_attn.v_proj": (8, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
             "mlp.gate_proj": (24, HIDDEN), "mlp.up_proj": (24, HIDDEN),
             "mlp.down_proj": (HIDDEN, 24), "input_layernorm": (HIDDEN,)}
    shapes = {"model.embed_tokens.weight": (ROWS, HIDDEN), "model.norm.weight": (HIDDEN,),
              "lm_head.weight": (ROWS, HIDDEN)}
    for layer in range(layers):
        for kind, shape in kinds.items():
            shapes["model.layers.%d.%s.weight" % (layer, kind)] = shape
    return {name: 0.1 * random.standard_normal(shape) for name, shape in shapes.items()}


BASE = tensors()
NEAR = {name: value + 0.01 for name, value in BASE.items()}


class ConfigsTest(harness.Case):
    def model(self, name, values=None, extra=None, **config):
        """A model whose config is CONFIG with these changes; None takes a key out."""
        merged = {k: v for k, v in {**CONFIG, **config}.items()
                  if v is not None or k not in CONFIG}
        values = dict(values or BASE, **(extra or {}))
        stio.save(self.path(name), {k: ("F32", v) for k, v in values.items()}, config=merged)

    def write(self, text):
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path("r.yaml")

    def recipe(self, *experts, base="base"):
        return self.write("merge_method: task_arithmetic\nbase_model: %s\nmodels:\n%s" % (
            base, "".join("  - {model: %s, parameters: {weight: 0.5}}\n" % e for e in experts)))

    def warnings(self, recipe):
        """Of plan; the report of a merge has the same."""
        plan = self.ok("plan", recipe, cwd=self.dir)
        told = [l[len("warning: "):] for l in plan.out.splitlines() if l.startswith("warning: ")]
        self.ok("merge", recipe, self.path("out"), "--overwrite", cwd=self.dir)
        # Beside what a look at the weights tells.
        self.assertEqual([w for w in harness.report(self.path("out"))["warnings"]
                          if "found no difference" not in w], told)
        return told

    def test_stop_tokens_are_told_with_the_tokenizer(self):
        self.model("base")
        self.model("expert", NEAR, eos_token_id=[2, 3])
        told = self.warnings(self.recipe("expert"))
        self.assertEqual(len(told), 1, told)
        self.assertIn("eos_token_id [2, 3]", told[0])

    def config(self):
        with open(self.path("out", "config.json"), encoding="utf-8") as f:
            return json.load(f)

    def card(self):
        with open(self.path("out", "README.md"), encoding="utf-8") as f:
            return f.read()

    def test_what_changes_a_meaning_is_warned_of(self):
        self.model("base")
        for change, keys in WARNED:
            with self.subTest(change=change):
                self.model("expert", NEAR, **change)
                told = self.warnings(self.recipe("expert"))
                self.assertEqual(len(told), len(keys), told)
                for line, key in zip(told, keys):
                    for text in ("key '%s' is " % key, "model 'expert' (", "expert/config.json",
                                 "model 'base' (", "base/config.json", "the output gets"):
                        self.assertIn(text, line)
                    self.assertIn("| %s | " % key, self.card())
                # The base's own goes into the output.
                self.assertEqual(self.config(), CONFIG)

    def test_what_changes_none_is_silent(self):
        self.model("base")
        for change in SILENT:
            with self.subTest(change=change):
                self.model("expert", NEAR, **change)
                told = [w for w in self.warnings(self.recipe("expert"))
                        if "architectures is" not in w]
                self.assertEqual(told, [])
                self.assertNotIn("## Configuration", self.card())
                # And the other way round.
                told = self.warnings(self.recipe("base", base="expert"))
                self.assertEqual([w for w in told if "architectures is" not in w], [])

    def test_models_that_say_the_same_share_a_line(self):
        self.model("base")
        for name, theta in (("a", 1e6), ("b", 1000000), ("c", 5e5)):
            self.model(name, NEAR, rope_theta=theta)
        told = self.warnings(self.recipe("a", "b", "c"))
        self.assertEqual(len(told), 2, told)
        self.assertIn("'a'", told[0])
        self.assertIn("'b'", told[0])
        self.assertIn("is 500000.0 in model 'c'", told[1])
        self.assertIn("| rope_theta | 10000.0 | 1000000.0 | a, b |", self.card())
        self.assertIn("| rope_theta | 10000.0 | 500000.0 | c |", self.card())

    def test_without_a_base_the_first_model_gives_the_config(self):
        self.model("a")
        self.model("b", NEAR, hidden_act="gelu")
        told = self.warnings(self.write("merge_method: linear\nmodels: [a, b]\n"
                                        "parameters: {weight: 1}\n"))
        self.assertEqual(len(told), 1, told)
        self.assertIn('"gelu" in model \'b\'', told[0])
        self.assertEqual(self.config()["hidden_act"], "silu")

    def test_what_the_own_tensors_contradict_is_refused(self):
        for change, texts in REFUSED:
            for wrong, right in (("expert", "base"), ("base", "expert")):
                with self.subTest(change=change, wrong=wrong):
                    self.model(right)
                    self.model(wrong, NEAR, **change)
                    self.assertOneError(harness.run("plan", self.recipe("expert"), cwd=self.dir), 2,
                                        wrong + "/config.json", *texts)

    def test_a_model_with_other_layers_is_refused_and_slices_are_named(self):
        self.model("base")
        self.model("deep", tensors(5), num_hidden_layers=5)
        self.model("flat", tensors(3), num_hidden_layers=3)
        for name, count in (("deep", 5), ("flat", 3)):
            self.assertOneError(harness.run("plan", self.recipe(name), cwd=self.dir), 2,
                                "model '%s'" % name, "found %d layers" % count, "expected 4",
                                "slices", "layer_range: [0, %d]" % min(count, 4))
        # As the error says.
        self.warnings(self.write(
            "merge_method: task_arithmetic\nbase_model: base\nslices:\n  - sources:\n"
            "      - {model: base, layer_range: [0, 4]}\n"
            "      - {model: deep, layer_range: [0, 4], parameters: {weight: 0.5}}\n"))

    def test_a_file_that_leaves_all_to_its_class_is_not_guessed_at(self):
        bare = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-6,
                "vocab_size": ROWS, "torch_dtype": "float32"}
        stio.save(self.path("base"), {k: ("F32", v) for k, v in BASE.items()}, config=bare)
        self.model("expert", NEAR, query_pre_attn_scalar=256, rope_theta=1e6)
        self.assertEqual(self.warnings(self.recipe("expert")), [])
        plan = self.ok("plan", self.path("r.yaml"), cwd=self.dir)
        self.assertIn("note: config.json: model 'base'", plan.out)
        self.assertIn("8 values of other models could not be compared", plan.out)

    # --- slices ------------------------------------------------------------------------

    def stack(self):
        return self.write("merge_method: passthrough\nslices:\n"
                          "  - sources: [{model: base, layer_range: [0, 3]}]\n"
                          "  - sources: [{model: expert, layer_range: [1, 4]}]\n")

    def test_keys_of_layers_follow_the_slices(self):
        for key, value, expected in STACKED:
            with self.subTest(key=key, value=value):
                self.model("base", **{key: value})
                self.model("expert", NEAR, **{key: value})
                told = self.warnings(self.stack())
                config = self.config()
                self.assertEqual(config["num_hidden_layers"], 6)
                if expected is None:
                    self.assertEqual(len(told), 1, told)
                    self.assertIn("config.json: key '%s' " % key, told[0])
                    self.assertEqual(config[key], value)
                else:
                    self.assertEqual(config[key], expected)
                    self.assertLessEqual(len(told), "by_layer" in key, told)

    def test_other_lists_of_that_length_are_kept(self):
        other = {"eos_token_id": [1, 2, 3, 4], "architectures": ["LlamaForCausalLM"] * 4,
                 "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 1, 1]},
                 "vision_config": {"deepstack_visual_indexes": [1, 2, 3, 4]}}
        self.model("base", **other)
        self.model("expert", NEAR, **other)
        self.assertEqual(self.warnings(self.stack()), [])
        for key, value in other.items():
            self.assertEqual(self.config()[key], value)

    def test_a_class_that_alternates_by_itself_is_warned_of(self):
        for odd in (True, False):
            for name in ("base", "expert"):
                self.model(name, model_type="gemma2", architectures=["Gemma2ForCausalLM"],
                           head_dim=4)
            text = self.stack()
            if odd:
                with open(text, encoding="utf-8") as f:
                    changed = f.read().replace("[1, 4]", "[2, 4]")
                text = self.write(changed)
            told = self.warnings(text)
            self.assertEqual([("gemma2" in line) for line in told], [True] * odd, told)

    def test_tensors_with_a_part_for_each_layer_are_refused(self):
        extra = {"model.embed_tokens_per_layer.weight": np.zeros((ROWS, 3 * LAYERS)),
                 "model.per_layer_model_projection.weight": np.zeros((3 * LAYERS, HIDDEN))}
        for name in ("base", "expert"):
            self.model(name, extra=extra, model_type="gemma3n_text", head_dim=4,
                       hidden_size_per_layer_input=3)
        self.assertOneError(harness.run("plan", self.stack(), cwd=self.dir), 2, "base/",
                            "embed_tokens_per_layer", "[40, 12]", "4 layers", "not supported")
        # Whole they merge.
        self.warnings(self.recipe("expert"))

    def test_a_block_that_layers_share_is_refused(self):
        extra = {"model.layers.1.shared_transf.input_layernorm.weight": np.zeros(HIDDEN)}
        for name in ("base", "expert"):
            self.model(name, extra=extra)
        self.assertOneError(harness.run("plan", self.stack(), cwd=self.dir), 2, "base/",
                            "shared_transf", "not supported")
        self.warnings(self.recipe("expert"))

    def test_kinds_of_layers_are_one_whoever_spells_them(self):
        self.model("base", model_type="cohere2", architectures=["Cohere2ForCausalLM"], head_dim=4,
                   layer_types=["sliding_attention"] * 3 + ["full_attention"])
        older = {"model_type": "cohere2", "architectures": ["Cohere2ForCausalLM"], "head_dim": 4}
        self.model("expert", NEAR, sliding_window_pattern=4, **older)
        self.assertEqual(self.warnings(self.recipe("expert")), [])
        self.model("expert", NEAR, sliding_window_pattern=2, **older)
        self.assertIn("(as 'sliding_window_pattern')", self.warnings(self.recipe("expert"))[0])

    def test_a_tensor_with_a_row_for_each_layer_is_warned_of(self):
        for name in ("base", "expert"):
            self.model(name, extra={"model.scalings": np.ones((LAYERS, 7))})
        told = self.warnings(self.stack())
        self.assertEqual(len(told), 1, told)
        self.assertIn("'model.scalings'", told[0])

    # --- what loading computes ---------------------------------------------------------

    def test_frequencies_that_experts_do_not_store_are_the_bases_bit_for_bit(self):
        stored = {"model.layers.%d.self_attn.rotary_emb.inv_freq" % i: np.array([1.0, 0.1])
                  for i in range(LAYERS)}
        self.model("base", extra=stored)
        self.model("expert", NEAR)
        told = self.warnings(self.recipe("expert"))
        self.assertEqual(len(told), 1, told)
        self.assertIn("rotary_emb.inv_freq", told[0])
        merged = stio.Checkpoint(self.path("out"))
        for name, value in stored.items():
            self.assertEqual(bytes(merged.raw(name)), value.astype("<f4").tobytes(), name)


if __name__ == "__main__":
    harness.main()

"""Wrong checkpoints: what headers tell, and what only running can find (bad_input_test.py)."""

import json
import os
import struct

import numpy as np

import stio
from bad_input_bench import Q, case

# --- models that are not there, or not what they should be ------------------------------


@case(2, "nothing-here")
def model_folder_missing(b):
    b.recipe["models"][0]["model"] = b.path("nothing-here")


@case(2, "expert_1")
def model_folder_empty(b):
    b.then(lambda: [os.remove(b.path("expert_1", n)) for n in os.listdir(b.path("expert_1"))])


@case(2, "expert_1", "safetensors")
def pickle_only(b):
    b.then(lambda: os.rename(b.weights(), b.path("expert_1", "pytorch_model.bin")))


@case(2, "gs://bucket/model", ("scheme", "file"))
def model_of_unknown_scheme(b):
    b.recipe["models"][0]["model"] = "gs://bucket/model"


@case(2, "expert_1", Q, "1 of 2 such tensors")
def one_tensor_of_its_kind_missing(b):
    for model in [b.base] + b.experts:
        model[Q.replace(".0.", ".1.")] = model[Q]
    del b.experts[1][Q]


@case(2, "expert_1", Q, "qkv_proj", "packed")
def tensors_packed_into_one(b):
    del b.experts[1][Q]
    b.experts[1]["model.layers.0.self_attn.qkv_proj.weight"] = ("F32", np.ones((18, 6)))


@case(2, "expert_0", Q, "[6", "[6, 7]")
def other_shape(b):
    b.experts[0][Q] = ("F32", np.zeros((6, 7)))


@case(2, "expert_1", "model.language_model.")
def prefix_renamed(b):
    b.experts[1] = {n.replace("model.", "model.language_model.", 1): v
                    for n, v in b.experts[1].items()}


@case(2, "expert_0", "model.position_ids")
def float_where_the_base_has_integers(b):
    b.experts[0]["model.position_ids"] = ("F32", np.arange(5.0))


@case(2, "expert_0", ("tie_word_embeddings", "tied"), "lm_head")
def base_tied_expert_not(b):
    b.configs[0]["tie_word_embeddings"] = True
    del b.base["lm_head.weight"]


@case(2, "expert_0", ("quantization_config", "quantised", "quantized"), "gptq")
def quantised(b):
    b.configs[1]["quantization_config"] = {"quant_method": "gptq", "bits": 4}


@case(2, "expert_0", "config.json")
def config_is_no_json(b):
    def spoil():
        with open(b.path("expert_0", "config.json"), "w", encoding="utf-8") as f:
            f.write("{")
    b.then(spoil)


@case(2, "expert_0/adapter_config.json", "MODEL+FOLDER", "merge_and_unload")
def adapter_beside_the_weights(b):
    def put():
        with open(b.path("expert_0", "adapter_config.json"), "w", encoding="utf-8") as f:
            json.dump({"peft_type": "LORA", "base_model_name_or_path": "base"}, f)
    b.then(put)


@case(2, "base", "lora_A", "merge_and_unload")
def adapter_among_the_tensors_of_all(b):
    for tensors in [b.base] + b.experts:
        for part in ("A", "B"):
            tensors[Q.replace("weight", f"lora_{part}.weight")] = ("F32", np.zeros((6, 6)))


@case(2, "expert_1", "base_layer", "merge_and_unload")
def adapter_wraps_a_layer(b):
    b.experts[1] = {"base_model.model." + n.replace("q_proj.", "q_proj.base_layer."): v
                    for n, v in b.experts[1].items()}


@case(2, "weight_g", "remove_weight_norm")
def weight_norm_in_all(b):
    for tensors in [b.base] + b.experts:
        tensors["conv.weight_g"] = ("F32", np.ones((6, 1)))
        tensors["conv.weight_v"] = ("F32", np.ones((6, 6)))


@case(2, "expert_1/config.json", "transformers_weights", "../base/model.safetensors")
def config_names_weights_outside_its_folder(b):
    b.configs[2]["transformers_weights"] = "../base/model.safetensors"


def spoil_header(b, change, model="expert_1"):
    """Replaces the header by what `change` makes of its dict, or of its bytes."""

    def spoil():
        path = b.weights(model)
        with open(path, "rb") as f:
            raw = f.read()
        (length,) = struct.unpack("<Q", raw[:8])
        text = change(raw[8:8 + length])
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + raw[8 + length:])

    b.then(spoil)


def spoil_entry(b, name, **fields):
    def change(text):
        head = json.loads(text)
        head[name].update(fields)
        return json.dumps(head).encode()

    spoil_header(b, change)


@case(2, "expert_1/model.safetensors", "4")
def file_of_four_bytes(b):
    b.then(lambda: open(b.weights(), "wb").write(b"\1\2\3\4"))


@case(2, "expert_1/model.safetensors", "18446744073709551615")
def header_length_beyond_the_file(b):
    def spoil():
        with open(b.weights(), "r+b") as f:
            f.write(b"\xff" * 8)
    b.then(spoil)


@case(2, "expert_1/model.safetensors")
def header_is_no_json(b):
    spoil_header(b, lambda text: b"{" + text)


@case(2, "expert_1/model.safetensors")
def file_cut_short(b):
    b.then(lambda: os.truncate(b.weights(), os.path.getsize(b.weights()) - 8))


@case(2, "expert_1/model.safetensors")
def bytes_behind_the_last_tensor(b):
    def spoil():
        with open(b.weights(), "ab") as f:
            f.write(b"x")
    b.then(spoil)


@case(2, "expert_1/model.safetensors", "F17", Q)
def unknown_stored_dtype(b):
    spoil_entry(b, Q, dtype="F17")


@case(2, "expert_1/model.safetensors", Q)
def size_does_not_match_shape(b):
    spoil_entry(b, Q, shape=[6, 5])


@case(2, "expert_1/model.safetensors", Q)
def negative_shape(b):
    spoil_entry(b, Q, shape=[-6, -6])


@case(2, "expert_1/model.safetensors", Q)
def shape_overflows(b):
    spoil_entry(b, Q, shape=[1 << 62, 1 << 62])


@case(2, "expert_1/model.safetensors", "model.norm.weight")
def tensor_twice_in_a_header(b):
    spoil_header(b, lambda text: text.rstrip()[:-1] +
                 b',"model.norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}')


def shard(b, change):
    """Cuts expert_1 in two files and lets `change` edit the index."""

    def action():
        folder = b.path("expert_1")
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        stio.save(folder, b.experts[1], 2, b.configs[2])
        path = os.path.join(folder, stio.INDEX)
        with open(path, encoding="utf-8") as f:
            index = json.load(f)
        change(index["weight_map"])
        with open(path, "w", encoding="utf-8") as f:
            json.dump(index, f)

    b.then(action)


@case(2, "expert_1", "model-00009-of-00002.safetensors")
def index_names_a_file_that_is_not_there(b):
    shard(b, lambda m: m.update({Q: "model-00009-of-00002.safetensors"}))


@case(2, "expert_1", "lm_head.weight")
def index_names_the_wrong_file(b):
    def swap(weight_map):
        files = sorted(set(weight_map.values()))
        weight_map["lm_head.weight"] = next(
            f for f in files if f != weight_map["lm_head.weight"])
    shard(b, swap)


@case(2, "expert_1", "../base/model.safetensors")
def index_leaves_its_folder(b):
    shard(b, lambda m: m.update({Q: "../base/model.safetensors"}))


@case(2, "expert_1", "no.such.tensor")
def index_names_a_tensor_that_no_file_has(b):
    shard(b, lambda m: m.update({"no.such.tensor": sorted(set(m.values()))[0]}))


# --- what only running can find -------------------------------------------------------


def poke(tensors, name, at, value):
    dtype, values = tensors[name]
    values = values.copy()
    values[at] = value
    tensors[name] = (dtype, values)


@case(3, "expert_1", Q, ("nan", "NaN"), ("[2, 3]", "15"))
def nan_in_a_spectral_tensor(b):
    poke(b.experts[1], Q, (2, 3), np.nan)


@case(3, "expert_0", "model.norm.weight", ("nan", "NaN"), "4")
def nan_in_a_mean_tensor(b):
    poke(b.experts[0], "model.norm.weight", 4, np.nan)


@case(3, "base", Q, ("inf", "Inf"))
def infinity_in_the_base(b):
    poke(b.base, Q, (0, 0), np.inf)


@case(3, "expert_0", "lm_head.weight", ("inf", "Inf"))
def infinity_under_linear(b):
    b.recipe["merge_method"] = "linear"
    del b.recipe["base_model"]
    for model in b.recipe["models"]:
        model["parameters"] = {"weight": 1}
    poke(b.experts[0], "lm_head.weight", (1, 1), -np.inf)


@case(2, "model.position_ids", "expert_1", "element 2 differs")
def integers_that_differ(b):
    poke(b.experts[1], "model.position_ids", 2, 7)


@case(3, "model.norm.weight", "3", ("F16", "70000"), ("too large", "overflow"))
def overflow_of_the_output_dtype(b):
    for tensors in [b.base] + b.experts:
        poke(tensors, "model.norm.weight", 3, 70000.0)
    b.recipe["out_dtype"] = "float16"

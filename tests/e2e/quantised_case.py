"""What tests of quantised models share: models of a few matrices, plain and as FP8, and merges of them."""

import numpy as np

import harness
import quantised_models as q
import stio

METHODS = {
    "linear": {"weight": 0.5, "normalize": False},
    "task_arithmetic": {"weight": 0.4},
    "ties": {"weight": 0.5, "density": 0.4},
    "resmerge": {"rank_topk": 2},
}
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
       "weight_block_size": [128, 128]}
WEIGHTS = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight",
           "model.layers.1.mlp.up_proj.weight")
SHAPES = ((129, 130), (7, 33), (260, 130))


class QuantisedCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(5)

    def save(self, name, tensors, shards=1, **config):
        stio.save(self.path(name), tensors, shards,
                  dict({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                        "torch_dtype": "bfloat16"}, **config))
        return self.path(name)

    def body(self, near=None):
        """float64 values of a model, all of bfloat16."""
        shapes = dict(zip(WEIGHTS, SHAPES), **{"model.embed_tokens.weight": (40, 130),
                                               "model.norm.weight": (130,)})
        return {name: q.bf16(self.random.standard_normal(shape) * (0.02 if near else 1) +
                             (near[name] if near else 0)) for name, shape in shapes.items()}

    def bodies_of_leaves(self):
        """A base and two near it, with a matrix of several leaves: of more than 2^20 elements."""
        base = self.body()
        others = [self.body(base) for _ in range(2)]
        base[WEIGHTS[2]] = q.bf16(self.random.standard_normal((1030, 1100)))
        for values in others:
            near = self.random.standard_normal((1030, 1100)) * 0.02
            values[WEIGHTS[2]] = q.bf16(base[WEIGHTS[2]] + near)
        return base, others

    def plain(self, name, values):
        return self.save(name, {n: ("BF16", x) for n, x in values.items()})

    def fp8(self, name, values, how="_scale_inv", shards=1, config=None, dtype="F8_E4M3",
            blocks=(128, 128), scale_type="F32", extra=None, flat=False):
        """Writes the weights as FP8; returns the folder and what they are decoded to."""
        tensors, scales, decoded = {}, {}, dict(values)
        for n, x in values.items():
            if n not in WEIGHTS:
                tensors[n] = ("BF16", x)
                continue
            codes, stored, exact = q.fp8(x, dtype, blocks, scale_type)
            tensors[n] = (dtype, codes)
            stored = stored.reshape(()) if flat else stored
            scales[n.replace(".weight", how) if how == ".scale" else n + how] = \
                q.stored(scale_type, stored)
            decoded[n] = q.bf16(exact)
        tensors.update(scales)
        tensors.update(extra or {})
        keys = {} if config == {} else {"quantization_config": config or FP8}
        return self.save(name, tensors, shards, **keys), decoded

    def merged(self, out, method, base, models, parameters=None, *args):
        recipe = harness.recipe(self.path("r.yaml"), method, base, models,
                                METHODS[method] if parameters is None else parameters)
        folder = self.merge(recipe, self.path(out), "--overwrite", *args)
        self.ok("verify", folder)
        return folder

    def same(self, method, quantised, plain):
        """Merges of `quantised` and of `plain`, base first, have the same weights."""
        bases = (None, None) if method == "linear" else (quantised[0], plain[0])
        rest = 0 if method == "linear" else 1
        got = self.merged("got", method, bases[0], quantised[rest:])
        wanted = self.merged("wanted", method, bases[1], plain[rest:])
        self.assertEqual(harness.hash_output(got), harness.hash_output(wanted), method)
        return got

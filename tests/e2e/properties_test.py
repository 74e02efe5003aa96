"""What `merganser methods` says of every method holds, and what it denies does not; a weight of
zero drops a model; no method swallows a NaN."""

import json
import os
import shutil

import numpy as np

import harness
import methods_oracle
import stio

# An unchanged model, or the same one several times, comes back but for float64's own rounding.
CLOSE = 1e-9
LEAF = 1 << 20


class PropertiesCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.models = harness.data("adversarial")

    def methods(self):
        found = json.loads(self.ok("methods", "--json").out)["methods"]
        # The list of methods with an evaluation is complete, but for resmerge (oracle.py).
        self.assertEqual({m["name"] for m in found},
                         set(methods_oracle.METHODS) | {"resmerge"})
        return found

    def recipe(self, method, models, base=None, own=None, **top):
        """Default parameters and equal weights; a base unless the method has none."""
        keys = {p["key"]: p for p in method["parameters"]}
        parameters = dict(methods_oracle.REQUIRED.get(method["name"], {}))
        if own is None and "weight" in keys:
            own = [{"weight": 1.0}] * len(models)
        base = None if method["base"] == "none" else base or self.models[0]
        name = "r%d.yaml" % len(os.listdir(self.dir))
        return harness.recipe(self.path(name), method["name"], base, models, parameters, own,
                              **top)

    def values(self, method, models, **top):
        """The float tensors of a merge into float64."""
        output = self.path("out")
        self.merge(self.recipe(method, models, out_dtype="float64", **top), output, "--overwrite")
        return methods_oracle.load(output)[0]

    def count(self, method):
        return min(method["max_models"] or 3, 3)

    def copies(self, model, count):
        """Folders with the same content: one listed twice might be taken for a slip."""
        folders = [self.path("copy-%d" % i) for i in range(count)]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            harness.link_folder(model, folder)
        return folders

    def held(self, method, name, wrong):
        """`wrong`: tensors for which the property does not hold."""
        if method["properties"][name]:
            self.assertEqual(wrong, [])
        else:
            self.assertNotEqual(wrong, [], "%s does hold, as far as this test goes" % name)

    def differing(self, got, wanted):
        self.assertEqual(sorted(got), sorted(wanted))
        base = methods_oracle.load(self.models[0])[0]
        wrong = []
        for name, x in wanted.items():
            size = np.linalg.norm(x - base[name])
            allowed = CLOSE * size + 8 * 2.0**-53 * np.linalg.norm(x)
            if not np.linalg.norm(got[name] - x) <= allowed:
                wrong.append(name)
        return wrong


class PropertiesTest(PropertiesCase):
    def test_identical_experts(self):
        for method in self.methods():
            with self.subTest(method=method["name"]):
                count = self.count(method)
                got = self.values(method, self.copies(self.models[1], count))
                wanted = methods_oracle.load(self.models[1])[0]
                self.held(method, "identical_experts", self.differing(got, wanted))

    def test_experts_equal_to_the_base(self):
        for method in self.methods():
            with self.subTest(method=method["name"]):
                output = self.path("out")
                self.merge(self.recipe(method, self.copies(self.models[0], self.count(method))),
                           output, "--overwrite")
                got, base = stio.Checkpoint(output), stio.Checkpoint(self.models[0])
                self.assertEqual(sorted(got.tensors), sorted(base.tensors))
                wrong = []
                for name, entry in base.tensors.items():
                    self.assertEqual(got.tensors[name].dtype, entry.dtype)
                    a, b = got.values(name), base.values(name)
                    # (x + x + x) / 3 is x again unless float64 rounds the sum.
                    allowed = 0 if entry.dtype != "F64" else 2 * stio.ulp(b, "F64")
                    if not np.all(np.abs(a - b) <= allowed):
                        wrong.append(name)
                self.held(method, "zero_deltas", wrong)

    def test_order_of_models(self):
        for method in self.methods():
            count = self.count(method)
            with self.subTest(method=method["name"]):
                models = self.models[1:1 + count]
                wanted = self.values(method, models)
                wrong = set()
                for other in ([2, 0, 1], [1, 0, 2]):
                    order = [i for i in other if i < count]
                    wrong.update(self.differing(
                        self.values(method, [models[i] for i in order]), wanted))
                self.held(method, "order_free", sorted(wrong))

    def test_large_tensors_are_cut(self):
        big = harness.data("adversarial-big")
        for method in self.methods():
            with self.subTest(method=method["name"]):
                models = big[1:1 + self.count(method)]
                file = self.recipe(method, models, base=big[0], split_size="1KB",
                                   unit_size="300KB")
                plan = json.loads(self.ok("plan", file, "--json").out)
                whole = [t["name"] for t in plan["tensors"]
                         if len(t["shape"]) >= 2 and t["mode"] != "spectral"
                         and np.prod(t["shape"]) > LEAF and t["leaves"] == 1]
                self.held(method, "split", whole)
                # What is in memory at once is a piece, not the tensor.
                self.assertGreater(len(plan["units"]), 1)


class WeightZeroTest(PropertiesCase):
    def weighted(self):
        found = [m for m in self.methods() if "weight" in [p["key"] for p in m["parameters"]]]
        self.assertGreater(len(found), 10)
        return found

    def test_one_end_of_the_way(self):
        for method in self.weighted():
            if method["min_models"] != method["max_models"]:
                continue
            with self.subTest(method=method["name"]):
                got = self.values(method, self.models[1:3],
                                  own=[{"weight": 0.7}, {"weight": 0}])
                self.assertEqual(
                    self.differing(got, methods_oracle.load(self.models[1])[0]), [])

    def test_it_drops_the_model(self):
        for method in self.weighted():
            if method["min_models"] == method["max_models"]:
                continue
            with self.subTest(method=method["name"]):
                a, dropped, b = self.models[1:4]
                with_it = self.recipe(method, [a, dropped, b],
                                      own=[{"weight": 0.7}, {"weight": 0}, {"weight": 0.4}])
                without = self.recipe(method, [a, b], own=[{"weight": 0.7}, {"weight": 0.4}])
                result = self.ok("merge", with_it, self.path("with"), "--overwrite")
                self.assertIn("%s has weight 0" % dropped, result.err)
                warnings = harness.report(self.path("with"))["warnings"]
                self.assertTrue(any(dropped in w and "weight 0" in w for w in warnings), warnings)
                self.merge(without, self.path("without"), "--overwrite")
                self.assertEqual(harness.hash_output(self.path("with")),
                                 harness.hash_output(self.path("without")))


class NonFiniteTest(PropertiesCase):
    NAME, AT, FLAT = "model.layers.1.mlp.overlapping.weight", (5, 7), 5 * 47 + 7

    def poke(self, model, value):
        """A copy of a model with one element replaced."""
        folder = self.copies(model, 1)[0]
        checkpoint = stio.Checkpoint(folder)
        entry = checkpoint.tensors[self.NAME]
        values = np.array(checkpoint.raw(self.NAME))
        self.assertEqual(entry.dtype, "F32")
        values[self.AT] = value
        with open(entry.path, "r+b") as f:
            f.seek(entry.offset)
            f.write(values.tobytes())
        return folder

    def refused(self, method, base, models, what):
        output = self.path("refused")
        result = harness.run("merge", self.recipe(method, models, base=base), output)
        self.assertOneError(result, 3, self.NAME, what, ("[5, 7]", str(self.FLAT)))
        self.assertEqual(harness.weight_files(output), [])
        shutil.rmtree(output, ignore_errors=True)

    def test_in_the_last_model(self):
        for method in self.methods():
            with self.subTest(method=method["name"]):
                models = self.models[1:1 + self.count(method)]
                models[-1] = self.poke(models[-1], np.nan)
                self.refused(method, None, models, ("nan", "NaN"))

    def test_in_the_base(self):
        for method in self.methods():
            if method["base"] == "none":
                continue
            with self.subTest(method=method["name"]):
                self.refused(method, self.poke(self.models[0], -np.inf),
                             self.models[1:1 + self.count(method)], ("inf", "Inf"))


# method, parameters, one dict a model, what the message names.
REFUSED = [
    ("della", {}, [{"density": 0.1, "epsilon": 0.15}, {}], ("density", "epsilon", "0.1", "0.15")),
    ("della_linear", {}, [{}, {"density": 0.9, "epsilon": 0.2}], ("density", "epsilon", "0.9")),
    ("ties", {}, [{"density": 0}], ("density",)),
    ("breadcrumbs", {}, [{"gamma": -0.1}], ("gamma", "-0.1")),
    ("dare_ties", {"seed": 1.5}, [{}], ("seed", "1.5")),
    ("sce", {"select_topk": -1}, [{}], ("select_topk", "-1")),
    ("slerp", {}, [{}], ("parameters.t", "missing")),
    ("slerp", {"t": 0.5}, [{}, {}], ("exactly 1", "2 models")),
    ("nearswap", {"t": 0.5}, [{}, {}], ("exactly 1", "2 models")),
    ("nuslerp", {}, [{"weight": 1}], ("exactly 2", "1 model")),
    ("nuslerp", {}, [{}, {}], ("weight", "missing")),
    ("multislerp", {}, [{"weight": 1}, {"weight": -1}], ("weights", "sum to 0")),
    ("linear", {}, [{"weight": 1}, {"weight": -1}], ("weights", "sum to 0")),
    ("karcher", {"tol": -1}, [{}, {}], ("tol", "-1")),
    ("model_stock", {}, [{}], ("at least 2", "1 model")),
    ("passthrough", {}, [{}, {}], ("exactly 1", "2 models")),
    ("scf_rkl", {"combine": "sequential", "scope": "model"}, [{}], ("sequential", "scope")),
    ("scf_rkl", {"threshold": "otsu"}, [{}], ("threshold", "otsu", "quantile")),
    ("scf_rkl", {"rows": "columns"}, [{}], ("rows", "columns", "outputs")),
    ("arcee_fusion", {"rows": "columns"}, [{}], ("rows", "columns", "stored")),
]


class RefusalsTest(PropertiesCase):
    def test_parameters_and_numbers_of_models(self):
        for method, parameters, own, texts in REFUSED:
            with self.subTest(method=method, parameters=parameters, own=own):
                none = methods_oracle.METHODS[method].base == "none"
                file = harness.recipe(
                    self.path("r.yaml"), method, None if none else self.models[0],
                    self.models[1:1 + len(own)], parameters, own)
                self.assertOneError(harness.run("merge", file, self.path("out")), 2, *texts)
                self.assertNoOutput(self.path("out"))


if __name__ == "__main__":
    harness.main()

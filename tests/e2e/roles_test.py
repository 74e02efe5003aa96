"""What tensors are, whatever they are called: models of other architectures than Llama's under
resmerge, with the authors' list of names beside it; experts whose task vectors are of low rank; and
rows of matrices that are stored [in, out]."""

import json
import os

import harness
import methods_oracle
import numpy as np
import oracle
import stio

HIDDEN, VOCABULARY = 24, 56


def mamba(at):
    """A layer of a state-space model."""
    return {at + "mixer.A_log": (48, 16), at + "mixer.D": (48,), at + "mixer.dt_bias": (48,),
            at + "mixer.conv1d.weight": (48, 1, 4), at + "mixer.in_proj.weight": (96, HIDDEN),
            at + "mixer.x_proj.weight": (19, 48), at + "mixer.out_proj.weight": (HIDDEN, 48),
            at + "norm.weight": (HIDDEN,)}


def granite(at):
    """Fused experts [experts, out, in] under a name of their own."""
    return {at + "block_sparse_moe.router.layer.weight": (4, HIDDEN),
            at + "block_sparse_moe.input_linear.weight": (4, 40, HIDDEN),
            at + "block_sparse_moe.output_linear.weight": (4, HIDDEN, 20)}


def gpt2(at):
    """Conv1D: [in, out]."""
    shapes = {"attn.c_attn": (HIDDEN, 3 * HIDDEN), "attn.c_proj": (HIDDEN, HIDDEN),
              "mlp.c_fc": (HIDDEN, 4 * HIDDEN), "mlp.c_proj": (4 * HIDDEN, HIDDEN)}
    out = {at + "ln_1.weight": (HIDDEN,)}
    for name, shape in shapes.items():
        out[at + name + ".weight"] = shape
        out[at + name + ".bias"] = shape[-1:]
    return out


def llama4(at):
    """Fused experts [experts, in, out]."""
    return {at + "feed_forward.router.weight": (4, HIDDEN),
            at + "feed_forward.experts.gate_up_proj": (4, HIDDEN, 40),
            at + "feed_forward.experts.down_proj": (4, 20, HIDDEN)}


class RolesCase(harness.Case):
    def write(self, shapes, config=None, experts=2, turned=()):
        """Base and experts of these shapes; with `turned` a second set, in which the matrices of
        these names are stored the other way."""
        rng = np.random.default_rng(5)
        base = {n: rng.standard_normal(s) for n, s in shapes.items()}
        models = [base]
        for _ in range(experts):
            models.append({n: w + 0.1 * rng.standard_normal(w.shape) *
                           (rng.random(w.shape) < 0.8) for n, w in base.items()})
        for i, model in enumerate(models):
            self.save("m%d" % i, model, config)
            if turned:
                self.save("t%d" % i, {n: np.swapaxes(w, -1, -2).copy() if n in turned else w
                                      for n, w in model.items()}, config)
        return models

    def save(self, name, model, config=None):
        stio.save(self.path(name), {n: ("F32", w) for n, w in model.items()}, config=config or {})

    def recipe(self, method, parameters=None, first="m", experts=2, name="r.yaml", **top):
        models = [self.path("%s%d" % (first, i)) for i in range(experts + 1)]
        return harness.recipe(self.path(name), method, models[0], models[1:], parameters, **top)

    def merged(self, method, parameters=None, output="out", **kw):
        return self.merge(self.recipe(method, parameters, **kw), self.path(output), "--overwrite")

    def plan(self, *args, **kw):
        plan = json.loads(self.ok("plan", self.recipe(*args, **kw), "--json").out)
        return plan, {t["name"]: (t["mode"], t["family"]) for t in plan["tensors"]}


class ResMergeRolesTest(RolesCase):
    def model(self):
        shapes = {"backbone.embeddings.weight": (VOCABULARY, HIDDEN), "head": (VOCABULARY, HIDDEN),
                  "words": (HIDDEN, VOCABULARY), "pos_embed": (30, HIDDEN)}
        for layer in range(2):
            shapes.update(mamba("backbone.layers.%d." % layer))
        shapes.update(granite("backbone.layers.2."))
        return shapes

    def test_modes_and_families(self):
        self.write(self.model(), {"vocab_size": VOCABULARY})
        plan, roles = self.plan("resmerge")
        self.assertEqual(
            {n: r for n, r in roles.items() if ".1." not in n and "norm" not in n}, {
                "backbone.embeddings.weight": ("mean", "embedding"),
                "head": ("mean", "embedding"),
                "words": ("mean", "embedding"),  # by the vocabulary's size alone
                "pos_embed": ("mean", "embedding"),
                "backbone.layers.0.mixer.A_log": ("mean", "other"),
                "backbone.layers.0.mixer.D": ("mean", "other"),
                "backbone.layers.0.mixer.dt_bias": ("mean", "other"),
                "backbone.layers.0.mixer.conv1d.weight": ("mean", "attention"),
                "backbone.layers.0.mixer.in_proj.weight": ("spectral", "attention"),
                "backbone.layers.0.mixer.x_proj.weight": ("spectral", "attention"),
                "backbone.layers.0.mixer.out_proj.weight": ("spectral", "attention"),
                "backbone.layers.2.block_sparse_moe.router.layer.weight": ("spectral", "ffn"),
                "backbone.layers.2.block_sparse_moe.input_linear.weight": ("spectral", "ffn"),
                "backbone.layers.2.block_sparse_moe.output_linear.weight": ("spectral", "ffn"),
            })
        # What many tensors have in common is said once, with their names' pattern.
        folded = [w for w in plan["warnings"] if "3-D" in w]
        self.assertEqual(len(folded), 1, plan["warnings"])
        self.assertIn("2 tensors (backbone.layers.*.mixer.conv1d.weight)", folded[0])
        notes = "\n".join(plan["notes"])
        self.assertIn("6 tensors (backbone.embeddings.weight, head, words, ...) are averaged", notes)
        self.assertLessEqual(len(plan["notes"]), 4, notes)

    def test_the_releases_classes_on_demand(self):
        self.write(self.model(), {"vocab_size": VOCABULARY})
        plan, roles = self.plan("resmerge", {"roles": "release"})
        self.assertEqual([n for n in plan["notes"] if "roles" in n], [])
        shapes = self.model()
        for name, (mode, family) in roles.items():
            self.assertEqual((mode, family),
                             (oracle.mode(name, shapes[name], 1), oracle.family(name)), name)

    def test_llama_is_the_same_either_way(self):
        """Bytes too; and nothing is said of it."""
        at = os.path.join(os.environ["MERGANSER_SOURCE_DIR"], "tests", "data", "experts")
        models = [os.path.join(at, n) for n in ("base", "expert_add", "expert_sort")]
        outputs = []
        for roles in ("structure", "release"):
            file = harness.recipe(self.path(roles + ".yaml"), "resmerge", models[0], models[1:],
                                  {"roles": roles})
            outputs.append(harness.hash_output(self.merge(file, self.path(roles))))
            self.assertEqual(harness.report(self.path(roles))["notes"], [])
        self.assertEqual(*outputs)

    def test_report_and_card_name_departures(self):
        self.write(self.model())
        out = self.merged("resmerge")
        with open(os.path.join(out, "README.md"), encoding="utf-8") as f:
            card = f.read()
        notes = [n for n in harness.report(out)["notes"] if n.startswith("resmerge: ")]
        self.assertTrue(notes)
        self.assertEqual(card.count("\n- "), 3 + 2 + len(notes), card)  # models, tags, and these
        self.assertIn("roles: release", card)

    def test_what_they_come_to(self):
        """Values, against the formulas with the classes that the names stand for."""
        shapes = self.model()
        models = self.write(shapes, {"vocab_size": VOCABULARY})
        _, roles = self.plan("resmerge")
        for scope in ("tensor", "family"):
            out = self.merged("resmerge", {"scope": scope}, out_dtype="float64")
            checkpoints = [stio.Checkpoint(self.path("m%d" % i)) for i in range(len(models))]
            wanted = oracle.resmerge(checkpoints[0], checkpoints[1:], {"scope": scope},
                                     classes={n: r[::-1] for n, r in roles.items()})
            merged = stio.Checkpoint(out)
            for tensor in wanted:
                entry = merged.tensors[tensor.name]
                oracle.check(tensor, merged.raw(tensor.name), entry.dtype)


class LowRankTest(RolesCase):
    NAMES = ["model.layers.%d.self_attn.q_proj.weight" % i for i in range(4)]

    def experts(self, ranks, dtype="F32", scale=0.05):
        """The base and an expert a rank, that changes two matrices; None: of full rank, all."""
        rng = np.random.default_rng(3)
        base = {n: 0.1 * rng.standard_normal((32, 24)) for n in self.NAMES}
        for i, rank in enumerate([0] + list(ranks)):
            model = dict(base)
            for name in self.NAMES[:2] if rank is not None else self.NAMES:
                k = 24 if rank is None else rank
                model[name] = base[name] + scale * (
                    rng.standard_normal((32, k)) @ rng.standard_normal((k, 24)))
            stio.save(self.path("m%d" % i), {n: (dtype, w) for n, w in model.items()}, config={})

    def warnings(self, experts, parameters=None):
        found = {}
        for where in ("plan", "report", "card"):
            if where == "plan":
                said = self.plan("resmerge", parameters, experts=experts)[0]["warnings"]
            elif where == "report":
                out = self.merged("resmerge", parameters, experts=experts)
                said = harness.report(out)["warnings"]
            else:
                with open(self.path("out", "README.md"), encoding="utf-8") as f:
                    said = [line for line in f.read().splitlines() if "Warning" in line]
            found[where] = [w for w in said if "gives back the base" in w]
        return found

    def test_merged_adapters_are_said(self):
        for dtype in ("F32", "BF16"):
            self.experts([1, 1], dtype)
            found = self.warnings(2)
            for where, said in found.items():
                self.assertEqual(len(said), 1, (dtype, where, said))
                self.assertIn("task_arithmetic", said[0])
            self.assertIn("m1, 2 of 2 changed matrices", found["report"][0])
            self.assertIn("m2, 2 of 2 changed matrices", found["report"][0])
            self.assertNotIn("smaller", found["report"][0])
            # The card tells no local paths.
            self.assertNotIn(self.dir, found["card"][0])
            merged, base = (stio.Checkpoint(self.path(n)) for n in ("out", "m0"))
            for name in self.NAMES:
                self.assertLess(np.linalg.norm(merged.values(name) - base.values(name)), 0.1)

    def test_a_smaller_head_is_offered_where_there_is_one(self):
        self.experts([3, 2])
        for said in self.warnings(2, {"rank_topk": 4}).values():
            self.assertIn("smaller rank_topk", said[0])
        for said in self.warnings(2, {"rank_topk": 1}).values():
            self.assertEqual(said, [])

    def test_one_among_others_is_named_alone(self):
        self.experts([None, 1, None])
        for said in self.warnings(3).values():
            self.assertEqual(len(said), 1)
            self.assertIn("m2, ", said[0])
            self.assertNotIn("m1, ", said[0])

    def test_healthy_experts_are_not_suspected(self):
        self.experts([None, None])
        self.assertEqual(self.warnings(2), {"plan": [], "report": [], "card": []})
        at = os.path.join(os.environ["MERGANSER_SOURCE_DIR"], "tests", "data", "recipes")
        out = self.merge(os.path.join(at, "resmerge.yaml"), self.path("sample"))
        self.assertEqual(harness.report(out)["warnings"], [])


class RowsTest(RolesCase):
    """A merge of matrices stored [in, out] is that of their transposes, transposed."""

    def setUp(self):
        super().setUp()
        self.shapes = {"wte.weight": (VOCABULARY, HIDDEN), "ln_f.weight": (HIDDEN,)}
        for layer in range(2):
            self.shapes.update(gpt2("h.%d." % layer))
            self.shapes.update(llama4("h.%d." % layer))
        self.turned = {n for n, s in self.shapes.items() if len(s) == 3 or ".c_" in n and len(s) == 2}
        self.write(self.shapes, turned=self.turned, experts=3)

    def both(self, method, parameters, experts, **top):
        values = []
        for first in "mt":
            out = self.merged(method, parameters, output=first + "-out", first=first,
                              experts=experts, **top)
            values.append(stio.Checkpoint(out))
        return values

    def assertTurned(self, stored, turned, equal):
        same = {n for n in self.shapes
                if np.array_equal(stored.values(n), np.swapaxes(turned.values(n), -1, -2)
                                  if n in self.turned else turned.values(n))}
        self.assertEqual(same >= set(self.shapes), equal, sorted(set(self.shapes) - same))

    def test_scf_rkl_takes_outputs_rows(self):
        for parameters in ({}, {"importance": "element", "threshold": "iqr"}, {"scope": "layer"},
                           {"scope": "model"}, {"combine": "sequential"}):
            with self.subTest(parameters):
                self.assertTurned(*self.both("scf_rkl", parameters, 3), equal=True)
        modes = {t["name"]: t["mode"] for t in harness.report(self.path("m-out"))["tensors"]}
        self.assertEqual({n for n, mode in modes.items() if mode == "by column"}, self.turned)
        self.assertTurned(*self.both("scf_rkl", {"rows": "stored"}, 3), equal=False)

    def test_arcee_fusion_does_on_demand(self):
        self.assertTurned(*self.both("arcee_fusion", {"rows": "outputs"}, 1), equal=True)
        self.assertTurned(*self.both("arcee_fusion", {}, 1), equal=False)

    def test_against_the_formulas(self):
        loaded = [methods_oracle.load(self.path("m%d" % i))[0] for i in range(4)]
        for method, parameters, experts in (
                ("scf_rkl", {}, 3), ("scf_rkl", {"scope": "layer", "threshold": "iqr"}, 3),
                ("scf_rkl", {"rows": "stored"}, 3), ("arcee_fusion", {"rows": "outputs"}, 1),
                ("arcee_fusion", {}, 1)):
            out = stio.Checkpoint(self.merged(method, parameters, experts=experts))
            models = loaded[1:experts + 1]
            for name, wanted in methods_oracle.merge(method, loaded[0], models, parameters).items():
                methods_oracle.check(name, wanted, out.raw(name), out.tensors[name].dtype,
                                     loaded[0][name], [m[name] for m in models])

    def test_the_cut_and_the_threads_change_nothing(self):
        for method, parameters, experts in (("scf_rkl", {"scope": "model"}, 3), ("scf_rkl", {}, 3),
                                            ("arcee_fusion", {"rows": "outputs"}, 1)):
            hashes = set()
            for threads in ("1", "3"):
                for top in ({}, {"split_size": "1KB", "unit_size": "1KB"}):
                    file = self.recipe(method, parameters, experts=experts, **top)
                    out = self.merge(file, self.path("cut"), "--overwrite", "--threads", threads)
                    hashes.add(str(harness.hash_output(out)))
            self.assertEqual(len(hashes), 1, method)


if __name__ == "__main__":
    harness.main()

"""The tools that the other tests trust: rounding, the container, the oracle."""

import os
import shutil
import tempfile
import unittest

import numpy as np

import make_models
import methods_oracle
import oracle
import oracle_deltas
import oracle_rkl
import stio


def content(path):
    with open(path, "rb") as f:
        return f.read()


class RoundingTest(unittest.TestCase):
    def nearest_bf16(self, x):
        """Slow and obvious: the nearest of all finite bf16 values, ties to an even pattern."""
        best = None
        for bits in self.finite:
            distance = abs(float(stio.bf16_to_f32(np.uint16(bits))) - x)
            if best is None or distance < best[0] or (distance == best[0] and bits % 2 == 0):
                best = (distance, bits)
        return best[1]

    def test_against_a_search_over_neighbours(self):
        rng = np.random.default_rng(1)
        print("seed 1")
        values = np.concatenate([
            rng.standard_normal(300) * 10.0 ** rng.integers(-40, 38, 300),
            # Halfway between neighbours, and one float64 step to either side of it: where
            # rounding by way of float32 goes wrong.
            [1.00390625, np.nextafter(1.00390625, 0), np.nextafter(1.00390625, 2),
             1.01171875, np.nextafter(1.01171875, 0), np.nextafter(1.01171875, 2),
             -1.00390625, np.nextafter(-1.00390625, -2), 9e-41, 4.6e-41, 0.0],
        ])
        for x in values:
            got = int(stio.f64_to_bf16(np.array([x]))[0])
            self.finite = [b for b in range(got - 2, got + 3)
                           if 0 <= b <= 0xFFFF and (b & 0x7F80) != 0x7F80]
            self.assertEqual(got, self.nearest_bf16(x), repr(x))

    def test_overflow_becomes_infinity(self):
        bits = stio.f64_to_bf16(np.array([3.4e38, 1e300, -1e300, 3.38e38]))
        self.assertEqual([hex(b) for b in bits], ["0x7f80", "0x7f80", "0xff80", "0x7f7e"])

    def test_round_trip_of_every_finite_pattern(self):
        bits = np.arange(1 << 16, dtype=np.uint16)
        bits = bits[(bits & 0x7F80) != 0x7F80]
        self.assertTrue(np.array_equal(stio.f64_to_bf16(stio.decode(bits, "BF16")), bits))
        self.assertTrue(np.array_equal(stio.f32_to_bf16(stio.bf16_to_f32(bits)), bits))

    def test_ulp(self):
        for dtype, one in (("BF16", 2.0**-7), ("F16", 2.0**-10), ("F32", 2.0**-23),
                           ("F64", 2.0**-52)):
            self.assertEqual(stio.ulp(1.0, dtype), one)
            self.assertEqual(stio.ulp(1.99, dtype), one)
        self.assertEqual(stio.ulp(0.0, "BF16"), 2.0**-133)
        self.assertEqual(stio.ulp(6e-8, "F16"), 2.0**-24)


class ContainerTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def test_round_trip(self):
        base, _ = make_models.tiny_models(3, 2)
        for shards in (1, 3):
            folder = os.path.join(self.dir, str(shards))
            stio.save(folder, base, shards)
            model = stio.Checkpoint(folder)
            self.assertEqual(set(model.tensors), set(base))
            self.assertEqual(len(model.files), shards)
            for name, (dtype, values) in base.items():
                self.assertTrue(np.array_equal(
                    stio.decode(stio.encode(values, dtype), dtype), model.values(name)), name)

    def test_holes_and_trailing_bytes_are_refused(self):
        path = os.path.join(self.dir, "model.safetensors")
        head = stio.header_bytes([("a", "F32", (2,)), ("b", "F32", (1,))])
        for data in (b"x" * 11, b"x" * 13):
            with open(path, "wb") as f:
                f.write(head + data)
            with self.assertRaises(stio.FormatError):
                stio.read_header(path)
        with open(path, "wb") as f:
            f.write(head.replace(b"[8,12]", b"[9,13]") + b"x" * 13)
        with self.assertRaises(stio.FormatError):
            stio.read_header(path)

    def test_models_are_the_same_every_time(self):
        for family, arguments in (("tiny", {"seed": 2}), ("generated", {"scale": 0.02})):
            found = []
            for run in ("a", "b"):
                models = make_models.make(family, os.path.join(self.dir, family + run),
                                          **arguments)
                found.append([content(os.path.join(m, f))
                              for m in models for f in sorted(os.listdir(m))])
            self.assertEqual(found[0], found[1])


class OracleTest(unittest.TestCase):
    def test_modes(self):
        for name, shape, k, wanted in [
            ("model.layers.0.self_attn.q_proj.weight", (8, 8), 1, "spectral"),
            ("model.layers.0.mlp.gate.weight", (4, 8), 1, "spectral"),
            ("model.layers.0.mlp.gate.weight", (4, 8), 4, "mean"),
            ("model.layers.0.self_attn.q_norm.weight", (8, 8), 1, "mean"),
            ("model.embed_tokens.weight", (8, 8), 1, "mean"),
            ("lm_head.weight", (8, 8), 1, "mean"),
            ("a.mlp.experts.down_proj", (3, 8, 8), 1, "spectral"),
            ("a.mlp.stack", (3, 8, 8), 1, "mean"),
            ("a.mlp.experts.down_proj", (3, 1, 8), 1, "mean"),
            ("conv.weight", (3, 8, 8, 2), 1, "mean"),
            ("a.q_proj.bias", (8, 8), 1, "mean"),
            ("scale", (), 1, "mean"),
        ]:
            self.assertEqual(oracle.mode(name, shape, k), wanted, name)
        self.assertEqual(oracle.family("model.layers.0.mlp.gate.weight"), "ffn")
        self.assertEqual(oracle.family("model.mixer.weight"), "other")

    def test_gate_of_equal_residuals(self):
        # N equal residuals: s = c = 1, score = 1, beta = beta_min, A = R but for eps.
        gram = np.full((3, 3), 4.0)
        found = oracle.gate(gram, np.zeros((3, 3)), "ffn", oracle.DEFAULTS)
        self.assertAlmostEqual(found["s"], 1, places=6)
        self.assertAlmostEqual(found["c"], 1, places=6)
        self.assertAlmostEqual(found["beta"], 0.7, places=6)
        self.assertEqual(found["branch"], "coherent")
        self.assertAlmostEqual(found["backbone"], 2, places=6)
        np.testing.assert_allclose(found["a"], 1 / 3, rtol=1e-6)
        self.assertEqual(list(found["b"]), [0, 0, 0])

    def test_gate_of_orthogonal_and_of_opposed_residuals(self):
        found = oracle.gate(np.eye(4), np.eye(4), "attention", oracle.DEFAULTS)
        self.assertEqual(found["branch"], "mean")
        self.assertAlmostEqual(found["c"], 0.5, places=6)
        self.assertEqual(found["head_agreement"], 0)
        gram = np.array([[1.0, -1.0], [-1.0, 1.0]])
        found = oracle.gate(gram, np.eye(2), "ffn", oracle.DEFAULTS)
        self.assertEqual((found["branch"], found["c"]), ("mean", 0.0))

    def test_gate_heads(self):
        # Two heads of norm 3 and 4 at 60 degrees; residuals equal with norm 2.
        heads = np.array([[9.0, 6.0], [6.0, 16.0]])
        found = oracle.gate(np.full((2, 2), 4.0), heads, "ffn", oracle.DEFAULTS)
        self.assertAlmostEqual(found["head_agreement"], 0.5, places=6)
        # C has norm rho * S * ||A||.
        self.assertAlmostEqual(float(np.sqrt(found["b"] @ heads @ found["b"])),
                               0.2 * 0.5 * found["backbone"], places=7)

    def test_family_other_has_no_score(self):
        found = oracle.gate(np.full((2, 2), 1.0), np.eye(2), "other", oracle.DEFAULTS)
        self.assertEqual(found["beta"], 1.0)

    def test_the_bar_can_fail(self):
        rng = np.random.default_rng(5)
        merged = oracle.Merged("m", "spectral", rng.standard_normal((40, 30)))
        merged.base = merged.value - 1e-2 * rng.standard_normal((40, 30))
        merged.delta_norm = float(np.linalg.norm(merged.value - merged.base))
        for dtype in ("BF16", "F32", "F64"):
            stored = stio.encode(merged.value, dtype)
            self.assertEqual(oracle.check(merged, stored, dtype), (1200, 0))
            with self.assertRaises(AssertionError):
                oracle.check(merged, stio.encode(merged.value + 1e-4, dtype), dtype)
        # Two units off in one element.
        stored = stio.encode(merged.value, "BF16")
        stored[3, 3] += 2
        with self.assertRaises(AssertionError):
            oracle.check(merged, stored, "BF16")
        # One unit off is counted.
        stored[3, 3] -= 1
        self.assertEqual(oracle.check(merged, stored, "BF16"), (1200, 1))

    def test_either_branch_passes_on_the_jump_alone(self):
        merged = oracle.Merged("m", "spectral", np.ones((4, 4)))
        merged.base, merged.delta_norm = np.zeros((4, 4)), 4.0
        with self.assertRaises(AssertionError):
            oracle.check(merged, np.full((4, 4), 2.0), "F64")
        merged.alternative = np.full((4, 4), 2.0)
        self.assertEqual(oracle.check(merged, np.full((4, 4), 2.0), "F64"), (16, 0))


class MethodsOracleTest(unittest.TestCase):
    """Small cases worked out by hand."""

    def value(self, method, base, models, parameters=None, per_model=None):
        base = None if base is None else {"t": np.array(base, dtype=float)}
        models = [{"t": np.array(m, dtype=float)} for m in models]
        return methods_oracle.merge(method, base, models, parameters, per_model)["t"].value

    def same(self, got, wanted):
        np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-15)

    def test_hashes_are_the_published_ones(self):
        self.assertEqual(oracle_deltas.fnv1a(""), 0xCBF29CE484222325)
        self.assertEqual(oracle_deltas.fnv1a("a"), 0xAF63DC4C8601EC8C)
        # The first number of splitmix64 from 0.
        self.assertEqual(oracle_deltas.fin(0x9E3779B97F4A7C15), 0xE220A8397B1DCDAF)
        drawn = oracle_deltas.uniform(3, 1, "t", 100000)
        self.assertTrue(0 <= drawn.min() and drawn.max() < 1)
        self.assertAlmostEqual(drawn.mean(), 0.5, delta=0.005)

    def test_equals_rank_by_index(self):
        mask = oracle_deltas.largest(np.float32([1, 2, 2, 0, 2]), 2)
        self.assertEqual(mask.tolist(), [False, True, True, False, False])

    def test_ties(self):
        # Trimmed to (4, -3, 0, 0) and (0, 5, 5, 0): signs +, +, +, + (zero counts as positive).
        models = [[5, -2, 2, 1], [1, 6, 6, 1]]
        own = [{"density": 0.5}] * 2
        self.same(self.value("ties", [1] * 4, models, None, own), [5, 6, 6, 1])
        # Opposites of the same size: the positive one is kept.
        self.same(self.value("ties", [0, 0], [[2, -2], [-2, 2]]), [2, 2])

    def test_breadcrumbs(self):
        # The largest and, of five, those beyond the next two go.
        self.same(self.value("breadcrumbs", [0] * 5, [[1, -5, 2, 4, 3]], None,
                             [{"density": 0.4, "gamma": 0.2}]), [0, 0, 0, 4, 3])
        self.same(self.value("breadcrumbs", [0] * 5, [[1, -5, 2, 4, 3]], None,
                             [{"density": 0.8, "gamma": 0.6}]), [1, 0, 2, 4, 3])

    def test_sce_and_ram(self):
        # Equal energies, so equal shares; the second coordinate has opposite signs.
        self.same(self.value("sce", [0, 0], [[1, 2], [2, -1]]), [1.5, 2])
        self.same(self.value("ram", [1, 1, 1], [[3, 1, 2], [1, 1, 4]]), [3, 1, 3])
        # The first expert shares one and has one of its own: 1 + 0.5 * min(1, 0.8).
        self.same(self.value("ramplus_tl", [0, 0], [[2, 2], [0, 4]], {"r": 0.5, "alpha": 0.8}),
                  [2.8, 3])

    def test_sphere(self):
        half = np.sqrt(0.5)
        self.same(self.value("slerp", [1, 0], [[0, 1]], {"t": 0.5}), [half, half])
        self.same(self.value("karcher", None, [[2, 0], [0, 4]]), [3 * half, 3 * half])
        self.same(self.value("nuslerp", None, [[1, 0], [0, 1]], None,
                             [{"weight": 1}, {"weight": 2}]), [0.5, np.sqrt(0.75)])
        self.same(self.value("multislerp", None, [[2, 0], [0, 2]]), [2 * half, 2 * half])
        # Orthogonal deltas have nothing in common, equal ones all.
        self.same(self.value("model_stock", [1, 1], [[2, 1], [1, 3]]), [1, 1])
        self.same(self.value("model_stock", [1, 1], [[2, 3], [2, 3]]), [2, 3])

    def test_masks(self):
        self.same(self.value("nearswap", [0, 0], [[0.5, 4]], {"t": 1}), [0.5, 1])
        # One row, so the divergence is a common factor: quartiles of 0, 1, 2, 9 are 0, 1, 2.
        self.same(self.value("arcee_fusion", [0] * 4, [[0, 1, 2, 9]]), [0, 0, 0, 9])

    def test_reverse_kl(self):
        p, r = np.array([0.25, 0.75]), np.array([0.5, 0.5])
        terms = p * ((r - p) / p - np.log(r / p))
        w0, x = np.log(p).reshape(1, 2), np.log(r).reshape(1, 2)
        np.testing.assert_allclose(oracle_rkl.importance(w0, x, "element")[0], terms, 1e-6)
        self.assertAlmostEqual(terms.sum(), float((p * np.log(p / r)).sum()), 14)
        row = oracle_rkl.importance(w0, x, "row")[0]
        np.testing.assert_allclose(row, np.abs(x - w0)[0] * terms.sum(), 1e-6)
        # The greater importance is the first coordinate's.
        self.same(self.value("scf_rkl", w0, [x], {"density": 0.5}), [[x[0, 0], w0[0, 1]]])


if __name__ == "__main__":
    unittest.main(verbosity=2)

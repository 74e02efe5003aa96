"""--memory is a promise about the process: its peak resident memory stays below."""

import re

import harness
import origin_models

UNITS = {"B": 1, "": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9,
         "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def sizes(text):
    """Every size in a message, in bytes; those given exactly ("123 bytes") alone, if any."""
    exact = re.findall(r"(\d+) bytes\b", text)
    if exact:
        return [float(number) for number in exact]
    return [float(number) * UNITS[unit.upper()]
            for number, unit in re.findall(r"(\d+(?:\.\d+)?) ?([KMG]?i?B)\b", text)]


class MemoryCase(harness.Case):
    def measure(self, budget, threads):
        result, peak = harness.run_measured(
            "merge", self.recipe, self.path("out-%d-%s" % (budget, threads)),
            "--memory", "%dMiB" % (budget >> 20), "--threads", str(threads))
        print("budget %d MiB, %s threads: exit code %d, peak %.1f MiB" % (
            budget >> 20, threads, result.code, peak / (1 << 20)))
        return result, peak

    def needed(self):
        """The least budget, as the refusal of a far too small one tells."""
        result, _ = self.measure(1 << 20, 1)
        line = self.assertOneError(result, 2)
        self.assertNoOutput(self.path("out-%d-1" % (1 << 20)))
        told = [s for s in sizes(line) if s > 1 << 20]
        self.assertTrue(told, line)
        return max(told)


class MemoryTest(MemoryCase):
    def setUp(self):
        super().setUp()
        models = harness.data("generated")
        self.recipe = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:])

    def test_a_budget_that_just_fits(self):
        least = self.needed()
        budget = (int(least) + (1 << 20) - 1) >> 20 << 20
        result, peak = self.measure(budget, 1)
        self.assertEqual(result.code, 0, str(result))
        self.assertLessEqual(peak, budget)

    def test_a_budget_just_below(self):
        least = self.needed()
        result, _ = self.measure((int(least * 0.98) >> 20) << 20, 1)
        self.assertOneError(result, 2)

    def test_a_roomy_budget(self):
        for budget, threads in ((384 << 20, 2), (1 << 30, 2)):
            with self.subTest(budget=budget):
                result, peak = self.measure(budget, threads)
                self.assertEqual(result.code, 0, str(result))
                self.assertLessEqual(peak, budget)


class DecodedTest(MemoryCase):
    """The least budget for models whose tensors are decoded as they are read gives the bytes that a
    roomy one gives."""

    def hold(self, family):
        self.recipe = origin_models.recipe(self.path("r.yaml"), family, harness.data(family))
        least = self.needed()
        budget = (int(least) + (1 << 20) - 1) >> 20 << 20
        outputs = []
        for size, threads in ((budget, 1), (1 << 30, 2)):
            result, peak = self.measure(size, threads)
            self.assertEqual(result.code, 0, str(result))
            self.assertLessEqual(peak, size)
            outputs.append(harness.hash_output(self.path("out-%d-%s" % (size, threads))))
        self.assertTrue(outputs[0])
        self.assertEqual(*outputs)

    def test_adapters(self):
        self.hold("adapters")

    def test_quantised_models(self):
        self.hold("quantised")


if __name__ == "__main__":
    harness.main()

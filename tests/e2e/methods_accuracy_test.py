"""Every method against its float64 evaluation (methods_oracle.py): real experts and sets of
ties, zeros and opposites, stored as F32, F64 and bf16. Every merge runs whole and cut into
pieces, with one thread and with three: the bytes are the same."""

import concurrent.futures

import harness
import methods_oracle
import stio
from harness import LONG, SAMPLE, SAMPLE_BASE, SLOW

WEIGHTS = (1.0, 0.5, -0.3)
OUT = {"float64": "F64", "bfloat16": "BF16"}


class Run:
    """A recipe's method, parameters and models (`count` of the set's experts)."""

    def __init__(self, method, parameters=None, count=3, base=True, **own):
        self.method, self.parameters = method, dict(parameters or {})
        entry = methods_oracle.METHODS[method]
        self.count = min(count, entry.most or count)
        for key, value in methods_oracle.REQUIRED.get(method, {}).items():
            self.parameters.setdefault(key, value)
        self.base = base and entry.base != "none"
        # What stands under the models: a value for all, or one each.
        if entry.own.get("weight", 1.0) is None:
            own.setdefault("weight", WEIGHTS)
        self.own = [{key: value[i] if isinstance(value, tuple) else value
                     for key, value in own.items()} for i in range(self.count)]

    def __str__(self):
        return "%s %s %s%s" % (self.method, self.parameters, self.own,
                               "" if self.base else " without a base")


def gta(method, **own):
    """The parameters that all of generalized task arithmetic has, crossed."""
    yield Run(method)
    for normalize in (False, True):
        for rescale in (False, True):
            yield Run(method, {"normalize": normalize, "rescale": rescale, "lambda": 0.7},
                      weight=(1.0, 0.5, 0.25), **own)
    yield Run(method, weight=WEIGHTS, **own)


def scf(**parameters):
    return Run("scf_rkl", parameters)


# The first of each method also runs on real experts and on tensors of several leaves, and is
# a quick test.
RUNS = {
    "linear": [Run("linear"), Run("linear", {"normalize": False})],
    "task_arithmetic": [
        Run("task_arithmetic", {"lambda": 0.7, "normalize": True}, weight=WEIGHTS),
        Run("task_arithmetic")],
    "ties": [Run("ties", density=(0.3, 0.6, 1.0), weight=(1.0, 0.5, 0.25)),
             Run("ties", density=1e-6), Run("ties", {"density": 0.2}, count=1),
             *gta("ties", density=(0.3, 0.6, 1.0))],
    "dare_linear": [Run("dare_linear", density=(0.3, 0.6, 1.0), weight=WEIGHTS),
                    Run("dare_linear", {"seed": 17}, density=0.5),
                    *gta("dare_linear", density=0.4)],
    "dare_ties": [Run("dare_ties", density=(0.3, 0.6, 1.0)),
                  Run("dare_ties", {"seed": 17}, density=0.5), *gta("dare_ties", density=0.4)],
    "breadcrumbs": [Run("breadcrumbs", density=(0.3, 0.6, 0.9), gamma=0.05),
                    Run("breadcrumbs", density=0.95, gamma=0.2),
                    Run("breadcrumbs", density=0.5, gamma=0.0), Run("breadcrumbs", density=0.5),
                    *gta("breadcrumbs", density=(0.3, 0.6, 0.9), gamma=(0.05, 0.0, 0.3))],
    "breadcrumbs_ties": [Run("breadcrumbs_ties", density=(0.3, 0.6, 0.9), gamma=0.05),
                         *gta("breadcrumbs_ties", density=0.5, gamma=(0.05, 0.0, 0.3))],
    "della": [Run("della", density=(0.3, 0.6, 1.0)), Run("della", {"seed": 17}, density=0.5),
              *gta("della", density=0.4, epsilon=(0.1, 0.3, 0.05))],
    "della_linear": [Run("della_linear", density=(0.3, 0.6, 1.0)),
                     *gta("della_linear", density=0.4, epsilon=(0.1, 0.3, 0.05))],
    "sce": [Run("sce", {"select_topk": 0.3}), Run("sce"), Run("sce", {"select_topk": 0.02}),
            Run("sce", {"select_topk": 0.5}, count=2)],
    "ram": [Run("ram"), Run("ram", {"epsilon": 0.01}), Run("ram", {"epsilon": 0.0}, count=2)],
    "ramplus_tl": [Run("ramplus_tl"), Run("ramplus_tl", {"r": 0.5, "alpha": 2.0}),
                   Run("ramplus_tl", {"epsilon": 0.01})],
    "slerp": [Run("slerp"), Run("slerp", {"t": 0.0}), Run("slerp", {"t": 1.0}),
              Run("slerp", {"t": 0.8})],
    "nuslerp": [Run("nuslerp", {"nuslerp_flatten": flatten, "nuslerp_row_wise": rows}, 2, base,
                    weight=(0.7, 0.4))
                for flatten, rows in ((True, False), (False, False), (False, True))
                for base in (True, False)] + [Run("nuslerp", None, 2, weight=weights)
                                              for weights in ((1.0, -1.0), (0.0, 0.5))],
    "multislerp": [Run("multislerp", {"normalize_weights": normalize}, count, base,
                       weight=(0.7, 0.4, 0.2))
                   for normalize in (True, False) for count in (3, 2, 1)
                   for base in (True, False)] + [
                       # Directions that cancel.
                       Run("multislerp", None, count, weight=1.0) for count in (2, 3)],
    "karcher": [Run("karcher"), Run("karcher", {"max_iter": 1}), Run("karcher", count=2),
                Run("karcher", count=1)],
    "model_stock": [Run("model_stock"), Run("model_stock", count=2),
                    Run("model_stock", {"filter_wise": True})],
    "nearswap": [Run("nearswap"), Run("nearswap", {"t": 0.5})],
    "arcee_fusion": [Run("arcee_fusion"), Run("arcee_fusion", {"rows": "outputs"})],
    "passthrough": [Run("passthrough", scale=0.5), Run("passthrough")],
    "scf_rkl": [scf(), scf(importance="element", threshold="iqr"),
                scf(scope="model", density=0.2), scf(threshold="iqr"),
                scf(importance="element", density=0.01), scf(density=1.0),
                Run("scf_rkl", {"density": 0.3}, weight=(1.0, 0.5, -2.0)),
                scf(scope="layer", threshold="iqr"), scf(scope="family", importance="element"),
                scf(scope="model", threshold="iqr", importance="element"),
                scf(combine="sequential"), scf(rows="stored"),
                Run("scf_rkl", {"combine": "sequential", "threshold": "iqr",
                                "importance": "element"}, weight=(1.0, 0.5, 1.5)),
                Run("scf_rkl", {"density": 0.2}, count=1)],
}
# These have more to show of many leaves than their first run does.
MANY_LEAVES = {"nuslerp": 5, "scf_rkl": 4, "karcher": 1, "model_stock": 3, "sce": 2}


class Set:
    """Models in memory, base first."""

    def __init__(self, folders):
        self.folders = folders
        loaded = [methods_oracle.load(folder) for folder in folders]
        self.values = [values for values, _ in loaded]
        self.dtypes = [dtypes for _, dtypes in loaded]


class MethodsCase(harness.Case):
    sets = {}

    def models(self, name):
        """`sample`, or a family of make_models.py; read once."""
        if name not in self.sets:
            self.sets[name] = Set([SAMPLE_BASE] + SAMPLE if name == "sample"
                                  else harness.data(name))
        return self.sets[name]

    def merged(self, run, models, output, out_dtype, threads, **top):
        file = harness.recipe(
            output + ".yaml", run.method, models.folders[0] if run.base else None,
            models.folders[1:1 + run.count], run.parameters, run.own or None,
            out_dtype=out_dtype, **top)
        return self.merge(file, output, "--threads", threads, "--overwrite")

    def check_run(self, run, name):
        models = self.models(name)
        w0 = models.values[0] if run.base else None
        xs = models.values[1:1 + run.count]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            def start(output, *arguments, **top):
                return pool.submit(self.merged, run, models, self.path(output), *arguments, **top)

            whole = {out_dtype: start(out_dtype, out_dtype, "3") for out_dtype in OUT}
            cut = {"float64": start("cut-1", "float64", "1", split_size="1KB", unit_size="1KB"),
                   "bfloat16": start("cut-2", "bfloat16", "2", split_size="1KB",
                                     unit_size="300KB")}
            wanted = methods_oracle.merge(run.method, w0, xs, run.parameters, run.own)
        total, differ, worst = 0, 0, 0.0
        for out_dtype, merged in whole.items():
            got = stio.Checkpoint(merged.result())
            self.assertEqual(sorted(got.tensors), sorted(wanted))
            for tensor, value in wanted.items():
                entry = got.tensors[tensor]
                own = models.dtypes[0 if run.base else 1][tensor]
                self.assertTrue(entry.dtype == OUT[out_dtype] or (
                    entry.dtype == own == "F32" and out_dtype == "bfloat16"), tensor)
                count, off, error = methods_oracle.check(
                    tensor, value, got.raw(tensor), entry.dtype,
                    None if w0 is None else w0[tensor], [x[tensor] for x in xs])
                worst = max(worst, error)
                if entry.dtype == "BF16":
                    total, differ = total + count, differ + off
            self.assertEqual(harness.hash_output(cut[out_dtype].result()),
                             harness.hash_output(merged.result()), "cut into pieces")
        print("%s, %s: error %.1e of what is allowed; %d of %d bf16 elements differ" % (
            run, name, worst, differ, total))
        self.assertGreaterEqual(1.0 - differ / total, 0.999)

    def check_runs(self, runs, names):
        for run in runs:
            for name in names:
                with self.subTest(run=str(run), models=name):
                    self.check_run(run, name)


class MethodsAccuracyTest(MethodsCase):
    """One test a method: test_NAME, and test_NAME_of_many_leaves."""

    def test_every_method_has_runs(self):
        self.assertEqual(sorted(RUNS), sorted(methods_oracle.METHODS))


class QuickTest(MethodsCase):
    def test_first_runs(self):
        for runs in RUNS.values():
            self.check_runs(runs[:1], ("adversarial",))


def _add_tests():
    for method, runs in RUNS.items():
        if SLOW:
            runs = runs[:2]
        elif not LONG:
            runs = runs[::2]

        def whole(self, runs=runs):
            self.check_runs(runs, ("adversarial",))
            self.check_runs(runs[:1], ("sample",))

        def leaves(self, runs=runs[:MANY_LEAVES.get(method, 1)]):
            self.check_runs(runs, ("adversarial-big",))

        setattr(MethodsAccuracyTest, "test_" + method, whole)
        setattr(MethodsAccuracyTest, "test_%s_of_many_leaves" % method, leaves)


_add_tests()

if __name__ == "__main__":
    harness.main()

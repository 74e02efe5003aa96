"""What tests of `merganser merge-lora` share: two adapters on a small base, and the products of what comes
out."""

import json
import os
import shutil

import numpy as np

import harness
import lora_files
from lora_case import LoraCase
from lora_models import attention

UNIT = 2.0 ** -24


class MergeLoraCase(LoraCase):
    def pair(self):
        return (self.write("a", attention(5, r=2, alpha=4)),
                self.write("b", attention(6, r=3, alpha=5, use_rslora=True)))

    def recipe(self, method, models=("base+a", "base+b"), parameters=None, own=None, base="base",
               name="r.yaml", **top):
        if method in ("linear", "karcher"):
            base = None
        if own is not None and not isinstance(own, list):
            own = [own] * len(models)
        harness.recipe(self.path(name), method, base, models, parameters, own, **top)
        return name

    def merge_lora(self, recipe, *flags, out="out", **kw):
        shutil.rmtree(self.path(out), ignore_errors=True)
        return self.ok("merge-lora", recipe, self.path(out), *flags, cwd=self.dir, **kw)

    def products(self, out="out"):
        """module -> the merged delta, [out, in] of the weight as it is stored."""
        return lora_files.products(self.path(out))

    def report(self, out="out"):
        with open(self.path(out, "merge_lora_report.json"), encoding="utf-8") as f:
            return json.load(f)

    def refused(self, recipe, *texts, flags=(), code=2):
        line = self.assertOneError(harness.run("merge-lora", recipe, self.path("out"), *flags,
                                               cwd=self.dir), code, *texts)
        self.assertFalse(os.path.exists(self.path("out")))
        return line

    def changed(self, adapters):
        return sorted({name for adapter in adapters for name in adapter.changes})

    def delta(self, adapter, name):
        """As a merge has a task vector: a float64 sum, rounded to float32."""
        zero = np.zeros(self.base[name].shape)
        return np.asarray(adapter.changes.get(name, zero), np.float32).astype(np.float64)

    def assertClose(self, product, wanted, name, units=16):
        scale = max(np.linalg.norm(wanted), 1e-300)
        self.assertLess(np.linalg.norm(product - wanted) / scale, units * UNIT, name)

"""Folders held against tensors of the float64 evaluation (oracle.py)."""

import os

import harness
import oracle
import stio


class AccuracyCase(harness.Case):
    def check(self, output, merged, base, wanted):
        """Holds a folder against an oracle's tensors. `wanted` is the recipe's out_dtype as
        safetensors names it, or None: each tensor keeps the base's."""
        got = stio.Checkpoint(output)
        report = harness.report(output)
        entries = {e["name"]: e for e in report["tensors"]}
        groups = {g["key"]: g for g in report["groups"]}
        names, total, differ, undefined, spectral = [], 0, 0, [], 0
        for tensor in merged:
            names.append(tensor.name)
            entry = got.tensors[tensor.name]
            own = base.tensors[tensor.name].dtype
            if tensor.mode == "copy" or wanted is None:
                allowed = {own}
            elif wanted == "BF16" and own == "F32":
                allowed = {"F32"}  # what the base keeps in F32 among bf16 stays F32
            else:
                allowed = {wanted}
            self.assertIn(entry.dtype, allowed, tensor.name)
            count, off = oracle.check(tensor, got.raw(tensor.name), entry.dtype)
            if entry.dtype == "BF16":
                total, differ = total + count, differ + off
            if tensor.mode == "spectral":
                spectral += 1
                told = entries[tensor.name]
                oracle.check_measured(tensor, got.raw(tensor.name), entry.dtype, told,
                                      groups[told["group"]] if "group" in told else None)
                if tensor.gap < oracle.WELL_DEFINED:
                    undefined.append(tensor.name)
        self.assertEqual(sorted(names), sorted(got.tensors))
        self.assertEqual(list(entries), names)
        # The values of the others are held: there must be some.
        self.assertLessEqual(2 * len(undefined), spectral, undefined)
        if total:
            equal = 1.0 - differ / total
            print("%d of %d bf16 elements differ by one unit; heads ill-defined: %s" % (
                differ, total, undefined or "none"))
            self.assertGreaterEqual(equal, 0.999)
        return undefined

    def resmerge(self, base, experts, parameters, out_dtype):
        output = self.path("out-%d" % len(os.listdir(self.dir)))
        file = harness.recipe(output + ".yaml", "resmerge", base, experts, parameters,
                              out_dtype=out_dtype)
        self.merge(file, output, "--threads", "2")
        base = stio.Checkpoint(base)
        experts = [stio.Checkpoint(e) for e in experts]
        wanted = {"float64": "F64", "bfloat16": "BF16"}[out_dtype]
        return self.check(output, oracle.resmerge(base, experts, parameters), base, wanted)

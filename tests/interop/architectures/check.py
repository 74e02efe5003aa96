"""What must hold of one architecture; everything that does not is told as a failure by name."""

import concurrent.futures
import copy
import os

import torch

import inputs
import models
import recipes

MERGED = ("linear", "resmerge", "ties", "scf_rkl", "slerp")
# Merganser and torch round one float64 sum to float32 each: a unit in the last place apart at most, of
# the greatest magnitude among the terms. Through a few layers that stays below a hundred thousandth of
# the greatest answer.
WEIGHTS_APART, ANSWERS_APART = 2.0 ** -22, 1e-5


class Outcome:
    """A row of the table."""

    def __init__(self, name):
        self.name = name
        self.parameters = self.tensors = 0
        self.spelling = ""
        self.planned, self.merged, self.loaded = [], [], []
        self.apart = None  # of the answers, relative to the greatest
        self.passes = 0  # forward passes that were compared
        self.sliced, self.laid_out = [], []  # words, as slices.py and layouts.py give them
        self.remarks, self.failures = [], []
        self.warnings = {}  # text: methods

    def fail(self, what, message):
        self.failures.append((what, " ".join(message.split())))


def _plan_all(outcome, methods, made, folder):
    def one(method):
        path = os.path.join(folder, method["name"] + ".json")
        recipes.write(path, recipes.recipe(method, made["base"], [made[e] for e in models.EXPERTS]))
        return method["name"], recipes.plan(path)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, (wrong, warnings) in pool.map(one, methods):
            if wrong:
                outcome.fail("plan " + name, wrong)
                continue
            outcome.planned.append(name)
            for warning in warnings:
                outcome.warnings.setdefault(warning, []).append(name)


def _in_torch(states):
    """`linear` of state dicts: float64, rounded once; what is no float is the first one's."""
    merged = {}
    for key, first in states[0].items():
        if first.is_floating_point():
            total = sum(w * s[key].double() for w, s in zip(recipes.WEIGHTS, states))
            merged[key] = (total / sum(recipes.WEIGHTS)).float()
        else:
            merged[key] = first
    return merged


def weights_apart(found, states):
    """What a merged state dict and that of `linear` in torch differ in, or ""."""
    expected = _in_torch(states)
    if found.keys() != expected.keys():
        return "tensors differ: %s" % sorted(found.keys() ^ expected.keys())[:5]
    for key, theirs in expected.items():
        ours = found[key]
        if torch.equal(ours, theirs):
            continue
        if not theirs.is_floating_point() or ours.shape != theirs.shape:
            return "%s differs" % key
        scale = torch.stack([s[key].abs().float() for s in states]).amax(0)
        apart = (ours.double() - theirs.double()).abs() - WEIGHTS_APART * scale.double()
        if not bool((apart <= 0).all()):
            return "%s differs by %g" % (key, (ours - theirs).abs().max())
    return ""


def _compare(outcome, model, base, states):
    """The loaded merge against the merge of the loaded models: weights, and answers. `base` is the loaded
    base: it answers with the weights that torch merged, and by its own configuration."""
    told = weights_apart(model.state_dict(), states)
    if told:
        outcome.fail("linear", told)
        return
    passes = inputs.all_of(model)
    outcome.passes = len(passes)
    ours = [inputs.answer_of(model, given) for given in passes]
    base.load_state_dict(_in_torch(states))
    theirs = [inputs.answer_of(base, given) for given in passes]
    outcome.apart = max(((o - t).abs().max() / t.abs().max().clamp(min=1e-12)).item()
                        for o, t in zip(ours, theirs))
    if not outcome.apart <= ANSWERS_APART:
        outcome.fail("linear", "answers differ by %.1e of the greatest" % outcome.apart)


def check(outcome, model, methods, folder):
    """Plans all, merges some, loads what was merged."""
    cls = type(model)
    outcome.parameters = sum(p.numel() for p in model.parameters())
    made, outcome.spelling = models.save(model, folder)
    loaded = {name: models.load(cls, path) for name, path in made.items()}
    own = loaded["base"][1]
    if own:
        outcome.remarks.append("transformers itself: %s" % own)
    states = [copy.deepcopy(loaded[name][0].state_dict()) for name in ("base",) + models.EXPERTS]
    outcome.tensors = len(states[0])
    _plan_all(outcome, methods, made, folder)
    for method in MERGED:
        if method not in outcome.planned:
            continue
        output = os.path.join(folder, "merged-" + method)
        wrong = recipes.merge(os.path.join(folder, method + ".json"), output)
        if wrong:
            outcome.fail("merge " + method, wrong)
            continue
        outcome.merged.append(method)
        try:
            merged, keys = models.load(cls, output)
        except Exception as error:  # pylint: disable=broad-except
            outcome.fail("load " + method, repr(error))
            continue
        if keys != own:
            outcome.fail("load " + method, "%s, of the base: %s" % (keys, own))
            continue
        outcome.loaded.append(method)
        if method == "linear":
            _compare(outcome, merged, loaded["base"][0], states)
        elif not all(bool(torch.isfinite(v).all()) for k, v in merged.state_dict().items()
                     if v.is_floating_point() and bool(torch.isfinite(states[0][k]).all())):
            outcome.fail("load " + method, "a tensor is not finite")
    return made

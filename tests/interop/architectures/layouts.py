"""An expert in another layout of the same weights.

transformers writes many models with the names and shapes of their first release (an expert a tensor,
`language_model.model...`) and reads them back into those of its classes; a trainer that writes the state
dict leaves the latter. A merge of one and the other has to be refused, or to come out right; with
`rename: auto` it should be carried out.
"""

import os
import shutil

import safetensors

import check
import models
import recipes


def names_in(folder):
    """The tensors that a checkpoint stores."""
    found = set()
    for file in os.listdir(folder):
        if file.endswith(".safetensors"):
            with safetensors.safe_open(os.path.join(folder, file), framework="pt") as f:
                found.update(f.keys())
    return found


def knows_rename():
    return "`rename" in recipes.run("keys")[1]


def _merged(outcome, cls, recipe, folder, states):
    """"yes", or "refused: ..." or "no: ..."."""
    path = recipes.write(os.path.join(folder, "layouts.json"), recipe)
    wrong, _ = recipes.plan(path)
    if wrong:
        return "refused: " + wrong
    output = os.path.join(folder, "laid-out")
    wrong = recipes.merge(path, output)
    if wrong:
        return "no: " + wrong
    try:
        merged, keys = models.load(cls, output)
    finally:
        shutil.rmtree(output, ignore_errors=True)
    return "no: %s" % keys if keys else "no: " + told if (
        told := check.weights_apart(merged.state_dict(), states)) else "yes"


def check_layouts(outcome, cls, made, folder):
    """Words for the table of the merge as it stands and with `rename: auto`; [] with one layout alone."""
    model, _ = models.load(cls, made["one"])
    other = os.path.join(folder, "other-layout")
    model.save_pretrained(other, save_original_format=False)
    if names_in(other) == names_in(made["one"]):
        return []
    states = [models.load(cls, made[name])[0].state_dict() for name in ("base", "one", "two")]
    recipe = recipes.recipe({"name": "linear"}, made["base"], [other, made["two"]])
    words = []
    for key in ("", "rename: auto") if knows_rename() else ("",):
        if key:
            recipe["rename"] = "auto"
        word = _merged(outcome, cls, recipe, folder, states)
        what = "another layout" + (", " + key if key else "")
        if word.startswith("no"):
            outcome.fail(what, word[4:])
        elif key and word.startswith("refused"):
            outcome.remarks.append("%s: %s" % (what, word))
        words.append(word.split(":")[0])
    return words

"""Greedy accuracy of base, experts, and every method's merge of them, as a Markdown table.

usage: accuracy_table.py [--check FILE | --update FILE] [METHOD...]
environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR

Merges by the recipes in tests/data/recipes (all, or those named) and evaluates with the experts'
own eval.py; needs torch (tests/interop/requirements.txt). FILE has the table between
`<!-- accuracies:begin -->` and `<!-- accuracies:end -->`: `--update` replaces it, `--check` fails
where it has other rows, or an accuracy that is more than a point off (torch's arithmetic differs
a little between machines, and a prompt is 0.2 points).
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile

import torch
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("MERGANSER_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))
EXPERTS = os.path.join(SOURCE, "tests", "data", "experts")
RECIPES = os.path.join(SOURCE, "tests", "data", "recipes")
MODELS = ("base", "expert_add", "expert_sort", "expert_parity")
TOLERANCE = 1.0
BEGIN, END = "<!-- accuracies:begin -->", "<!-- accuracies:end -->"

# As METHODS.md lists the methods; a recipe that is not named here comes last.
ORDER = ("resmerge", "resmerge_model", "scf_rkl", "scf_rkl_model", "linear", "task_arithmetic",
         "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della",
         "della_linear", "sce", "ram", "ramplus_tl", "multislerp", "karcher", "model_stock",
         "slerp", "nuslerp", "nearswap", "arcee_fusion", "passthrough")


def load_eval():
    """The experts' own evaluation, as a module."""
    spec = importlib.util.spec_from_file_location("eval", os.path.join(EXPERTS, "eval.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accuracy(evaluation, folder):
    """{task or "mean": percent} of the checkpoint in `folder`."""
    weights, config = evaluation.load_checkpoint(folder)
    found = evaluation.evaluate({k: v.float() for k, v in weights.items()}, config)
    return {task: 100 * value for task, value in found.items()}


def recipes():
    """Names of the recipes, in the order of the table."""
    names = {f[:-len(".yaml")] for f in os.listdir(RECIPES) if f.endswith(".yaml")}
    return [n for n in ORDER if n in names] + sorted(names - set(ORDER))


def merge(name, output):
    subprocess.run([BIN, "merge", os.path.join(RECIPES, name + ".yaml"), output],
                   check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _short(model):
    return os.path.basename(model).replace("expert_", "")


def describe(name):
    """(method, which models it merges, parameters as set) of a recipe."""
    with open(os.path.join(RECIPES, name + ".yaml"), encoding="utf-8") as f:
        body = yaml.safe_load(f)
    models = [_short(m["model"]) for m in body["models"]]
    if "base_model" in body:
        models.insert(0, _short(body["base_model"]))
    settings = {}
    for model in body["models"]:
        for key, value in model.get("parameters", {}).items():
            settings.setdefault(key, []).append("%g" % value)
    parts = ["%s %s" % (key, values[0] if len(set(values)) == 1 else "/".join(values))
             for key, values in settings.items()]
    for key, value in body.get("parameters", {}).items():
        text = str(value).lower() if isinstance(value, bool) else (
            value if isinstance(value, str) else "%g" % value)
        parts.append("%s %s" % (key, text))
    return body["merge_method"], ", ".join(models), ", ".join(parts)


def row(first, found, evaluation):
    return "| %s | %s |" % (" | ".join(first), " | ".join(
        "%.1f" % found[task] for task in evaluation.TASKS + ["mean"]))


def table(names):
    """Yields the table's lines; evaluates as it goes."""
    evaluation = load_eval()
    yield "| | models | parameters | %s | mean |" % " | ".join(evaluation.TASKS)
    yield "| --- | --- | --- |%s" % (" ---: |" * (len(evaluation.TASKS) + 1))
    for name in MODELS:
        found = accuracy(evaluation, os.path.join(EXPERTS, name))
        yield row((name.replace("expert_", "expert "), "", ""), found, evaluation)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
            output = os.path.join(folder, "merged")
            merge(name, output)
            method, models, parameters = describe(name)
            yield row(("`%s`" % method, models, parameters), accuracy(evaluation, output),
                      evaluation)


def split(path):
    """The text of a file before, in and behind the table."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit("%s: expected one %s and, below it, one %s" % (path, BEGIN, END))
    head, rest = text.split(BEGIN)
    return head, *rest.split(END)


def check(path, lines):
    """Exits with what differs between the table of a file and `lines`."""
    def cells(text):
        return [c.strip() for c in text.strip("|").split("|")]
    _, told, _ = split(path)
    told = {tuple(cells(line)[:3]): line for line in told.strip().splitlines()}
    wrong = []
    for line in lines:
        other = told.pop(tuple(cells(line)[:3]), None)
        if other is None:
            wrong.append("no such row: %s" % line)
            continue
        for mine, stands in zip(cells(line)[3:], cells(other)[3:]):
            try:
                same = abs(float(mine) - float(stands)) <= TOLERANCE
            except ValueError:
                same = mine == stands
            if not same:
                wrong.append("found  %s\n  now    %s" % (other, line))
                break
    wrong += ["no such recipe: %s" % line for line in told.values()]
    if wrong:
        sys.exit("%s: its table of accuracies is not what was measured (--update renews it):\n  %s"
                 % (path, "\n  ".join(wrong)))
    print("%s has these figures." % path)


def update(path, lines):
    head, _, tail = split(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write("%s%s\n%s\n%s%s" % (head, BEGIN, "\n".join(lines), END, tail))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="METHOD")
    parser.add_argument("--update", metavar="FILE")
    parser.add_argument("--check", metavar="FILE")
    args = parser.parse_args()
    if args.recipes and (args.update or args.check):
        parser.error("a FILE has the table of all methods")
    unknown = set(args.recipes) - set(recipes())
    if unknown:
        parser.error("no such recipe in tests/data/recipes: %s" % ", ".join(sorted(unknown)))
    torch.set_num_threads(1)
    lines = []
    for line in table([n for n in recipes() if not args.recipes or n in args.recipes]):
        lines.append(line)
        print(line, flush=True)
    print("\nGreedy accuracy in percent of exact answers, 500 prompts a task. Command: "
          "tests/interop/accuracy_table.py")
    if args.update:
        update(args.update, lines)
    if args.check:
        check(args.check, lines)


if __name__ == "__main__":
    main()

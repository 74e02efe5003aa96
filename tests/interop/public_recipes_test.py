"""The shapes of published recipes (tests/e2e/public_recipes.py) in the hands of the real mergekit: it
takes those that the table says it takes, and what both take comes out alike.

Float32; elements agree within BOUND of the tensor's greatest magnitude, which holds any difference in
meaning and no rounding. What mergekit draws at random (dare, della below density 1), and arcee_fusion,
whose threshold is noise on such small differences (README.md), are not compared element by element.

usage: public_recipes_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import numpy as np  # noqa: E402
import transformers  # noqa: E402
import yaml  # noqa: E402
from mergekit.config import MergeConfiguration  # noqa: E402
from mergekit.merge import run_merge  # noqa: E402
from mergekit.options import MergeOptions  # noqa: E402

import public_recipes  # noqa: E402
import stio  # noqa: E402
import tiny_chat_models  # noqa: E402

SOURCE = os.environ.get("MERGANSER_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))
BOUND = 2e-5  # karcher's default tolerance, which stops it, is 1e-5
NOT_COMPARED = re.compile(r"merge_method: (dare|della|arcee_fusion)")
# There are no adapters here to merge.
NOT_RUN = {"model_stock_adapters"}

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "Bye"}]
# The named templates, as their models' authors publish the formats.
RENDERED = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
              "<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
              "<|im_start|>assistant\n",
    "llama3": "<pad><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<pad>[INST] Be brief.\n\nHi [/INST] Ho<eos>[INST] Bye [/INST]",
    "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHo\n\n"
              "### Instruction:\nBye\n\n### Response:\n",
    "exaone": "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n[|assistant|]Ho[|endofturn|]\n"
              "[|user|]Bye\n[|assistant|]",
}


def float32(recipe):
    """The recipe, computed and written in float32."""
    documents = [re.sub(r"(?m)^(out_)?dtype:.*$", "", d) + "\ndtype: float32\n"
                 for d in recipe.split("\n---\n")]
    return "\n---\n".join(documents)


def template(folder):
    path = os.path.join(folder, "chat_template.jinja")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            return f.read().strip()
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as f:
        return (json.load(f).get("chat_template") or "").strip()


class PublicRecipesTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="shapes-")
        self.addCleanup(shutil.rmtree, self.dir)
        tiny_chat_models.models(self.dir)
        # Recipes name their models by the folders' names.
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.dir)
        logging.disable(logging.WARNING)
        self.addCleanup(logging.disable, logging.NOTSET)

    def theirs(self, recipe, output):
        """What mergekit says against the recipe, or nothing."""
        shutil.rmtree(output, ignore_errors=True)
        if "\n---\n" in recipe:
            with open("multi.yaml", "w", encoding="utf-8") as f:
                f.write(recipe)
            shutil.rmtree("between", ignore_errors=True)
            done = subprocess.run(
                [os.path.join(os.path.dirname(sys.executable), "mergekit-multi"), "multi.yaml",
                 "--intermediate-dir", "between", "--out-path", output,
                 "--no-write-model-card"],
                capture_output=True, text=True)
            return done.stderr if done.returncode else None
        try:
            config = MergeConfiguration.model_validate(yaml.safe_load(recipe))
            with contextlib.redirect_stderr(io.StringIO()):
                run_merge(config, output, MergeOptions(quiet=True, write_model_card=False))
        except Exception as error:  # of any kind: it has none of its own
            return repr(error)
        return None

    def ours(self, recipe, output):
        shutil.rmtree(output, ignore_errors=True)
        with open("ours.yaml", "w", encoding="utf-8") as f:
            f.write(recipe)
        done = subprocess.run([BIN, "merge", "ours.yaml", output], capture_output=True, text=True)
        return done.stderr if done.returncode else None

    def test_taken_and_merged_alike(self):
        compared = 0
        for name, expect, _, recipe in public_recipes.SHAPES:
            if name in NOT_RUN:
                continue
            with self.subTest(shape=name):
                text = float32(recipe)
                said = self.theirs(text, "theirs")
                self.assertEqual(said is not None, name in public_recipes.MERGEKIT_REFUSES, said)
                told = self.ours(text, "ours")
                self.assertEqual(told is not None, expect == "refused", told)
                if said is not None or told is not None:
                    continue
                compared += self.compare(text)
        print("%d compared element by element" % compared)
        self.assertGreater(compared, 40)

    def test_named_templates_render_as_the_formats_say(self):
        path = os.path.join("base", "tokenizer_config.json")
        with open(path, encoding="utf-8") as f:
            settings = dict(json.load(f), bos_token="<pad>")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(settings, f)
        for name, expected in RENDERED.items():
            with self.subTest(template=name):
                self.assertIsNone(self.ours(
                    "merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n"
                    "chat_template: %s\n" % name, "ours"))
                tokenizer = transformers.AutoTokenizer.from_pretrained("ours")
                self.assertEqual(tokenizer.apply_chat_template(
                    CHAT, tokenize=False, add_generation_prompt=True), expected)

    def compare(self, text):
        one, other = stio.Checkpoint("theirs"), stio.Checkpoint("ours")
        self.assertEqual(sorted(one.tensors), sorted(other.tensors))
        if "chat_template: auto" in text or "chat_template: |" in text:
            self.assertEqual(template("theirs"), template("ours"))
        for name in one.tensors:
            self.assertEqual(one.tensors[name].shape, other.tensors[name].shape, name)
        if NOT_COMPARED.search(text) and "density: 1.0" not in text:
            return 0
        for name in one.tensors:
            a, b = one.values(name), other.values(name)
            self.assertLessEqual(np.max(np.abs(a - b)), BOUND * np.max(np.abs(a)), name)
        return 1


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")

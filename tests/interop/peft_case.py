"""What tests beside PEFT share: tiny models of transformers' classes, a folder for each test, the program,
and PEFT loading adapters without a word."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import unittest
import warnings

import torch
import transformers

from accuracy_table import BIN


def llama(**more):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**dict(dict(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        tie_word_embeddings=False), **more)))


def gpt2(**more):
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**dict(dict(
        vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=4), **more)))


class PeftCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)

    def setUp(self):
        torch.manual_seed(3)
        self.dir = tempfile.mkdtemp(prefix="interop-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def run_program(self, *args):
        """Runs it in the test's folder; what it said on stderr is the error where it fails."""
        done = subprocess.run([BIN] + [str(a) for a in args], capture_output=True, text=True,
                              check=False, cwd=self.dir)
        if done.returncode != 0:
            raise AssertionError("%s\n%s\n%s" % (args, done.stdout, done.stderr))
        return done

    def load(self, name):
        return transformers.AutoModelForCausalLM.from_pretrained(self.path(name), dtype=torch.float32)

    @contextlib.contextmanager
    def complete(self):
        """PEFT finds nothing missing and nothing unexpected meanwhile."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        for warning in said:
            self.assertNotIn("missing", str(warning.message))
            self.assertNotIn("unexpected", str(warning.message))

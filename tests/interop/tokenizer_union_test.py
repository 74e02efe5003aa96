"""Tokenizers that `tokenizer_source: union` makes, in the hands of transformers: tokenizers of every kind
are trained with the official library, saved as models save them, merged, and what comes of them is loaded.

usage: tokenizer_union_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import itertools
import json
import os
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
from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers,  # noqa: E402
                        pre_tokenizers, trainers)

import stio  # noqa: E402
import tiny_chat_models  # noqa: E402

SOURCE = os.environ.get("MERGANSER_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))

# What the first model was made for, and what the second was.
TEXTS = ["the rows of a table are read one by one, and every row has its number",
         "a model has many layers, and each layer has its own weights and norms",
         "numbers that move are rows that belong to other tokens",
         "Größe und Maß; naïve café, 12345 and 67890!"]
OTHERS = ["zebras quietly queue beside the quays, jumping over extra boxes",
          "the wizard quickly jinxed the gnomes before they vaporized",
          "sphinxes of black quartz judge my vow, zigzagging by jukeboxes"]
CHAT = [AddedToken("<|im_start|>", special=True, normalized=False),
        AddedToken("<|im_end|>", special=True, normalized=False)]
# One of each flag.
FLAGS = [AddedToken("<tool>", special=False, normalized=False),
         AddedToken("[wide]", special=False, lstrip=True, rstrip=True, normalized=True),
         AddedToken("WORD", special=False, single_word=True, normalized=False)]


def byte_level(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    # As for most models of this kind: special tokens stand behind the vocabulary.
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                  for t in ("<unk>", "<s>", "</s>", "<|endoftext|>")])
    return tokenizer


def byte_fallback(texts, size):
    """As LlamaTokenizer makes it of a tokenizer.json."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    learnt.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size - 259,
                                                          show_progress=False))
    model = json.loads(learnt.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    names += sorted(model["vocab"], key=model["vocab"].get)
    tokenizer = Tokenizer(models.BPE(
        vocab={name: i for i, name in enumerate(names)},
        merges=[tuple(merge) for merge in model["merges"]], unk_token="<unk>", fuse_unk=True,
        byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                  for t in names[:3]])
    return tokenizer


def unigram(texts, size):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=min(size, 90), show_progress=False, unk_token="<unk>",
        special_tokens=["<unk>", "<s>", "</s>"]))
    return tokenizer


def word_piece(texts, size):
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=min(size, 150), show_progress=False, special_tokens=["<unk>", "<s>", "</s>"]))
    return tokenizer


KINDS = {"byte_level": byte_level, "byte_fallback": byte_fallback, "unigram": unigram,
         "word_piece": word_piece}


def copy(tokenizer):
    return Tokenizer.from_str(tokenizer.to_str())


def with_added(tokenizer, tokens):
    more = copy(tokenizer)
    for token in tokens:
        (more.add_special_tokens if token.special else more.add_tokens)([token])
    return more


def save(tokenizer, folder, style="plain", cls="PreTrainedTokenizerFast", files=()):
    """The tokenizer as version 4 of transformers saved it ("decoder": with added_tokens_decoder),
    or as older and newer ones do ("plain")."""
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    settings = {"tokenizer_class": cls, "unk_token": "<unk>", "bos_token": "<s>",
                "eos_token": "</s>", "clean_up_tokenization_spaces": False,
                "model_max_length": 1000000000000000019884624838656}
    if style == "decoder":
        added = tokenizer.get_added_tokens_decoder()
        settings["added_tokens_decoder"] = {
            str(number): {"content": token.content, "lstrip": token.lstrip,
                          "normalized": token.normalized, "rstrip": token.rstrip,
                          "single_word": token.single_word, "special": token.special}
            for number, token in sorted(added.items())}
    tiny_chat_models.write_json(folder, "tokenizer_config.json", settings)
    for name in files:
        with open(os.path.join(folder, name), "wb") as f:
            f.write(b"not one that anybody can read")


def save_model(tokenizer, folder, seed, rows=None, **style):
    rows = rows or tokenizer.get_vocab_size()
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tiny_chat_models.shapes().items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            shape = (rows, shape[1])
        tensors[name] = ("F32", random.standard_normal(shape) * 0.02)
    hidden = tiny_chat_models.HIDDEN
    stio.save(folder, tensors, config={
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "num_hidden_layers": tiny_chat_models.LAYERS, "intermediate_size": 2 * hidden,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": rows,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "max_position_embeddings": 64,
        "tie_word_embeddings": False, "torch_dtype": "float32"})
    save(tokenizer, folder, **style)


class TokenizerUnionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="tokenizers-")
        # Enough of the second's texts are unlike the first's to bring tokens of their own.
        cls.made = {kind: (make(TEXTS, 330), make(OTHERS + TEXTS[:1], 330))
                    for kind, make in KINDS.items()}
        cls.count = itertools.count()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def merge(self, tokenizers, rows=None, files=(), fails=False, **style):
        """Folders of the models, the first of which is the base, and of their merge."""
        top = os.path.join(self.dir, str(next(self.count)))
        folders = [os.path.join(top, "m%d" % i) for i in range(len(tokenizers))]
        for i, (tokenizer, folder) in enumerate(zip(tokenizers, folders)):
            save_model(tokenizer, folder, i, rows=rows[i] if rows else None,
                       files=files if i == 0 else (), **style)
        recipe = os.path.join(top, "recipe.yaml")
        with open(recipe, "w", encoding="utf-8") as f:
            json.dump({"merge_method": "task_arithmetic", "base_model": folders[0],
                       "models": [{"model": m, "parameters": {"weight": 0.5}}
                                  for m in folders[1:]],
                       "tokenizer_source": "union"}, f)
        output = os.path.join(top, "out")
        done = subprocess.run([BIN, "merge", recipe, output], capture_output=True, text=True,
                              check=False)
        self.said = done.stdout + done.stderr
        self.assertEqual(done.returncode != 0, fails, self.said)
        return folders, output

    def load(self, folder):
        return transformers.AutoTokenizer.from_pretrained(folder)

    def assertUnites(self, folders, output):
        """Every old token has its number, every new one has one of its own, in order."""
        first, united = self.load(folders[0]), self.load(output)
        old, now = first.get_vocab(), united.get_vocab()
        self.assertEqual({token: now.get(token) for token in old}, old)
        expected = []
        for folder in folders[1:]:
            vocab = self.load(folder).get_vocab()
            expected += [token for token in sorted(vocab, key=vocab.get)
                         if token not in old and token not in expected]
        new = sorted((set(now) - set(old)), key=now.get)
        self.assertEqual(new, expected)
        start = max(old.values()) + 1
        self.assertEqual([now[token] for token in new], list(range(start, start + len(new))))
        # The library alone, which other programs use, says the same.
        alone = Tokenizer.from_file(os.path.join(output, "tokenizer.json"))
        self.assertEqual(alone.get_vocab(with_added_tokens=True), now)
        with open(os.path.join(output, "config.json"), encoding="utf-8") as f:
            rows = json.load(f)["vocab_size"]
        self.assertGreaterEqual(rows, len(united))
        self.assertEqual(stio.Checkpoint(output).tensors["model.embed_tokens.weight"].shape[0],
                         rows)
        return first, united, new

    def assertAddedTokensWork(self, united, tokens):
        for token in tokens:
            number = united.convert_tokens_to_ids(token.content)
            for text in (token.content, "the " + token.content + " rows"):
                ids = united.encode(text, add_special_tokens=False)
                self.assertEqual(ids.count(number), 1, (token, text, ids))
            self.assertEqual(united.encode(token.content, add_special_tokens=False)[-1], number)
            self.assertEqual(united.decode([number]).strip(), token.content)
            self.assertEqual(united.decode([number], skip_special_tokens=True).strip(),
                             "" if token.special else token.content)
            now = united.added_tokens_decoder[number]
            self.assertEqual((now.special, now.lstrip, now.rstrip, now.single_word,
                              now.normalized),
                             (token.special, token.lstrip, token.rstrip, token.single_word,
                              token.normalized), token)

    def assertEncodesAsBefore(self, first, united, texts):
        for text in texts:
            self.assertEqual(united.encode(text), first.encode(text), text)
            self.assertEqual(united.decode(united.encode(text)), first.decode(first.encode(text)))

    def test_added_tokens_of_every_kind(self):
        for kind, (base, _) in self.made.items():
            for style in ("plain", "decoder"):
                with self.subTest(kind=kind, style=style):
                    folders, output = self.merge(
                        [base, with_added(base, CHAT), with_added(base, FLAGS + CHAT[:1])],
                        style=style)
                    first, united, new = self.assertUnites(folders, output)
                    self.assertEqual(new, [t.content for t in CHAT + FLAGS])
                    self.assertAddedTokensWork(united, CHAT + FLAGS)
                    self.assertEncodesAsBefore(first, united, TEXTS + OTHERS)

    def test_the_first_has_added_tokens_of_its_own(self):
        for kind, (base, _) in self.made.items():
            with self.subTest(kind=kind):
                folders, output = self.merge(
                    [with_added(base, FLAGS[:1]), with_added(base, CHAT)], style="decoder")
                first, united, new = self.assertUnites(folders, output)
                self.assertEqual(new, [t.content for t in CHAT])
                self.assertAddedTokensWork(united, CHAT + FLAGS[:1])
                self.assertEncodesAsBefore(first, united, TEXTS + OTHERS)

    def test_plain_tokens_of_every_kind(self):
        for kind, (base, other) in self.made.items():
            for style in ("plain", "decoder"):
                with self.subTest(kind=kind, style=style):
                    folders, output = self.merge(
                        [with_added(base, FLAGS[:1]), with_added(other, CHAT)], style=style,
                        files=("tokenizer.model", "vocab.json"))
                    first, united, new = self.assertUnites(folders, output)
                    self.assertGreater(len(new), 10)
                    self.assertAddedTokensWork(united, CHAT + FLAGS[:1])
                    self.assertIn("may be split otherwise", self.said)
                    for name in ("tokenizer.model", "vocab.json"):
                        self.assertFalse(os.path.exists(os.path.join(output, name)))
                    # The second's texts are made of its own tokens now.
                    used = {i for text in OTHERS for i in united.encode(text)}
                    plain = {united.convert_tokens_to_ids(t) for t in new
                             if t not in [c.content for c in CHAT]}
                    self.assertGreater(len(used & plain), 5)
                    for text in TEXTS + OTHERS:
                        if kind != "word_piece":  # which lower-cases, and knows few characters
                            self.assertEqual(united.decode(united.encode(text)).strip(),
                                             other.normalizer.normalize_str(text)
                                             if kind == "unigram" else text)
                    # Where nothing of a text is a new token, it is split as before.
                    spelled = [first.convert_tokens_to_string([t]).strip(" #▁") for t in new]
                    same = [word for text in TEXTS for word in text.split()
                            if not any(s and s in word.lower() for s in spelled)]
                    self.assertGreater(len(same), 5)
                    self.assertEncodesAsBefore(first, united, same)

    def test_three_models_bring_plain_and_added_tokens(self):
        for kind, make in KINDS.items():
            with self.subTest(kind=kind):
                base, other = self.made[kind]
                third = make(["yellow yaks yawn", "quartz quays", "pumpkin pie"] + TEXTS[:2], 330)
                folders, output = self.merge([base, with_added(other, CHAT),
                                              with_added(third, FLAGS)])
                _, united, _ = self.assertUnites(folders, output)
                self.assertAddedTokensWork(united, CHAT + FLAGS)

    def test_classes_that_make_the_tokenizer_anew(self):
        """LlamaTokenizer and Qwen2Tokenizer take vocabulary and merges out of tokenizer.json, and
        added tokens from tokenizer_config.json."""
        for kind, cls in (("byte_fallback", "LlamaTokenizer"), ("byte_level", "Qwen2Tokenizer")):
            base, other = self.made[kind]
            for others in ([with_added(base, CHAT)], [with_added(other, CHAT)]):
                with self.subTest(cls=cls, plain=others[0].get_vocab_size()):
                    folders, output = self.merge([with_added(base, FLAGS[:1])] + others,
                                                 style="decoder", cls=cls)
                    _, united, _ = self.assertUnites(folders, output)
                    self.assertAddedTokensWork(united, CHAT + FLAGS[:1])

    def test_slow_files_beside_added_tokens(self):
        base = self.made["byte_fallback"][0]
        folders, output = self.merge([base, with_added(base, CHAT)], files=("tokenizer.model",))
        self.assertUnites(folders, output)
        self.assertTrue(os.path.exists(os.path.join(output, "tokenizer.model")))
        with open(os.path.join(output, "added_tokens.json"), encoding="utf-8") as f:
            added = json.load(f)
        size = base.get_vocab_size()
        self.assertEqual(added, {"<|im_start|>": size, "<|im_end|>": size + 1})

    def test_special_tokens_that_only_the_settings_have(self):
        base = self.made["byte_level"][0]
        top = os.path.join(self.dir, "settings")
        for name, tokenizer in (("m0", base), ("m1", with_added(base, CHAT))):
            folder = os.path.join(top, name)
            save_model(tokenizer, folder, 1, rows=base.get_vocab_size() + 4)
            path = os.path.join(folder, "tokenizer_config.json")
            with open(path, encoding="utf-8") as f:
                settings = json.load(f)
            settings["pad_token"] = "[PAD]" if name == "m0" else "<|im_end|>"
            tiny_chat_models.write_json(folder, "tokenizer_config.json", settings)
        recipe = os.path.join(top, "recipe.yaml")
        with open(recipe, "w", encoding="utf-8") as f:
            json.dump({"merge_method": "linear", "tokenizer_source": "union",
                       "models": [{"model": os.path.join(top, name),
                                   "parameters": {"weight": 0.5}} for name in ("m0", "m1")]}, f)
        output = os.path.join(top, "out")
        done = subprocess.run([BIN, "merge", recipe, output], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        first, united, new = self.assertUnites(
            [os.path.join(top, "m0"), os.path.join(top, "m1")], output)
        self.assertEqual(new, [t.content for t in CHAT])
        self.assertEqual(united.pad_token_id, first.pad_token_id)

    def test_rows_beyond_the_tokens_and_tokens_beyond_the_rows(self):
        """Padded embeddings keep their rows, which mergekit cuts off; and a token without a row, on
        which it fails, is a token like others."""
        base = self.made["byte_level"][0]
        size = base.get_vocab_size()
        folders, output = self.merge([base, with_added(base, CHAT)], rows=[size + 60, size + 60])
        self.assertUnites(folders, output)
        self.assertGreaterEqual(stio.Checkpoint(output).tensors["lm_head.weight"].shape[0],
                                size + 60)
        folders, output = self.merge([with_added(base, FLAGS[:1]), with_added(base, CHAT)],
                                     rows=[size, size])
        _, united, _ = self.assertUnites(folders, output)
        self.assertAddedTokensWork(united, CHAT)
        self.assertIn("no row", self.said)

    def test_kinds_and_rules_that_do_not_go_together_are_refused(self):
        made = self.made
        for first, other in (("byte_level", "byte_fallback"), ("unigram", "word_piece")):
            with self.subTest(first=first, other=other):
                self.merge([made[first][0], made[other][1]], fails=True)
                self.assertIn("m1", self.said)
        lower = copy(made["byte_level"][1])
        lower.normalizer = normalizers.Lowercase()
        self.merge([made["byte_level"][0], lower], fails=True)
        self.assertIn("normalizer", self.said)


if __name__ == "__main__":
    unittest.main(verbosity=2)

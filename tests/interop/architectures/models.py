"""Tiny random models: a base and two experts on the disk, written as different people write them.

The base is bfloat16 in several files, one expert float32 in one, the other float16 in several, with a
config.json as an older transformers spells it (versions.py).
"""

import copy
import os
import zlib

import torch
import transformers

import families
import shrink
import versions

NOISE = 0.02
EXPERTS = ("one", "two")
# Above this a model is not tiny: the shrinker does not know its keys.
MOST_PARAMETERS = 400_000


def class_of(name):
    return getattr(transformers, name)


def build(name):
    """A small random model in float32. Raises what transformers raises, or ValueError for a large one."""
    cls = class_of(name)
    config = shrink.small(cls.config_class, families.CHANGES.get(name))
    with torch.device("meta"):
        count = sum(p.numel() for p in cls(copy.deepcopy(config)).parameters())
    if count > MOST_PARAMETERS:
        raise ValueError("the small configuration has %d parameters" % count)
    torch.manual_seed(zlib.crc32(name.encode()))
    model = cls(config).eval()
    for parameter in model.parameters():
        # Biases of 0 and norms of 1 would hide a tensor that is taken for another.
        parameter.data.add_(NOISE * torch.randn_like(parameter))
    return model


def save(model, folder):
    """Writes base and experts below `folder`; ({name: path}, how the last config is spelled)."""
    made = {}
    for name, dtype, size in (("base", torch.bfloat16, "40KB"), ("one", torch.float32, "1GB"),
                              ("two", torch.float16, "60KB")):
        one = copy.deepcopy(model)
        if name != "base":
            torch.manual_seed(zlib.crc32((type(model).__name__ + name).encode()))
            for parameter in one.parameters():
                if parameter.is_floating_point():
                    parameter.data.add_(NOISE * torch.randn_like(parameter))
        made[name] = os.path.join(folder, name)
        one.to(dtype).save_pretrained(made[name], max_shard_size=size)
    return made, versions.respell(type(model), made["two"])


def load(cls, folder):
    """(model in float32, {kind of key: sorted keys}) as from_pretrained gives them."""
    # Shapes that differ are told by name then, not raised.
    model, info = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True,
                                      ignore_mismatched_sizes=True)
    wrong = {kind: sorted(str(k) for k in info[kind])
             for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs") if info[kind]}
    return model.eval(), wrong

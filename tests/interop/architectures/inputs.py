"""Seeded inputs for one forward pass of a small model, and its answer."""

import inspect

import torch

import images
import shrink

BATCH, LENGTH = 2, 10
# Those that take pixels beside tokens and do not run without, whatever their signature says.
NEED_PIXELS = ("CLIPModel", "SiglipModel", "Siglip2Model")


def _ids(generator, *shape):
    return torch.randint(8, shrink.FIRST_SPECIAL - 1, shape, generator=generator)


def _vision_config(config):
    for key in ("vision_config", "image_config"):
        if hasattr(config, key):
            return getattr(config, key)
    return config


def _pixels(config, generator):
    vision = _vision_config(config)
    if hasattr(vision, "num_patches"):  # patches in rows, with no size of an image
        return torch.rand((BATCH, vision.num_patches, vision.num_channels * vision.patch_size ** 2),
                          generator=generator)
    size = getattr(vision, "image_size", 16)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return torch.rand((BATCH, getattr(vision, "num_channels", 3), height, width), generator=generator)


def inputs_of(model, seed=0):
    """Keyword arguments of `model`'s forward pass: tokens where it takes them, else pixels or sound."""
    generator = torch.Generator().manual_seed(seed)
    config, takes = model.config, inspect.signature(model.forward).parameters
    given = {}
    if "input_ids" in takes and model.main_input_name in ("input_ids", "pixel_values"):
        # One row of tokens a codebook.
        rows = BATCH * (config.num_codebooks if "Musicgen" in type(model).__name__ else 1)
        given["input_ids"] = _ids(generator, rows, LENGTH)
    pixels = takes.get("pixel_values")
    if pixels is not None and (model.main_input_name == "pixel_values" or pixels.default is pixels.empty
                               or type(model).__name__ in NEED_PIXELS):
        given["pixel_values"] = _pixels(config, generator)
    if "pixel_attention_mask" in takes and "spatial_shapes" in takes:
        side = int(_vision_config(config).num_patches ** 0.5)
        given["pixel_attention_mask"] = torch.ones((BATCH, side * side), dtype=torch.long)
        given["spatial_shapes"] = torch.tensor([[side, side]] * BATCH)
    if model.main_input_name == "input_features":
        bins = getattr(config, "num_mel_bins", None) or config.audio_config.num_mel_bins
        given["input_features"] = torch.rand((BATCH, bins, 2 * config.max_source_positions),
                                             generator=generator)
    if model.main_input_name == "input_values":
        given["input_values"] = torch.rand((BATCH, 400), generator=generator)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        given["decoder_input_ids"] = _ids(generator, BATCH, LENGTH)
    if "use_cache" in takes:
        given["use_cache"] = False
    return given


def answer_of(model, given):
    """The first floating tensor that a forward pass gives: logits, or the last hidden state."""
    torch.manual_seed(0)  # some draw masks or routes even in evaluation
    with torch.no_grad():
        out = model(**given)
    for key in ("logits", "logits_per_image", "last_hidden_state"):
        found = getattr(out, key, None)
        if isinstance(found, torch.Tensor):
            return found.float()
    return next(v for v in out.to_tuple() if isinstance(v, torch.Tensor) and v.is_floating_point()).float()


def all_of(model):
    """Keyword arguments of every forward pass that answers are compared for: the text, and an image in it."""
    found = [inputs_of(model)]
    image = images.image_inputs(model, lambda given: answer_of(model, given))
    return found + [image] if image else found


def answer(model, seed=0):
    """The answer to `inputs_of`."""
    return answer_of(model, inputs_of(model, seed))

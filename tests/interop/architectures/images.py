"""Inputs with an image for models of images and text: pixels, and tokens that stand for them.

How pixels are laid out, and how many tokens an image takes, differs between families. The model's own
get_image_features() tells how many there are for a layout that it takes; a layout counts if the answer
changes with the pixels.
"""

import inspect

import torch

import shrink

LENGTH = 6


def _layouts(vision, generator):
    """Keyword arguments of get_image_features, one layout after the other."""
    channels = getattr(vision, "num_channels", None) or getattr(vision, "in_channels", None) or 3
    size, patch = getattr(vision, "image_size", 16), getattr(vision, "patch_size", 8)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    patch = patch if isinstance(patch, int) else patch[0]
    temporal = getattr(vision, "temporal_patch_size", None)
    if temporal or hasattr(vision, "spatial_merge_size"):
        side = 2 * getattr(vision, "spatial_merge_size", 2)
        columns = channels * (temporal or 1) * patch * patch
        yield {"pixel_values": torch.rand((side * side, columns), generator=generator),
               "image_grid_thw": torch.tensor([[1, side, side]])}
    pixels = torch.rand((1, channels, height, width), generator=generator)
    sizes = torch.tensor([[height, width]])
    yield {"pixel_values": pixels}
    yield {"pixel_values": pixels, "image_sizes": sizes}
    yield {"pixel_values": pixels[None]}
    # A whole image and two parts, as for a resolution of [size, 2 * size].
    yield {"pixel_values": pixels[None].repeat(1, 3, 1, 1, 1), "image_sizes": sizes}


def _rows(features):
    """How many tokens' worth of features there are."""
    features = getattr(features, "pooler_output", features)
    if isinstance(features, torch.Tensor):
        return features.reshape(-1, features.shape[-1]).shape[0]
    return sum(_rows(f) for f in features)


def _features_of(model):
    for owner in (model, getattr(model, "model", None)):
        if hasattr(owner, "get_image_features"):
            return owner.get_image_features
    return None


def image_inputs(model, answer_of, seed=1):
    """Keyword arguments of a forward pass with one image, or None where no layout above is the model's.

    `answer_of` maps keyword arguments to the model's answer."""
    config, features = model.config, _features_of(model)
    vision = getattr(config, "vision_config", None)
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if vision is None or features is None or not isinstance(token, int):
        return None
    takes = inspect.signature(model.forward).parameters
    generator = torch.Generator().manual_seed(seed)
    for given in _layouts(vision, generator):
        if not given.keys() <= takes.keys():
            continue
        try:
            with torch.no_grad():
                rows = _rows(features(**given))
            text = torch.randint(8, shrink.FIRST_SPECIAL - 1, (1, LENGTH), generator=generator)
            ids = torch.cat([text[:, :2], torch.full((1, rows), token), text[:, 2:]], 1)
            given = {"input_ids": ids, **given}
            if "mm_token_type_ids" in takes:
                given["mm_token_type_ids"] = (ids == token).long()
            if "use_cache" in takes:
                given["use_cache"] = False
            one = answer_of(given)
            other = answer_of({**given, "pixel_values": given["pixel_values"].flip(-1)})
        except Exception:  # pylint: disable=broad-except
            continue  # another family's layout
        if bool(torch.isfinite(one).all()) and not torch.equal(one, other):
            return given
    return None

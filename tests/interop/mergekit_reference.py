"""Runs the real mergekit on a recipe, and says with which parameters it merged each tensor.

mergekit plans a merge as tasks and executes them; its own command does what `merge` does here,
which `mergekit_test.py` checks. Needs mergekit (tests/interop/requirements.txt).
"""

import contextlib
import dataclasses
import io
import logging
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
import yaml  # noqa: E402
from mergekit import merge_methods  # noqa: E402
from mergekit.architecture import get_architecture_info  # noqa: E402
from mergekit.config import MergeConfiguration  # noqa: E402
from mergekit.graph import Executor  # noqa: E402
from mergekit.io.tasks import LoaderCache, SaveTensor  # noqa: E402
from mergekit.merge import _model_out_config  # noqa: E402
from mergekit.options import MergeOptions  # noqa: E402
from mergekit.plan import MergePlanner  # noqa: E402

import stio  # noqa: E402


@dataclasses.dataclass
class Source:
    """One model's tensor, and the parameters of that model for it."""

    folder: str
    tensor: str
    parameters: dict
    is_base: bool


@dataclasses.dataclass
class Merged:
    """One tensor of the output: mergekit's values in the dtype that it computed in."""

    values: object
    sources: list  # in mergekit's order
    parameters: dict  # those that all models share


def methods():
    return {m.spec.name for m in merge_methods.registered_methods()}


def _sources(task):
    merge = task.tensor_task
    weights = dict(merge.gather_tensors.weight_info.items())
    return [Source(folder=model.model.path, tensor=weights[model].name,
                   parameters=dict(merge.input_parameters[model].items()),
                   is_base=model == merge.base_model)
            for model in merge.model_order]


def merge(text, output):
    """Merges the recipe `text` into the folder `output`. Returns {tensor name: Merged}."""
    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    # ramplus_tl divides counts, which gives torch's default dtype and not the recipe's.
    torch.set_default_dtype(getattr(torch, config.dtype))
    options = MergeOptions(quiet=True)
    cache = LoaderCache()
    cache.setup(options=options)
    # transformers greets every config with a warning about its own keys.
    with contextlib.redirect_stderr(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            architecture = get_architecture_info(config, options)
            planner = MergePlanner(config, architecture, options=options,
                                   out_model_config=_model_out_config(config, architecture))
            tasks = planner.plan_to_disk(output)
            for _ in Executor(tasks, math_device="cpu", storage_device="cpu").run(quiet=True):
                pass
        finally:
            logging.disable(logging.NOTSET)
    written = stio.Checkpoint(output)
    merged = {}
    for task in tasks:
        if isinstance(task, SaveTensor) and task.tensor_name in written.tensors:
            merged[task.tensor_name] = Merged(
                values=written.values(task.tensor_name), sources=_sources(task),
                parameters=dict(task.tensor_task.parameters.items()))
    if set(merged) != set(written.tensors):
        raise AssertionError("mergekit wrote other tensors than it planned")
    return merged


def use_threads(count):
    torch.set_num_threads(count)

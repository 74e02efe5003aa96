"""Layers of two models stacked: the output must load, and each layer be what it was where it came from.

A configuration says what its layers are by lists with an entry a layer, by numbers of layers, by
periods. Of every layer of the output its weights, and every plain attribute of its modules (kind of
attention, window, rotary or not, ...), are held against those of the layer that it was taken from, and so
is every list of the configuration with an entry a layer. Where a configuration cannot say it, the plan
has to refuse or to warn and to name the key.
"""

import os
import re
import shutil

import torch

import inputs
import models
import recipes
import versions

# Of four layers each: 0, 1, 2, 2, 3, which no period of 2 or more repeats.
STACK = (("base", 0, 3), ("one", 2, 4))
LAYERS = 4
LEAST = 30

# Those whose configuration depends on the number of layers, plain ones, and some with two stacks.
NAMES = (
    "AfmoeForCausalLM ApertusForCausalLM AXK1ForCausalLM AXK2ForCausalLM BailingHybridForCausalLM "
    "BambaForCausalLM BeamForCausalLM BertForMaskedLM BloomForCausalLM Cohere2ForCausalLM "
    "Cohere2MoeForCausalLM CwmForCausalLM DbrxForCausalLM DebertaV2ForMaskedLM DeepseekV2ForCausalLM "
    "DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekV4ForCausalLM Dots1ForCausalLM "
    "Ernie4_5_MoeForCausalLM Exaone4ForCausalLM ExaoneMoeForCausalLM FalconH1ForCausalLM FlintForCausalLM "
    "Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3nForCausalLM "
    "Gemma4ForCausalLM GemmaForCausalLM Glm4MoeForCausalLM Glm4MoeLiteForCausalLM GlmMoeDsaForCausalLM "
    "GPT2LMHeadModel GPTNeoForCausalLM GPTNeoXForCausalLM GptOssForCausalLM GraniteMoeHybridForCausalLM "
    "GraniteMoeSWAForCausalLM GraniteSWAForCausalLM HunYuanMoEV1ForCausalLM HYV3ForCausalLM "
    "HYV4ForCausalLM Inkling2ForCausalLM InklingForCausalLM JambaForCausalLM KimiLinearForCausalLM "
    "Kolibri1ForCausalLM LagunaForCausalLM LaraMiniForCausalLM Lfm2ForCausalLM Lfm2MoeForCausalLM "
    "Lfm3ForCausalLM Llama4ForCausalLM LlamaForCausalLM Mamba2ForCausalLM MambaForCausalLM "
    "MellumForCausalLM MiMoV2FlashForCausalLM MiniMaxForCausalLM MiniMaxM2ForCausalLM "
    "MiniMaxM3VLForCausalLM MistralForCausalLM MixtralForCausalLM MllamaForConditionalGeneration "
    "ModernBertDecoderForCausalLM ModernBertForMaskedLM NemotronHForCausalLM Olmo3ForCausalLM "
    "OlmoeForCausalLM OlmoHybridForCausalLM OPTForCausalLM Phi3ForCausalLM PhimoeForCausalLM "
    "Qwen2_5_VLForConditionalGeneration Qwen2ForCausalLM Qwen2MoeForCausalLM Qwen3_5ForCausalLM "
    "Qwen3_5ForConditionalGeneration Qwen3_5MoeForCausalLM Qwen3ForCausalLM Qwen3MoeForCausalLM "
    "Qwen3NextForCausalLM Qwen4ExpForCausalLM RecurrentGemmaForCausalLM ReformerModelWithLMHead "
    "RobertaForMaskedLM RwkvForCausalLM SmolLM3ForCausalLM StableLmForCausalLM Starcoder2ForCausalLM "
    "T5ForConditionalGeneration VaultGemmaForCausalLM ViTForImageClassification "
    "WhisperForConditionalGeneration Zamba2ForCausalLM ZambaForCausalLM ZayaForCausalLM "
).split()

_PLAIN = (bool, int, float, str, type(None))
# What a layer's place in the stack is called, and how many there are.
_PLACE = re.compile(r".*_(idx|id|index|number)|idx|num_hidden_layers|training|.*hook.*|_.*")
# A warning of the plan that names a key of config.json which speaks of layers.
_NAMES_KEY = re.compile(r"key '[^']+'|config\.json: [a-z_]+ ")


def recipe(made):
    return {"merge_method": "passthrough", "out_dtype": "float32", "slices": [
        {"sources": [{"model": made[name], "layer_range": [first, end]}]} for name, first, end in STACK]}


def stack_of(model, count):
    """The list of `count` layers that has most parameters, and its name."""
    found = [(sum(p.numel() for p in m.parameters()), name, m) for name, m in model.named_modules()
             if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    return max(found)[1:] if found else (None, None)


def _traits(layer):
    """{module.attribute: value} of a layer, but for its place."""
    traits = {}
    for name, module in layer.named_modules():
        traits[name] = type(module).__name__
        for key, value in vars(module).items():
            if isinstance(value, _PLAIN) and not _PLACE.fullmatch(key):
                traits["%s.%s" % (name, key)] = value
    return traits


def _first_difference(ours, theirs):
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            return "%s is %r, where it came from %r" % (key, ours.get(key), theirs.get(key))
    return ""


def _config_lists(config):
    return {k: v for k, v in config.to_dict().items() if isinstance(v, list) and len(v) == LAYERS
            and k not in ("architectures",)}


def differences(output, sources):
    """What of the loaded output is not what its sources have, as lines."""
    name, _ = stack_of(sources["base"], LAYERS)
    layers = output.get_submodule(name)
    origins = [(model, i) for model, first, end in STACK for i in range(first, end)]
    if len(layers) != len(origins):
        return ["%s has %d layers of %d" % (name, len(layers), len(origins))]
    wrong = []
    for place, (model, i) in enumerate(origins):
        theirs = sources[model].get_submodule(name)[i]
        told = _first_difference(_traits(layers[place]), _traits(theirs))
        if told:
            wrong.append("layer %d, %d of %s: %s" % (place, i, model, told))
            continue
        for key, value in theirs.state_dict().items():
            if not torch.equal(value, layers[place].state_dict()[key]):
                wrong.append("layer %d, %d of %s: %s differs" % (place, i, model, key))
                break
    ours = output.config.to_dict()
    for key, value in _config_lists(sources["base"].config).items():
        of = {model: sources[model].config.to_dict()[key] for model in sources}
        expected = [of[model][i] for model, i in origins]
        # A list of another kind may have this length by chance: it is as it was.
        if ours.get(key) not in (expected, value if not isinstance(value[0], str) else expected):
            wrong.append("config %s is %s, of its layers %s" % (key, ours.get(key), expected))
    return wrong


def _stacked(cls, made, folder, sources):
    """(word for the table, remarks, failures) of the stack of the models in `made`."""
    path = recipes.write(os.path.join(folder, "slices.json"), recipe(made))
    wrong, warnings = recipes.plan(path)
    if wrong:
        return "refused", [wrong], []
    warned = [w for w in warnings if _NAMES_KEY.search(w)]
    output = os.path.join(folder, "sliced")
    wrong = recipes.merge(path, output)
    if wrong:
        return "no", warned, [wrong]
    try:
        stacked, keys = models.load(cls, output)
        found = [str(keys)] if keys else differences(stacked, sources)
        if not found and not bool(torch.isfinite(inputs.answer(stacked)).all()):
            found = ["answers that are not finite"]
    except Exception as error:  # pylint: disable=broad-except
        found = [repr(error)]
    shutil.rmtree(output)
    if not found:
        return "yes", warned, []
    return ("warned", warned, []) if warned else ("no", [], found[:3])


def check(outcome, cls, made, folder):
    """Words for the table, "yes", "warned", "refused" or "no": as saved, and as older versions spell it."""
    sources = {name: models.load(cls, made[name])[0] for name in ("base", "one")}
    if stack_of(sources["base"], LAYERS)[0] is None:
        outcome.fail("slices", "the test knows no stack of %d layers in it" % LAYERS)
        return ["no"]
    words = []
    for spelling in ("", "older"):
        if spelling:
            if [versions.respell(cls, made[name]) for name in sources] != ["older"] * len(sources):
                break
            if cls.__name__ not in versions.OLDER:
                break
        word, remarks, failures = _stacked(cls, made, folder, sources)
        what = "slices" + (", older spelling" if spelling else "")
        outcome.remarks += ["%s: %s" % (what, r) for r in remarks]
        for line in failures:
            outcome.fail(what, line)
        words.append(word)
    return words

"""Plans of healthy models warn of nothing but what is so, and are refused for nothing but what is right.

Base and experts here are of one family and come from one tool: a warning is right where a method has
nothing else to do, or where the class says that tensors are one that it then trains apart. All others
are false alarms, and failures.
"""

import re

# What a method says of tensors that its formulas are not made for.
_METHODS = re.compile(r"tensor \S+: mean of the experts: |.*mean of the experts")

# Classes whose config says that two tensors are one (tie_word_embeddings, a shared bias) and which do not
# tie them: base and experts really hold two.
UNTIED = {
    "BigBirdPegasusForCausalLM": "its class does not tie the head that its config says is tied: two are "
                                "stored, and merged",
    "ReformerModelWithLMHead": "its class stores two biases of the head, and uses one: both are merged",
}


# Models that are refused, and rightly so: {class: (what the message says, why)}.
_WEIGHT_NORM = ("is part of a parametrization such as weight norm",
                "refused: direction and length of its weight norm are no weights to merge one by one")
REFUSED = {"HubertModel": _WEIGHT_NORM, "Wav2Vec2ForCTC": _WEIGHT_NORM, "WavLMModel": _WEIGHT_NORM}


def judge(outcome):
    """Turns false alarms of the plans into failures, what is right into remarks."""
    fallbacks = set()
    for warning, methods in outcome.warnings.items():
        if _METHODS.match(warning):
            fallbacks.add(warning)
        elif outcome.name in UNTIED and " other values than " in warning:
            if UNTIED[outcome.name] not in outcome.remarks:
                outcome.remarks.append(UNTIED[outcome.name])
        else:
            outcome.fail("plan " + ", ".join(methods), "warns: " + warning)
    if fallbacks:
        outcome.remarks.append("resmerge: mean of %d tensor%s" % (
            len(fallbacks), "s" if len(fallbacks) > 1 else ""))
    if outcome.name in REFUSED:
        message, reason = REFUSED[outcome.name]
        right = [f for f in outcome.failures if f[0].startswith("plan ") and message in f[1]]
        outcome.failures = [f for f in outcome.failures if f not in right]
        if right:
            outcome.remarks.append(reason)
        else:
            outcome.fail("plan", "is not refused, and stands in alarms.REFUSED")

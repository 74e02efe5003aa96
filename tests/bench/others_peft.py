"""The mean of base with each of several adapters, by PEFT: others_peft.py BASE OUTPUT THREADS LORA..."""

import sys

import torch
import transformers
from peft import PeftModel


def main():
    base, output, threads, *adapters = sys.argv[1:]
    torch.set_num_threads(int(threads))
    total = None
    for adapter in adapters:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        if total is None:
            total, kept = {n: t.float() for n, t in model.state_dict().items()}, model
        else:
            for name, tensor in model.state_dict().items():
                total[name] += tensor
    kept.load_state_dict({n: (t / len(adapters)).to(torch.bfloat16) for n, t in total.items()})
    kept.save_pretrained(output)


if __name__ == "__main__":
    main()

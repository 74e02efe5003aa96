#include "common/checkpoint/folder_kinds.h"

#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/checkpoint/refusals.h"

namespace merganser {
namespace {

template <typename Which>
std::vector<std::string> Those(const std::vector<std::string>& names, const Which& which) {
  std::vector<std::string> out;
  std::copy_if(names.begin(), names.end(), std::back_inserter(out), which);
  return out;
}

bool Contains(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

std::optional<std::string> Distributed(const Folder& folder, const std::string& path) {
  const auto shard = [](std::string_view name) { return name.ends_with(".distcp"); };
  const std::vector<std::string> shards = Those(folder.files, shard);
  const bool megatron =
      Has(folder.files, "common.pt") ||
      std::any_of(folder.folders.begin(), folder.folders.end(), [](std::string_view name) {
        return name.starts_with("mp_rank_") || name.starts_with("tp_rank_");
      });
  if (megatron) {
    return absl::StrCat(
        "found a checkpoint of Megatron (",
        shards.empty() ? "a folder for each rank, or 'common.pt'" : FirstFew(shards),
        "), expected safetensors weights: export it with the program that trained it, e.g. "
        "Megatron Bridge's AutoBridge.from_hf_pretrained(BASE).export_ckpt('",
        path, "', 'OUT'), and name OUT");
  }
  std::string sharded = path;
  std::string found = FirstFew(shards);
  if (shards.empty()) {
    const std::vector<std::string> fsdp = Those(folder.folders, [](std::string_view name) {
      return name.starts_with("pytorch_model_fsdp") || name.starts_with("fsdp_model");
    });
    if (!fsdp.empty()) {
      sharded = absl::StrCat(path, "/", fsdp.front());
      found = FirstFew(fsdp);
    }
  }
  if (!found.empty()) {
    return absl::StrCat(
        "found a sharded state of FSDP or torch.distributed.checkpoint (", found,
        "), expected safetensors weights: put it together with: accelerate merge-weights ", sharded,
        " OUT (or python -m torch.distributed.checkpoint.format_utils dcp_to_torch, and save the "
        "result with safetensors), copy config.json and the tokenizer there, and name OUT");
  }
  const std::vector<std::string> ranks = Those(folder.files, [](std::string_view name) {
    const size_t rank = name.find("rank");
    return rank != std::string_view::npos && !name.starts_with("rng_state") &&
           !Contains(name, "optim") && !Contains(name, "extra_state") &&
           name.find_first_of("0123456789", rank) != std::string_view::npos &&
           (name.ends_with(".pt") || name.ends_with(".bin") || name.ends_with(".pth"));
  });
  if (ranks.empty()) return std::nullopt;
  return absl::StrCat("found shards of a distributed training, one for each rank (",
                      FirstFew(ranks),
                      "), expected safetensors weights: put them together with the program that "
                      "trained it, and save the whole model with save_pretrained");
}

}  // namespace

// "checkpoint-300": the number behind what trainers call the states of a run.
std::optional<uint64_t> NumberOf(std::string_view name) {
  for (const std::string_view stem : {"checkpoint", "ckpt", "global_step", "step", "epoch", "iter",
                                      "iteration", "save", "samples"}) {
    if (!name.starts_with(stem)) continue;
    std::string_view rest = name.substr(stem.size());
    if (rest.starts_with('-') || rest.starts_with('_')) rest.remove_prefix(1);
    uint64_t number = 0;
    if (absl::SimpleAtoi(std::string(rest), &number)) return number;
  }
  return std::nullopt;
}

std::optional<std::string> ShardsAdvice(const Folder& folder, const std::string& path) {
  const std::vector<std::string> verl = Those(folder.files, [](std::string_view name) {
    return name.starts_with("model_world_size_") && name.ends_with(".pt");
  });
  if (!verl.empty() || Has(folder.folders, "dist_ckpt")) {
    return absl::StrCat(
        verl.empty() ? std::string("found a distributed checkpoint of Megatron as verl leaves it "
                                   "('dist_ckpt')")
                     : absl::StrCat("found FSDP shards as verl leaves them (", FirstFew(verl), ")"),
        ", expected safetensors weights: put them together with: python -m verl.model_merger "
        "merge --backend ",
        verl.empty() ? "megatron" : "fsdp", " --local_dir ", path,
        " --target_dir OUT, and name OUT");
  }
  const std::vector<std::string> states = Those(folder.files, [](std::string_view name) {
    return name.ends_with("_model_states.pt") || name.ends_with("_optim_states.pt");
  });
  // Where the script was run already, what it made counts.
  const bool converted =
      Has(folder.files, "pytorch_model.bin") || Has(folder.files, "pytorch_model.bin.index.json");
  const bool script = Has(folder.files, "zero_to_fp32.py");
  const bool steps = std::any_of(
      folder.folders.begin(), folder.folders.end(),
      [](std::string_view name) { return name.starts_with("global_step") && NumberOf(name); });
  if (!states.empty() || (!converted && (script || (steps && Has(folder.files, "latest"))))) {
    const std::string whole = states.empty() ? path : absl::StrCat(path, "/..");
    return absl::StrCat("found a checkpoint of DeepSpeed (",
                        !states.empty() ? FirstFew(states)
                        : script        ? "'zero_to_fp32.py'"
                                        : "'latest'",
                        "), expected safetensors weights: put it together with: python ",
                        script ? absl::StrCat(path, "/zero_to_fp32.py")
                               : std::string("-m deepspeed.utils.zero_to_fp32"),
                        " ", whole,
                        " OUT --safe_serialization, copy config.json and the tokenizer there, and "
                        "name OUT");
  }
  return Distributed(folder, path);
}

std::optional<std::string> OtherFormatsAdvice(const Folder& folder) {
  std::vector<std::string> adapters, pickles, ggufs, frameworks, archives;
  for (const std::string& file : folder.files) {
    const auto ends = [&](const std::vector<std::string_view>& endings) {
      return std::any_of(endings.begin(), endings.end(),
                         [&](std::string_view ending) { return file.ends_with(ending); });
    };
    if (IsAdapterFile(file)) {
      adapters.push_back(file);
    } else if (ends({".bin", ".pt", ".pth", ".ckpt"})) {
      // The trainer's own state is pickled as well, and is no model.
      if (file != "training_args.bin" && file != "optimizer.pt" && file != "optimizer.bin" &&
          file != "scheduler.pt" && file != "scheduler.bin" && file != "scaler.pt" &&
          file != "data.pt" && !file.starts_with("rng_state") &&
          !file.starts_with("random_states")) {
        pickles.push_back(file);
      }
    } else if (ends({".gguf"})) {
      ggufs.push_back(file);
    } else if (ends({".h5", ".msgpack", ".ckpt.index", ".keras"})) {
      frameworks.push_back(file);
    } else if (ends({".nemo", ".onnx", ".pdparams", ".npz", ".tflite", ".ot"})) {
      archives.push_back(file);
    }
  }
  if (!adapters.empty()) {
    return absl::StrCat("found only an adapter (", FirstFew(adapters),
                        "), expected the weights of a model: in a recipe name its folder as "
                        "MODEL+ADAPTER, or alone beside a base_model, with both "
                        "adapter_config.json and adapter_model.safetensors in it; elsewhere merge "
                        "the adapter into its base first, e.g. with peft's merge_and_unload() and "
                        "save_pretrained(...)");
  }
  if (!pickles.empty()) {
    const bool original = std::any_of(pickles.begin(), pickles.end(), [](std::string_view name) {
      return name.starts_with("consolidated.");
    });
    return absl::StrCat(
        "found only pickle weights (", FirstFew(pickles), "): convert them to safetensors, e.g. ",
        original ? "with transformers' script of that model (convert_llama_weights_to_hf.py)"
                 : "with transformers' save_pretrained(..., safe_serialization=True)");
  }
  if (!ggufs.empty()) {
    return absl::StrCat("found only GGUF weights (", FirstFew(ggufs),
                        "): use the checkpoint in safetensors that they were made from");
  }
  if (!frameworks.empty()) {
    return absl::StrCat(
        "found only weights of TensorFlow or Flax (", FirstFew(frameworks),
        "): convert them to safetensors: load them with transformers 4, from_pretrained(..., ",
        frameworks.front().ends_with(".msgpack") ? "from_flax=True" : "from_tf=True",
        "), and save them with save_pretrained(...)");
  }
  if (!archives.empty()) {
    return absl::StrCat("found only weights in another format (", FirstFew(archives),
                        "): export them as safetensors with the program that made them");
  }
  return std::nullopt;
}

}  // namespace merganser

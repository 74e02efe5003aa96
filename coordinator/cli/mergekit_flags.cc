#include "coordinator/cli/mergekit_flags.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"

namespace merganser::cli {
namespace {

struct Flag {
  std::string_view name;  // without a leading "no-"
  bool needless;          // with "no-" too, unless `no` says otherwise
  bool takes_value;
  std::string_view about;    // why it is needless, or what to use instead
  std::string_view no = {};  // what to do instead of --no-NAME, where that is no needless one
};

constexpr std::string_view kCpu =
    "the merge is computed on the CPU, and --memory bounds what it takes";
constexpr std::string_view kAlways = "it is done always";
constexpr std::string_view kAdapter =
    "adapters are read as they are, and no model is merged with its adapter beforehand";
constexpr std::string_view kStages = "use --stages";

constexpr Flag kFlags[] = {
    {"--allow-crimes", true, false,
     "models are held against each other tensor by tensor, and those of another kind are refused"},
    {"--async-write", true, false, "writing goes on beside reading and computing always"},
    {"--clone-tensors", true, false, "a layer that occurs twice is written twice always"},
    {"--copy-tokenizer", true, false, kAlways,
     "the tokenizer is copied always; delete its files from the output"},
    {"--cuda", true, false, kCpu},
    {"--device", true, true, kCpu},
    {"--gpu-rich", true, false, kCpu},
    {"--lazy-unpickle", true, false, "pickle files are not read at all"},
    {"--low-cpu-memory", true, false, kCpu},
    {"--multi-gpu", true, false, kCpu},
    {"--read-to-gpu", true, false, kCpu},
    {"--safe-serialization", true, false, kAlways, "safetensors alone are written"},
    {"--trust-remote-code", true, false, "no code of models is run; *.py files are copied"},
    {"--write-model-card", true, false, kAlways,
     "a model card is written always; delete README.md from the output"},
    {"--write-threads", true, true, "writing goes on beside reading and computing always"},

    {"--intermediate-dir", false, true, kStages},
    {"-I", false, true, kStages},
    {"--lazy", true, false, "stages that are complete are not merged again",
     "use --overwrite to merge complete stages again"},
    {"--out-path", false, true, "give OUTPUT behind the recipe"},
    {"--lora-merge-cache", true, true, kAdapter},
    {"--lora-merge-dtype", false, true,
     "use the recipe's key lora_dtype for products of adapters that are rounded as PEFT does; "
     "leave "
     "it out for sums in float64 that are rounded once"},
    {"--num-threads", false, true, "use --threads"},
    {"-j", false, true, "use --threads"},
    {"--out-shard-size", false, true, "use the recipe's key max_shard_size, in bytes (5GB)"},
    {"--random-seed", false, true, "use the recipe's parameters: {seed: NUMBER}"},
    {"--transformers-cache", false, true, "use the environment variable HF_HUB_CACHE"},
    {"--quiet", false, false, "use --log-level error"},
    {"--verbose", false, false, "use --log-level debug"},
    {"-v", false, false, "use --log-level debug"},
};

const Flag* Find(std::string_view name) {
  const auto found = std::find_if(std::begin(kFlags), std::end(kFlags),
                                  [&](const Flag& flag) { return flag.name == name; });
  return found == std::end(kFlags) ? nullptr : &*found;
}

}  // namespace

absl::StatusOr<MergekitFlags> TakeMergekitFlags(std::span<char* const> arguments) {
  MergekitFlags taken;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--") {
      taken.rest.insert(taken.rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i),
                        arguments.end());
      break;
    }
    const size_t equals = argument.find('=');
    std::string name(argument.substr(0, equals));
    const bool no = name.starts_with("--no-");
    if (no) name.erase(2, 3);
    const Flag* flag = Find(name);
    if (flag == nullptr || (no && flag->takes_value)) {
      taken.rest.push_back(arguments[i]);
      continue;
    }
    const std::string shown = Shown(argument.substr(0, equals));
    if (!flag->needless || (no && !flag->no.empty())) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown, ": a flag of mergekit's, which is none here: ",
                       std::string(no && !flag->no.empty() ? flag->no : flag->about)));
    }
    taken.notes.push_back(
        absl::StrCat(shown, " is mergekit's and needless here: ", std::string(flag->about)));
    if (flag->takes_value && equals == std::string_view::npos && i + 1 < arguments.size()) ++i;
  }
  return taken;
}

}  // namespace merganser::cli

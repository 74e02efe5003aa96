#include "common/checkpoint/adapter_base.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace merganser {
namespace {

// Copies of a model that adapters are trained on and that are called after it.
constexpr std::string_view kCopies[] = {
    "-unsloth-bnb-4bit", "-bnb-4bit", "-bnb-8bit", "-4bit", "-8bit", "-bf16", "-fp8", "-fp16"};

// What folders of any model are called.
constexpr std::string_view kAnyModel[] = {
    "actor",    "base",       "base_model", "best",    "checkpoint",  "checkpoints", "ckpt",
    "data",     "export",     "final",      "hf",      "huggingface", "latest",      "llm",
    "main",     "merged",     "model",      "models",  "out",         "output",      "outputs",
    "policy",   "pretrained", "result",     "results", "save",        "saved",       "sft",
    "snapshot", "snapshots",  "student",    "teacher", "tmp",         "weights"};

// "Org/Name@commit", "/a/models--Org--Name/snapshots/0a1b", "s3://b/Name/" -> "name".
std::string LastName(std::string_view text) {
  const std::vector<std::string> parts =
      absl::StrSplit(std::string(text.substr(0, text.find('@'))), '/', absl::SkipEmpty());
  std::string_view name;
  for (const std::string_view part : parts) {
    if (part.starts_with("models--")) {
      const size_t dashes = part.rfind("--");
      return LastName(part.substr(dashes + 2));
    }
    name = part;
  }
  std::string out = absl::AsciiStrToLower(std::string(name));
  for (const std::string_view copy : kCopies) {
    if (out.size() > copy.size() && out.ends_with(copy)) {
      out.resize(out.size() - copy.size());
      break;
    }
  }
  return out;
}

// Letters and digits alone: "Llama-3.1_8B" is "llama318b".
std::string Core(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) out.push_back(c);
  }
  return out;
}

bool TellsNothing(std::string_view name) {
  if (name.size() < 3) return true;
  if (std::find(std::begin(kAnyModel), std::end(kAnyModel), name) != std::end(kAnyModel)) {
    return true;
  }
  const bool hex = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  if (hex && name.size() >= 7) return true;
  // "checkpoint-500", "global_step_7", "base2".
  const size_t end = name.find_last_not_of("0123456789");
  if (end == std::string_view::npos) return true;
  std::string_view stem = name.substr(0, end + 1);
  while (stem.ends_with('-') || stem.ends_with('_')) stem.remove_suffix(1);
  return stem == "global_step" || stem == "step" || stem == "epoch" || stem == "iter" ||
         (stem != name &&
          std::find(std::begin(kAnyModel), std::end(kAnyModel), stem) != std::end(kAnyModel));
}

}  // namespace

bool NamesAnotherBase(std::string_view named, std::string_view uri, std::string_view given) {
  const std::string trained = LastName(named);
  const std::string core = Core(trained);
  if (TellsNothing(trained) || core.empty()) return false;
  bool known = false;
  for (const std::string_view own : {uri, given}) {
    const std::string name = LastName(own);
    const std::string other = Core(name);
    if (other.find(core) != std::string::npos ||
        (!other.empty() && !TellsNothing(name) && core.find(other) != std::string::npos)) {
      return false;
    }
    known = known || !TellsNothing(name);
  }
  return known;
}

}  // namespace merganser

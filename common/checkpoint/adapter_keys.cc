#include "common/checkpoint/adapter_keys.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "common/checkpoint/name_patterns.h"

namespace merganser {
namespace {

using Parts = NameParts;

// What DistributedDataParallel, torch.compile, FSDP and activation checkpointing put into names.
constexpr std::string_view kWrappers[] = {"_orig_mod", "_fsdp_wrapped_module",
                                          "_checkpoint_wrapped_module"};

constexpr std::pair<std::string_view, AdapterRole> kRoles[] = {
    {"lora_A", AdapterRole::kA},
    {"lora_B", AdapterRole::kB},
    {"lora_embedding_A", AdapterRole::kEmbeddingA},
    {"lora_embedding_B", AdapterRole::kEmbeddingB},
    {"lora_magnitude_vector", AdapterRole::kMagnitude},
};

std::optional<AdapterRole> RoleOf(std::string_view part) {
  for (const auto& [name, role] : kRoles) {
    if (part == name) return role;
  }
  if (part.starts_with("lora_")) return AdapterRole::kUnknown;
  return std::nullopt;
}

Parts WithoutWrappers(std::string_view key) {
  Parts parts = SplitName(key);
  std::erase_if(parts, [](std::string_view part) {
    return std::find(std::begin(kWrappers), std::end(kWrappers), part) != std::end(kWrappers);
  });
  size_t begin = 0;
  const auto at = [&](size_t i) {
    return begin + i < parts.size() ? parts[begin + i] : std::string_view();
  };
  while (at(0) == "module") ++begin;
  // An adapter that was wrapped twice has it twice.
  while (at(0) == "base_model" && at(1) == "model") begin += 2;
  while (at(0) == "module") ++begin;
  parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(begin));
  return parts;
}

// The module in front of part `end`, less what PEFT put between: counts those at its end.
std::string Module(Parts parts, size_t end, size_t& depth) {
  parts.resize(end);
  while (!parts.empty() && parts.back() == "base_layer") {
    parts.pop_back();
    ++depth;
  }
  std::erase(parts, std::string_view("base_layer"));
  return JoinName(parts, 0, parts.size());
}

}  // namespace

AdapterKey ParseAdapterKey(std::string_view key) {
  const Parts parts = WithoutWrappers(key);
  AdapterKey out;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::optional<AdapterRole> role = RoleOf(parts[i]);
    if (role.has_value()) {
      out.role = *role;
      out.name = Module(parts, i, out.depth);
      size_t last = parts.size();
      const bool named = last > i + 1 && (parts.back() == "weight" || parts.back() == "bias");
      const bool bias = named && parts.back() == "bias";
      if (named) --last;
      if (last > i + 1) out.adapter = JoinName(parts, i + 1, last);
      if (bias) out.role = *role == AdapterRole::kB ? AdapterRole::kBiasB : AdapterRole::kUnknown;
      return out;
    }
    if (parts[i] == "modules_to_save" && i + 2 < parts.size()) {
      // MODULE.modules_to_save.ADAPTER.REST, or without the adapter's name.
      out.adapter = std::string(parts[i + 1]);
      Parts whole(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(i));
      whole.insert(whole.end(), parts.begin() + static_cast<std::ptrdiff_t>(i + 2), parts.end());
      out.name = JoinName(whole, 0, whole.size());
      return out;
    }
    if (parts[i] == "modules_to_save" && i + 1 < parts.size()) {
      Parts whole = parts;
      whole.erase(whole.begin() + static_cast<std::ptrdiff_t>(i));
      out.name = JoinName(whole, 0, whole.size());
      return out;
    }
    if (parts[i] == "original_module") {
      out.role = AdapterRole::kOriginal;
      out.name = JoinName(parts, 0, i);
      return out;
    }
  }
  Parts whole = parts;
  std::erase(whole, std::string_view("base_layer"));
  out.name = JoinName(whole, 0, whole.size());
  return out;
}

}  // namespace merganser

#include "common/publish/model_card.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/utf8.h"
#include "common/config/config_json.h"
#include "common/plan/departures.h"
#include "common/publish/numbers.h"

namespace merganser {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// The next character of `text`, which is shortened; U+FFFD for one byte that begins none.
char32_t NextCharacter(std::string_view& text) {
  const auto [point, bytes] = FirstCharacter(text);
  text.remove_prefix(std::max<size_t>(bytes, 1));
  return bytes > 0 ? point : kReplacement;
}

std::vector<std::string_view> PathParts(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t slash = std::min(text.find('/'), text.size());
    if (slash > 0) parts.push_back(text.substr(0, slash));
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return parts;
}

bool IsHubName(std::string_view name) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= 96 && word(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return word(c) || c == '-' || c == '.'; });
}

bool IsHubId(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && IsHubName(text.substr(0, slash)) &&
         IsHubName(text.substr(slash + 1));
}

// A model's or adapter's folder, as people call it.
std::string DisplayFolder(const std::string& uri, const std::string& given) {
  const std::vector<std::string_view> parts = PathParts(uri);
  // hf://org/name@commit
  constexpr std::string_view kHub = "hf://";
  if (uri.starts_with(kHub)) {
    const std::string_view id = std::string_view(uri).substr(kHub.size());
    const std::string_view name = id.substr(0, id.find('@'));
    if (IsHubId(name)) return std::string(name);
  }
  // .../models--org--name/snapshots/<revision>
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    constexpr std::string_view kCached = "models--";
    if (parts[i + 1] != "snapshots" || !parts[i].starts_with(kCached)) continue;
    std::string id(parts[i].substr(kCached.size()));
    if (const size_t dashes = id.find("--"); dashes != std::string::npos) {
      id.replace(dashes, 2, "/");
      if (IsHubId(id)) return id;
    }
  }
  // "models/a" is a hub's id by its looks, but not if such a folder was read.
  const bool folder = uri.starts_with('/') && uri.ends_with("/" + given);
  if (IsHubId(given) && !folder) return given;
  if (!parts.empty()) return std::string(parts.back());
  return given;
}

void AppendRow(std::string_view left, std::string_view right, std::string& out) {
  absl::StrAppend(&out, "| ", MarkdownCell(left), " | ", MarkdownCell(right), " |\n");
}

void AppendFrontMatter(const Plan& plan, std::string& out) {
  out += "---\nbase_model:\n";
  std::vector<std::string> names;
  for (const PlannedModel& model : plan.models) {
    std::vector<std::string> own = {
        DisplayFolder(model.uri, model.adapters.empty() ? model.given : std::string())};
    for (const AdapterOrigin& adapter : model.adapters) {
      own.push_back(DisplayFolder(adapter.uri, adapter.given));
    }
    for (std::string& name : own) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
      }
    }
  }
  for (const std::string& name : names) absl::StrAppend(&out, "- ", YamlQuoted(name), "\n");
  out += "library_name: transformers\ntags:\n- merganser\n- merge\n---\n";
}

// "weight 0.5", or of what gradients and filters change "weight 0.2 to 0.8".
void AppendPerModel(const Plan& plan, size_t expert, std::string& role) {
  if (expert >= plan.method.per_model.size()) return;
  for (const auto& [key, value] : plan.method.per_model[expert]) {
    double low = value, high = value;
    for (const MethodConfig& other : plan.overrides) {
      if (expert >= other.per_model.size()) continue;
      const auto it = other.per_model[expert].find(key);
      if (it == other.per_model[expert].end()) continue;
      low = std::min(low, it->second);
      high = std::max(high, it->second);
    }
    absl::StrAppend(&role, ", ", key, " ", ShortNumber(low));
    if (low != high) absl::StrAppend(&role, " to ", ShortNumber(high));
  }
}

void AppendModels(const Plan& plan, std::string& out) {
  out += "## Models\n\n| model | role |\n| --- | --- |\n";
  size_t expert = 0;
  const bool whole = MergesWholeModels(plan);
  for (size_t i = 0; i < plan.models.size(); ++i) {
    std::string role = plan.has_base && i == 0 ? std::string("base") : std::string("expert");
    if (role == "expert") {
      if (whole) AppendPerModel(plan, expert, role);
      ++expert;
    }
    for (const AdapterOrigin& adapter : plan.models[i].adapters) {
      absl::StrAppend(&role, "; ", DescribeAdapter(adapter));
    }
    const std::vector<StoredFormat>& stored = plan.models[i].stored;
    if (std::any_of(stored.begin(), stored.end(),
                    [](const StoredFormat& format) { return format.scales.has_value(); })) {
      absl::StrAppend(&role, "; stored as ", DescribeFormats(stored));
    }
    AppendRow(DisplayModel(plan.models[i]), role, out);
  }
  if (!whole) out += "\nLayers are stacked from slices of these models, as the recipe says.\n";
}

void AppendMethod(const Plan& plan, std::string& out) {
  absl::StrAppend(&out, "\n## Method\n\nMerged with ", MarkdownCell(plan.method.method),
                  plan.has_base ? " over the base model's tensors" : "", ": ", plan.tensors.size(),
                  " tensors, ", FormatCount(plan.parameters), " parameters");
  if (const std::string dtype = DominantTorchDtype(plan); !dtype.empty()) {
    absl::StrAppend(&out, ", written as ", dtype);
  }
  out += ".\n";
  if (!plan.method.numbers.empty() || !plan.method.choices.empty()) {
    out += "\n| parameter | value |\n| --- | --- |\n";
    for (const auto& [key, value] : plan.method.choices) AppendRow(key, value, out);
    for (const auto& [key, value] : plan.method.numbers) AppendRow(key, ShortNumber(value), out);
  }
  const auto others = std::count_if(plan.tensors.begin(), plan.tensors.end(),
                                    [](const PlannedTensor& tensor) { return tensor.method > 0; });
  if (others > 0) {
    absl::StrAppend(&out, "\nThe recipe's gradients, filters or slices give ", others,
                    others == 1 ? " tensor" : " tensors",
                    " other parameters; `merge_report.json` has those of each.\n");
  }
  std::map<std::string, std::pair<uint64_t, uint64_t>> modes;
  for (const PlannedTensor& tensor : plan.tensors) {
    auto& [count, elements] = modes[tensor.needs.mode];
    ++count;
    elements += tensor.elements;
  }
  out += "\n| treated as | tensors | parameters |\n| --- | --- | --- |\n";
  for (const auto& [mode, totals] : modes) {
    absl::StrAppend(&out, "| ", MarkdownCell(mode), " | ", totals.first, " | ",
                    FormatCount(totals.second), " |\n");
  }
  const std::vector<std::string> departures = Departures(plan);
  if (!departures.empty()) {
    out += "\nOtherwise than the method's authors would do it:\n\n";
    for (const std::string& line : departures) {
      absl::StrAppend(&out, "- ", MarkdownCell(line), "\n");
    }
  }
}

// What models' config.json say otherwise than that of the output.
void AppendConfig(const Plan& plan, std::string& out) {
  if (plan.config_differences.empty() || plan.config_model >= plan.models.size()) return;
  absl::StrAppend(&out, "\n## Configuration\n\n`config.json` is that of ",
                  MarkdownCell(DisplayModel(plan.models[plan.config_model])),
                  "; other models say otherwise at these keys.\n\n"
                  "| key | taken | otherwise | in |\n| --- | --- | --- | --- |\n");
  const auto value = [](const std::string& shown) {
    constexpr size_t kMostShown = 120;
    return shown.empty() ? std::string("(missing)") : MarkdownCell(Cut(shown, kMostShown));
  };
  for (const ConfigDifference& difference : plan.config_differences) {
    std::string names;
    for (const uint32_t model : difference.models) {
      if (model >= plan.models.size()) continue;
      absl::StrAppend(&names, names.empty() ? "" : ", ", DisplayModel(plan.models[model]));
    }
    absl::StrAppend(&out, "| ", MarkdownCell(difference.key), " | ", value(difference.taken), " | ",
                    value(difference.other), " | ", MarkdownCell(names), " |\n");
  }
}

}  // namespace

std::string DisplayModel(const PlannedModel& model) {
  // The base's own name is behind that of the whole.
  std::string name = DisplayFolder(model.uri, model.adapters.empty() ? model.given : std::string());
  for (const AdapterOrigin& adapter : model.adapters) {
    absl::StrAppend(&name, "+", DisplayFolder(adapter.uri, adapter.given));
  }
  return name;
}

std::string YamlQuoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char32_t point = NextCharacter(text);
    if (point == '"' || point == '\\') {
      out += '\\';
      out += static_cast<char>(point);
    } else if (IsHidden(point)) {
      const auto code = static_cast<uint32_t>(point);
      out += code < 0x10000 ? Formatted("\\u%04X", code) : Formatted("\\U%08X", code);
    } else {
      AppendUtf8(point, out);
    }
  }
  return out + "\"";
}

std::string MarkdownCell(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const char32_t point = NextCharacter(text);
    if (IsHidden(point)) {
      out += ' ';
    } else if (point == '<') {
      out += "&lt;";
    } else if (point == '&') {
      out += "&amp;";
    } else {
      if (point < 0x80 && std::string_view("\\|`*[]!#~$>").find(static_cast<char>(point)) !=
                              std::string_view::npos) {
        out += '\\';
      }
      AppendUtf8(point, out);
    }
  }
  return out;
}

std::string FenceFor(std::string_view text) {
  size_t longest = 0, run = 0;
  for (char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return std::string(std::max<size_t>(3, longest + 1), '`');
}

std::string ModelCard(const Plan& plan, const std::vector<std::string>& warnings) {
  std::string out;
  AppendFrontMatter(plan, out);
  out +=
      "\n# Merged model\n\nMade with merganser; measurements and checksums are in "
      "`merge_report.json`.\n\n";
  AppendModels(plan, out);
  AppendMethod(plan, out);
  for (const std::string& warning : warnings) {
    absl::StrAppend(&out, "\n**Warning:** ", MarkdownCell(warning), ".\n");
  }
  AppendConfig(plan, out);
  const std::string fence = FenceFor(plan.recipe_text);
  absl::StrAppend(&out, "\n## Recipe\n\n", fence, "yaml\n", plan.recipe_text);
  if (!plan.recipe_text.ends_with('\n')) out += '\n';
  absl::StrAppend(&out, fence, "\n");
  return out;
}

}  // namespace merganser

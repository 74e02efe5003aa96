#include "coordinator/cli/methods_text.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/publish/numbers.h"

namespace merganser::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string_view BaseWord(BaseUse base) {
  switch (base) {
    case BaseUse::kRequired:
      return "required";
    case BaseUse::kOptional:
      return "optional";
    case BaseUse::kNone:
      return "none";
  }
  return "";
}

std::string_view KindWord(ParameterKind kind) {
  switch (kind) {
    case ParameterKind::kNumber:
      return "number";
    case ParameterKind::kInteger:
      return "integer";
    case ParameterKind::kBoolean:
      return "boolean";
    case ParameterKind::kChoice:
      return "choice";
  }
  return "";
}

// "1", "2 to 16", "any number".
std::string ModelCount(const MethodInfo& method) {
  if (method.max_models == 0) {
    return method.min_models <= 1 ? "any" : absl::StrCat(method.min_models, " or more");
  }
  if (method.min_models == method.max_models) return absl::StrCat(method.min_models);
  return absl::StrCat(method.min_models, " to ", method.max_models);
}

// "0.2", "true", "tensor"; "required" where there is none.
std::string DefaultWord(const ParameterSpec& spec) {
  if (spec.required) return "required";
  if (spec.kind == ParameterKind::kChoice) return spec.choice;
  if (spec.kind == ParameterKind::kBoolean) return spec.number != 0 ? "true" : "false";
  return ShortNumber(spec.number);
}

struct Property {
  std::string_view key;
  std::string_view holds;  // a sentence for people
  bool MethodProperties::*member;
};

constexpr Property kProperties[] = {
    {"identical_experts", "identical experts give the expert",
     &MethodProperties::identical_experts},
    {"zero_deltas", "experts equal to the base give the base", &MethodProperties::zero_deltas},
    {"order_free", "the order of the models does not matter", &MethodProperties::order_free},
    {"split", "large tensors are cut into pieces", &MethodProperties::split}};

// A link where the source is one: "arXiv 2212.04089", or an address.
std::string PaperLink(std::string_view paper) {
  constexpr std::string_view kArxiv = "arXiv ";
  std::string text(paper);
  if (paper.rfind(kArxiv, 0) == 0) {
    return absl::StrCat("[", text, "](https://arxiv.org/abs/", text.substr(kArxiv.size()), ")");
  }
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return text;
  return absl::StrCat("[", text.substr(0, slash), "](https://", text, ")");
}

// For a cell of a table.
std::string Cell(std::string_view text) {
  return absl::StrReplaceAll(std::string(text), {{"|", "\\|"}, {"\n", " "}});
}

Json Bound(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json ParameterJson(const ParameterSpec& spec) {
  Json json;
  json["key"] = spec.key;
  json["about"] = spec.about;
  json["type"] = KindWord(spec.kind);
  json["per_model"] = spec.per_model && spec.no_effect.empty();
  json["required"] = spec.required;
  if (spec.required) {
    json["default"] = nullptr;
  } else if (spec.kind == ParameterKind::kChoice) {
    json["default"] = spec.choice;
  } else if (spec.kind == ParameterKind::kBoolean) {
    json["default"] = spec.number != 0;
  } else if (spec.kind == ParameterKind::kInteger) {
    json["default"] = static_cast<int64_t>(spec.number);
  } else {
    json["default"] = spec.number;
  }
  if (spec.kind == ParameterKind::kNumber || spec.kind == ParameterKind::kInteger) {
    json["min"] = Bound(spec.min);
    json["max"] = Bound(spec.max);
    json["exclusive_min"] = spec.exclusive_min;
  }
  if (spec.kind == ParameterKind::kChoice) json["choices"] = spec.choices;
  if (!spec.no_effect.empty()) json["no_effect"] = spec.no_effect;
  return json;
}

}  // namespace

std::string MethodsText(const std::vector<MethodInfo>& methods) {
  std::string out;
  for (const MethodInfo& method : methods) {
    absl::StrAppend(&out, out.empty() ? "" : "\n", std::string(method.name), ": ",
                    std::string(method.summary), "\n  base: ", std::string(BaseWord(method.base)),
                    "; models", method.base == BaseUse::kNone ? "" : " besides it", ": ",
                    ModelCount(method), "; source: ", std::string(method.paper), "\n");
    for (const ParameterSpec& spec : method.parameters) {
      if (!spec.no_effect.empty()) {
        absl::StrAppend(&out, "  ", spec.key, ": no effect, ", spec.no_effect, "\n");
        continue;
      }
      absl::StrAppend(&out, "  ", spec.key, spec.per_model ? ", per model: " : ": ", spec.about,
                      "; ", DescribeValues(spec), ", ",
                      spec.required ? "required" : absl::StrCat("default ", DefaultWord(spec)),
                      "\n");
    }
    for (const Property& property : kProperties) {
      absl::StrAppend(&out, "  ", std::string(property.holds), ": ",
                      method.properties.*property.member ? "yes" : "no", "\n");
    }
  }
  return out;
}

std::string MethodsJson(const std::vector<MethodInfo>& methods) {
  Json list = Json::array();
  for (const MethodInfo& method : methods) {
    Json json;
    json["name"] = method.name;
    json["summary"] = method.summary;
    json["paper"] = method.paper;
    json["base"] = BaseWord(method.base);
    json["min_models"] = method.min_models;
    json["max_models"] = method.max_models == 0 ? Json() : Json(method.max_models);
    json["parameters"] = Json::array();
    for (const ParameterSpec& spec : method.parameters) {
      json["parameters"].push_back(ParameterJson(spec));
    }
    for (const Property& property : kProperties) {
      json["properties"][std::string(property.key)] = method.properties.*property.member;
    }
    list.push_back(std::move(json));
  }
  Json json;
  json["methods"] = std::move(list);
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string MethodsMarkdown(const std::vector<MethodInfo>& methods) {
  std::string out =
      "| method | what it does | base | models | parameters (default) | source |\n"
      "| --- | --- | --- | --- | --- | --- |\n";
  for (const MethodInfo& method : methods) {
    std::vector<std::string> parameters;
    for (const ParameterSpec& spec : method.parameters) {
      if (!spec.no_effect.empty()) continue;
      parameters.push_back(absl::StrCat("`", spec.key, "`", spec.per_model ? " per model" : "",
                                        " (", DefaultWord(spec), ")"));
    }
    absl::StrAppend(&out, "| `", std::string(method.name), "` | ", Cell(method.summary), " | ",
                    std::string(BaseWord(method.base)), " | ", ModelCount(method), " | ",
                    parameters.empty() ? "none" : Cell(absl::StrJoin(parameters, ", ")), " | ",
                    Cell(PaperLink(method.paper)), " |\n");
  }
  return out;
}

}  // namespace merganser::cli

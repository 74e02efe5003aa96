#include "common/auxiliary/chat_templates.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/json_key.h"
#include "common/format/python_numbers.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr char kTemplateFile[] = "chat_template.jinja";
constexpr char kLegacyFile[] = "chat_template.json";  // of processors
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr std::string_view kMoreTemplates = "additional_chat_templates/";
constexpr std::string_view kKey = "chat_template";
constexpr uint64_t kMaxTemplateBytes = 4 << 20;

// ChatML, of OpenAI's chatml.md and Qwen's models.
constexpr char kChatMl[] =
    "{%- for message in messages -%}\n"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '<|im_start|>assistant\\n' }}\n"
    "{%- endif -%}";

// Meta's prompt format of Llama 3.
constexpr char kLlama3[] =
    "{%- for message in messages -%}\n"
    "{%- if loop.first -%}{{ bos_token }}{%- endif -%}\n"
    "{{ '<|start_header_id|>' ~ message['role'] ~ '<|end_header_id|>\\n\\n' ~ "
    "(message['content'] | trim) ~ '<|eot_id|>' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
    "{%- endif -%}";

// Mistral's instruct models: no system role, its text goes before the next user's.
constexpr char kMistral[] =
    "{%- set state = namespace(system='') -%}\n"
    "{{ bos_token }}\n"
    "{%- for message in messages -%}\n"
    "{%- if message['role'] == 'system' -%}\n"
    "{%- set state.system = message['content'] ~ '\\n\\n' -%}\n"
    "{%- elif message['role'] == 'user' -%}\n"
    "{{ '[INST] ' ~ state.system ~ message['content'] ~ ' [/INST]' }}\n"
    "{%- set state.system = '' -%}\n"
    "{%- elif message['role'] == 'assistant' -%}\n"
    "{{ ' ' ~ (message['content'] | trim) ~ eos_token }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}";

// Stanford's Alpaca, turn by turn.
constexpr char kAlpaca[] =
    "{%- for message in messages -%}\n"
    "{%- if message['role'] == 'system' -%}\n"
    "{{ (message['content'] | trim) ~ '\\n\\n' }}\n"
    "{%- elif message['role'] == 'user' -%}\n"
    "{{ '### Instruction:\\n' ~ (message['content'] | trim) ~ '\\n\\n' }}\n"
    "{%- elif message['role'] == 'user_context' -%}\n"
    "{{ '### Input:\\n' ~ (message['content'] | trim) ~ '\\n\\n' }}\n"
    "{%- elif message['role'] == 'assistant' -%}\n"
    "{{ '### Response:\\n' ~ (message['content'] | trim) ~ '\\n\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '### Response:\\n' }}\n"
    "{%- endif -%}";

// LG's EXAONE 3: an empty system turn where there is none.
constexpr char kExaone[] =
    "{%- for message in messages -%}\n"
    "{%- if loop.first and message['role'] != 'system' -%}\n"
    "{{ '[|system|][|endofturn|]\\n' }}\n"
    "{%- endif -%}\n"
    "{{ '[|' ~ message['role'] ~ '|]' ~ message['content'] }}\n"
    "{%- if message['role'] == 'user' -%}\n"
    "{{ '\\n' }}\n"
    "{%- else -%}\n"
    "{{ '[|endofturn|]\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '[|assistant|]' }}\n"
    "{%- endif -%}";

// What tokenizer_config.json says: a text, or a list of named ones.
std::optional<std::string> TemplateIn(const nlohmann::json& config) {
  const auto at = config.find(kKey);
  if (at == config.end()) return std::nullopt;
  if (at->is_string()) return at->get<std::string>();
  if (at->is_object()) {
    const auto named = at->find("default");
    if (named != at->end() && named->is_string()) return named->get<std::string>();
  }
  if (!at->is_array()) return std::nullopt;
  for (const nlohmann::json& one : *at) {
    if (!one.is_object() || !one.contains("name") || one["name"] != "default") continue;
    if (one.contains("template") && one["template"].is_string()) {
      return one["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

// As Python reads it, with its own numbers.
nlohmann::json Parsed(std::string_view text) {
  return nlohmann::json::parse(ReplacePythonNumbers(text, UnusedNumbers(text)), nullptr,
                               /*allow_exceptions=*/false);
}

}  // namespace

std::string_view NamedChatTemplate(std::string_view name) {
  if (name == "alpaca") return kAlpaca;
  if (name == "chatml") return kChatMl;
  if (name == "exaone") return kExaone;
  if (name == "llama3") return kLlama3;
  if (name == "mistral") return kMistral;
  return "";
}

absl::StatusOr<std::optional<std::string>> ReadChatTemplate(const Checkpoint& model) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> own,
                             ReadWhole(*model.store, kTemplateFile, kMaxTemplateBytes));
  if (own.has_value()) return own;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(*model.store, kConfigFile, kMaxAuxiliaryBytes));
  if (!text.has_value()) return std::optional<std::string>();
  const nlohmann::json config = Parsed(*text);
  if (!config.is_object()) {
    return absl::DataLossError(absl::StrCat(model.store->Describe(kConfigFile),
                                            ": found no JSON object, expected the settings of a "
                                            "tokenizer"));
  }
  return TemplateIn(config);
}

std::optional<std::string> ChatTemplateIn(std::string_view config) {
  const nlohmann::json object = Parsed(config);
  return object.is_object() ? TemplateIn(object) : std::nullopt;
}

CommonTemplate MostCommonTemplate(const std::vector<std::optional<std::string>>& templates) {
  std::vector<CommonTemplate> found;
  for (size_t i = 0; i < templates.size(); ++i) {
    if (!templates[i].has_value()) continue;
    const std::string text(absl::StripAsciiWhitespace(*templates[i]));
    if (text.empty()) continue;
    const auto known = std::find_if(found.begin(), found.end(),
                                    [&](const CommonTemplate& one) { return one.text == text; });
    if (known != found.end()) {
      ++known->count;
    } else {
      found.push_back({text, 1, i});
    }
  }
  const auto most = std::max_element(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.count < b.count;  // of equal ones max_element takes the first
  });
  return most == found.end() ? CommonTemplate() : *most;
}

absl::Status PutChatTemplate(std::string_view text, std::vector<AuxiliaryFile>& files,
                             std::vector<std::pair<std::string, std::string>>& written) {
  const auto config = std::find_if(files.begin(), files.end(), [](const AuxiliaryFile& from) {
    return from.file.key == kConfigFile;
  });
  if (config != files.end()) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string old, ReadAuxiliaryFile(*config));
    MERGANSER_ASSIGN_OR_RETURN(
        std::string now,
        WithTextKey(old, kKey, text, config->checkpoint->store->Describe(kConfigFile)));
    written.emplace_back(kConfigFile, std::move(now));
  }
  // Or one that was put together is the tokenizer's.
  for (auto& [key, bytes] : written) {
    if (key != kConfigFile || config != files.end()) continue;
    MERGANSER_ASSIGN_OR_RETURN(bytes, WithTextKey(bytes, kKey, text, kConfigFile));
  }
  std::erase_if(written, [](const auto& file) { return file.first == kTemplateFile; });
  written.emplace_back(kTemplateFile, std::string(text));
  files.erase(std::remove_if(files.begin(), files.end(),
                             [](const AuxiliaryFile& from) {
                               const std::string& key = from.file.key;
                               return key == kConfigFile || key == kTemplateFile ||
                                      key == kLegacyFile || key.starts_with(kMoreTemplates);
                             }),
              files.end());
  return absl::OkStatus();
}

}  // namespace merganser

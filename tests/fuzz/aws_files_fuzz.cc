// The AWS tools' files and what hands out credentials: config, "%%", credentials, "%%", an answer.
//
// Nothing that is said of them quotes a secret, and credentials are whole.
#include <string>

#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/ini.h"
#include "common/storage/s3/aws/json_fields.h"
#include "common/storage/s3/aws/times.h"
#include "common/storage/s3/aws/words.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

// What seeds have for a secret; no message may hold it.
constexpr std::string_view kSecret = "wJalrXUtnFEMI";

void RequireSilent(const absl::Status& status, std::initializer_list<absl::StatusCode> codes) {
  RequireRefusal(status, codes);
  const std::string message(status.message());
  // Of an answer, version and end alone are told.
  const bool tells = message.starts_with("found Version") || message.starts_with("found Exp") ||
                     message.find(".expiration ") != std::string::npos;
  Require(tells || message.find(kSecret) == std::string::npos, "a message that tells a secret",
          message);
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  using namespace merganser::s3;
  const auto parts = PartsOf(TextOf(data, size), 3);
  for (const std::string_view text : {parts[0], parts[1]}) {
    const auto file = ParseIni(text);
    if (!file.ok()) {
      RequireSilent(file.status(), {absl::StatusCode::kInvalidArgument});
      continue;
    }
    for (const auto& [name, section] : *file) {
      for (const auto& [key, value] : section) {
        Require(key.find('\n') == std::string::npos, "a key of several lines", key);
        Require(value.size() <= text.size(), "a value longer than its file", key);
      }
    }
  }
  const auto config = Config::Parse({}, {std::string(parts[0]), std::string(parts[1])});
  if (config.ok()) {
    Require(config->profile() == "default", "another profile", config->profile());
    (void)config->Region();
    (void)config->EndpointUrl("s3");
    (void)config->CaBundle();
  } else {
    RequireSilent(config.status(), {absl::StatusCode::kInvalidArgument});
  }

  const std::string_view answer = parts[2];
  if (const auto words = SplitWords(answer); words.has_value()) {
    for (const std::string& word : *words) {
      Require(word.size() <= answer.size(), "a word longer than its line", word);
    }
  }
  (void)TimeOf(answer);
  if (const auto fields = ParseJsonFields(answer); !fields.ok()) {
    RequireSilent(fields.status(), {absl::StatusCode::kDataLoss});
  }
  for (const auto& credentials : {OfProcess(answer), OfMetadata(answer), OfPortal(answer)}) {
    if (credentials.ok()) {
      Require(!credentials->anonymous() && !credentials->secret_access_key.empty(),
              "credentials without a part");
    } else {
      RequireSilent(credentials.status(), {absl::StatusCode::kDataLoss});
    }
  }
  return 0;
}

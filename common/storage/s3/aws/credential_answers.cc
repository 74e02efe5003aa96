#include "common/storage/s3/aws/credential_answers.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/json_fields.h"
#include "common/storage/s3/aws/times.h"

namespace merganser::s3 {
namespace {

enum class Life { kPerhaps, kAlways };

absl::Status Missing(std::string_view what) {
  return absl::DataLossError(absl::StrCat("found credentials without ", std::string(what)));
}

// `names`: of key, secret, token and end.
struct Names {
  std::string_view key, secret, token, end;
};

absl::StatusOr<Credentials> From(const JsonFields& fields, const Names& names, Life life) {
  Credentials credentials;
  credentials.access_key_id = Field(fields, names.key);
  credentials.secret_access_key = Field(fields, names.secret);
  credentials.session_token = Field(fields, names.token);
  if (credentials.access_key_id.empty()) return Missing(names.key);
  if (credentials.secret_access_key.empty()) return Missing(names.secret);
  const std::string end = Field(fields, names.end);
  if (life == Life::kAlways && credentials.session_token.empty()) return Missing(names.token);
  if (end.empty()) {
    if (life == Life::kAlways) return Missing(names.end);
    return credentials;
  }
  int64_t milliseconds = 0;
  constexpr int64_t kMost = int64_t{1} << 43;  // the year 2248
  if (absl::SimpleAtoi(end, &milliseconds) && milliseconds > 0 && milliseconds < kMost) {
    credentials.expires = WallTime(std::chrono::milliseconds(milliseconds));
  } else if (credentials.expires = TimeOf(end); !credentials.expires.has_value()) {
    return absl::DataLossError(absl::StrCat("found ", std::string(names.end), " ", Shown(end),
                                            ", expected a time such as 2026-01-31T23:59:59Z"));
  }
  return credentials;
}

}  // namespace

absl::StatusOr<Credentials> OfProcess(std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const JsonFields fields, ParseJsonFields(text));
  if (const std::string version = Field(fields, "Version"); version != "1") {
    return absl::DataLossError(absl::StrCat(
        "found ", version.empty() ? "no Version" : absl::StrCat("Version ", Shown(version)),
        ", expected 1"));
  }
  return From(fields, {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"},
              Life::kPerhaps);
}

absl::StatusOr<Credentials> OfMetadata(std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const JsonFields fields, ParseJsonFields(text));
  return From(fields, {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}, Life::kAlways);
}

absl::StatusOr<Credentials> OfPortal(std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const JsonFields fields, ParseJsonFields(text));
  return From(fields,
              {"roleCredentials.accessKeyId", "roleCredentials.secretAccessKey",
               "roleCredentials.sessionToken", "roleCredentials.expiration"},
              Life::kAlways);
}

absl::StatusOr<Credentials> OfTokenService(std::string_view xml) {
  JsonFields fields;
  pugi::xml_document document;
  if (document.load_buffer(xml.data(), xml.size())) {
    for (const pugi::xml_node& result : document.document_element().children()) {
      for (const pugi::xml_node& field : result.child("Credentials").children()) {
        fields[field.name()] = field.text().get();
      }
    }
  }
  return From(fields, {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"},
              Life::kAlways);
}

absl::Status CheckPlain(const Credentials& credentials) {
  const auto plain = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != '\x7F'; });
  };
  for (const auto& [name, text] :
       {std::pair("access key", std::string_view(credentials.access_key_id)),
        std::pair("secret key", std::string_view(credentials.secret_access_key.Reveal())),
        std::pair("session token", std::string_view(credentials.session_token.Reveal()))}) {
    if (!plain(text)) {
      return absl::InvalidArgumentError(
          absl::StrCat("found a line end or another control character in the ", name,
                       ", expected none: check where it was copied from"));
    }
  }
  return absl::OkStatus();
}

}  // namespace merganser::s3

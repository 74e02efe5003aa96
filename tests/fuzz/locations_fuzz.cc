// Locations as users, servers and records write them: a text, "%%", another that it leads to.
//
// What is accepted is spelled so that reading it again gives the same, and names nothing outside of
// what it names.
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/hf/location.h"
#include "common/storage/hf/model_info.h"
#include "common/storage/http/identity.h"
#include "common/storage/http/ranges.h"
#include "common/storage/http/tokens.h"
#include "common/storage/http/url.h"
#include "common/storage/object_store.h"
#include "common/storage/uri.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

void RequireUri(std::string_view text) {
  const auto uri = ParseUri(text);
  if (!uri.ok()) return RequireRefusal(uri.status(), {absl::StatusCode::kInvalidArgument});
  const std::string spelled = uri->ToString();
  const auto again = ParseUri(spelled);
  Require(again.ok() && again->scheme == uri->scheme && again->path == uri->path,
          "a location that is spelled as another", spelled);
  const auto absolute = Absolute(*uri, "/a/b");
  Require(absolute.ok(), "no absolute location", spelled);
  if (absolute->scheme != "file") return;
  const std::string slashed = absolute->path + "/";
  Require(absolute->path.starts_with('/') && slashed.find("/../") == std::string::npos &&
              slashed.find("/./") == std::string::npos,
          "an absolute path with detours", absolute->path);
}

void RequireUrl(std::string_view text, std::string_view leads_to) {
  const auto url = ParseHttpUrl(text);
  if (!url.ok()) return RequireRefusal(url.status(), {absl::StatusCode::kInvalidArgument});
  Require(url->scheme == "http" || url->scheme == "https", "another scheme", url->scheme);
  Require(!url->host.empty() && url->port != 0 && url->target.starts_with('/'), "a part is missing",
          url->ToString());
  const auto again = ParseHttpUrl(url->ToString());
  Require(again.ok() && again->ToString() == url->ToString() && again->host == url->host,
          "a URL that is spelled as another", url->ToString());
  const auto location = ResolveLocation(*url, leads_to);
  if (!location.ok()) {
    return RequireRefusal(location.status(), {absl::StatusCode::kInvalidArgument});
  }
  Require(location->scheme == "http" || location->scheme == "https", "a redirect elsewhere");
  const std::string bytes = location->ToString();
  for (const char c : bytes) {
    Require(static_cast<unsigned char>(c) > ' ' && c != 0x7f, "a URL that breaks a header", bytes);
  }
}

void RequireHub(std::string_view text) {
  const auto place = ParseHfLocation(text);
  if (!place.ok()) return RequireRefusal(place.status(), {absl::StatusCode::kInvalidArgument});
  Require(IsHfRepository(place->repository), "no repository", place->repository);
  Require(place->folder.empty() || ValidateKey(place->folder).ok(), "no folder", place->folder);
  constexpr std::string_view kScheme = "hf://";
  const std::string spelled = place->ToString();
  Require(spelled.starts_with(kScheme), "another scheme", spelled);
  const auto again = ParseHfLocation(std::string_view(spelled).substr(kScheme.size()));
  Require(again.ok() && again->repository == place->repository &&
              again->revision == place->revision && again->folder == place->folder,
          "a model that is spelled as another", spelled);
}

void RequireRecords(std::string_view text) {
  if (const auto identity = HttpIdentity::Parse(text); identity.has_value()) {
    Require(identity->ToString() == text, "an identity that is spelled as another", text);
  }
  if (const auto file = HfFile::Parse(text); file.has_value()) {
    Require(file->ToString() == text, "a file that is spelled as another", text);
  }
  if (const auto range = ParseContentRange(text); range.has_value()) {
    Require(range->begin < range->end && range->end <= range->total, "a range out of its whole",
            text);
  }
  HttpAnswer answer;
  answer.headers = {{"etag", std::string(text.substr(0, text.size() / 2))},
                    {"last-modified", std::string(text.substr(text.size() / 2))}};
  const HttpIdentity identity = IdentityOf(answer, text.size());
  const auto read = HttpIdentity::Parse(identity.ToString());
  Require(read.has_value() && *read == identity, "an identity that is read as another",
          identity.ToString());
  Require(identity.Condition().find('\n') == std::string::npos, "a condition that breaks a header");
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 2);
  RequireUri(parts[0]);
  RequireUrl(parts[0], parts[1]);
  RequireHub(parts[0]);
  RequireRecords(parts[0]);
  if (const auto tokens = HttpTokens::Parse(parts[0]); !tokens.ok()) {
    RequireRefusal(tokens.status(), {absl::StatusCode::kInvalidArgument});
  }
  const auto url = ParseHttpUrl(absl::StrCat("https://host/", EncodePath(parts[1])));
  Require(url.ok() && url->host == "host", "an encoded path that is none", parts[1]);
  return 0;
}

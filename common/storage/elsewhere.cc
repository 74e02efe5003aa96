#include "common/storage/elsewhere.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/hf/hf_store.h"
#include "common/storage/http/http_client.h"
#include "common/storage/http/http_store.h"
#include "common/storage/http/url.h"

namespace merganser {
namespace {

// As other programs are told of authorities of one's own.
std::string CaFile() {
  for (const char* const name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {
    const char* const path = std::getenv(name);
    if (path != nullptr && *path != '\0') return path;
  }
  return "";
}

// nullptr where there is no cache, or none that may be read.
std::shared_ptr<const HfCachedModel> Cached(const HfLocation& location,
                                            Elsewhere::OpenFolder open) {
  const std::string cache = HfCacheFolder();
  if (cache.empty() || cache.front() != '/') return nullptr;
  const std::string folder = HfRepositoryFolder(cache, location.repository);
  absl::StatusOr<std::shared_ptr<ObjectStore>> files = open(folder);
  if (!files.ok()) return nullptr;
  return std::make_shared<const HfCachedModel>(folder, *std::move(files));
}

}  // namespace

absl::StatusOr<Elsewhere::Shared> Elsewhere::Connect() {
  MutexLock lock(mutex_);
  if (shared_.fetcher != nullptr) return shared_;
  const char* const tokens = std::getenv(kHttpTokensVariable);
  MERGANSER_ASSIGN_OR_RETURN(shared_.tokens, HttpTokens::Parse(tokens == nullptr ? "" : tokens));
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<HttpClient> http,
                             HttpClient::Make({.ca_file = CaFile()}));
  shared_.fetcher = std::make_shared<Fetcher>(std::move(http), private_addresses_, counters_);
  return shared_;
}

absl::StatusOr<std::shared_ptr<ObjectStore>> Elsewhere::OpenUrl(const Uri& uri) {
  const std::string text = uri.ToString();
  const absl::StatusOr<HttpUrl> url = ParseHttpUrl(text);
  if (!url.ok()) return Annotate(url.status(), absl::StrCat("location \"", Shown(text), "\""));
  // A page of the hub is no folder of files.
  if (url->host == "huggingface.co" && url->target.find("/resolve/") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("location \"", Shown(text),
                                                   "\": is a page of Hugging Face, expected hf:/",
                                                   Shown(url->target)));
  }
  MERGANSER_ASSIGN_OR_RETURN(const Shared shared, Connect());
  return MakeHttpStore(shared.fetcher, *url, shared.tokens.For(*url));
}

absl::StatusOr<std::shared_ptr<const Hub>> Elsewhere::OpenHub() {
  MERGANSER_ASSIGN_OR_RETURN(HubOptions options, HubFromEnvironment());
  MERGANSER_ASSIGN_OR_RETURN(const Shared shared, Connect());
  return std::make_shared<const Hub>(shared.fetcher, std::move(options));
}

absl::StatusOr<std::shared_ptr<ObjectStore>> Elsewhere::Open(const Uri& uri, OpenFolder open) {
  if (uri.scheme != "hf") return OpenUrl(uri);
  MERGANSER_ASSIGN_OR_RETURN(const HfLocation location, ParseHfLocation(uri.path));
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const Hub> hub, OpenHub());
  return MakeHfStore(std::move(hub), Cached(location, open), location);
}

absl::StatusOr<std::string> Elsewhere::Pin(const Uri& uri, OpenFolder open) {
  MERGANSER_ASSIGN_OR_RETURN(const HfLocation location, ParseHfLocation(uri.path));
  if (location.pinned()) return location.ToString();
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const Hub> hub, OpenHub());
  MERGANSER_ASSIGN_OR_RETURN(const HfLocation pinned,
                             PinHfLocation(*hub, Cached(location, open).get(), location));
  return pinned.ToString();
}

}  // namespace merganser

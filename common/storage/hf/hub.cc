#include "common/storage/hf/hub.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/hf/cache.h"

namespace merganser {
namespace {

constexpr char kEndpoint[] = "https://huggingface.co";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsTrue(std::string text) {
  absl::AsciiStrToUpper(&text);
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

std::string TokenFile() {
  if (std::string path = Variable("HF_TOKEN_PATH"); !path.empty()) return path;
  const std::string home = HfHome();
  return home.empty() ? "" : absl::StrCat(home, "/token");
}

absl::StatusOr<std::string> Token() {
  std::string token = Variable("HF_TOKEN");
  std::string from = "HF_TOKEN";
  if (token.empty()) {
    from = TokenFile();
    std::ifstream file(from);
    std::getline(file, token);
  }
  token = std::string(absl::StripAsciiWhitespace(token));
  const bool plain =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (plain) return token;
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(from), ": found no token of the hub, expected letters and digits"));
}

// The first of the answers that has the header.
std::string_view First(const Fetched& fetched, std::string_view header) {
  for (const HttpAnswer& answer : fetched.redirects) {
    if (!answer.Header(header).empty()) return answer.Header(header);
  }
  return fetched.answer.Header(header);
}

}  // namespace

absl::StatusOr<HubOptions> HubFromEnvironment() {
  HubOptions options;
  const std::string endpoint = Variable("HF_ENDPOINT");
  const absl::StatusOr<HttpUrl> url = ParseHttpUrl(endpoint.empty() ? kEndpoint : endpoint);
  if (!url.ok()) return Annotate(url.status(), "HF_ENDPOINT");
  options.endpoint = *url;
  while (options.endpoint.target.ends_with('/')) options.endpoint.target.pop_back();
  MERGANSER_ASSIGN_OR_RETURN(options.token, Token());
  options.offline = IsTrue(Variable("HF_HUB_OFFLINE"));
  return options;
}

absl::StatusOr<HfModelInfo> Hub::Info(const std::string& repository,
                                      const std::string& revision) const {
  Fetch fetch;
  fetch.url = options_.endpoint;
  absl::StrAppend(&fetch.url.target, "/api/models/", repository, "/revision/",
                  absl::StrReplaceAll(EncodePath(revision), {{"/", "%2F"}}), "?blobs=true");
  fetch.token = options_.token;
  fetch.trusted = true;
  const Fetched fetched = fetcher_->Do(fetch);
  const std::string what =
      absl::StrCat("ask ", Shown(options_.endpoint.Origin()), " for hf://", Shown(repository));
  if (!fetched.status.ok()) return Annotate(fetched.status, what);
  if (!fetched.success()) return Explain(fetched.answer, repository, revision);
  absl::StatusOr<HfModelInfo> info = ParseHfModelInfo(fetched.answer.body);
  if (!info.ok()) return Annotate(info.status(), what);
  return info;
}

absl::StatusOr<std::optional<HubFile>> Hub::Locate(const std::string& repository,
                                                   const std::string& commit,
                                                   std::string_view path) const {
  Fetch fetch;
  fetch.method = "HEAD";
  fetch.url = options_.endpoint;
  absl::StrAppend(&fetch.url.target, "/", repository, "/resolve/", commit, "/", EncodePath(path));
  fetch.token = options_.token;
  fetch.trusted = true;
  // Where the file is, and not the file: what the hub tells of it comes with the redirect.
  fetch.stay = true;
  const Fetched fetched = fetcher_->Do(fetch);
  const std::string what = absl::StrCat("look up ", Shown(path), " of hf://", Shown(repository));
  if (!fetched.status.ok()) return Annotate(fetched.status, what);
  const bool redirect = fetched.answer.code >= 300 && fetched.answer.code < 400 &&
                        !fetched.answer.Header("location").empty();
  if (!redirect && !fetched.success()) {
    const std::string_view code = fetched.answer.Header("x-error-code");
    if (fetched.answer.code == 404 && (code.empty() || code == "EntryNotFound")) {
      return std::optional<HubFile>();
    }
    return Explain(fetched.answer, repository, commit);
  }
  HubFile located;
  std::string_view etag = First(fetched, "x-linked-etag"), size = First(fetched, "x-linked-size");
  if (etag.empty() && !redirect) etag = fetched.answer.Header("etag");
  if (size.empty() && !redirect) size = fetched.answer.Header("content-length");
  located.file.etag = PlainEtag(etag);
  if (located.file.etag.empty() ||
      !absl::SimpleAtoi(absl::string_view(size.data(), size.size()), &located.file.size)) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, ": the hub tells no ETag or no size of it: is HF_ENDPOINT a Hugging Face hub?"));
  }
  const std::string_view at = First(fetched, "x-repo-commit");
  if (!at.empty() && at != commit) {
    return absl::DataLossError(
        absl::StrCat(what, ": found that of commit ", Shown(at), ", expected ", Shown(commit)));
  }
  located.url = fetched.url;
  located.own = !redirect;
  if (redirect) {
    const absl::StatusOr<HttpUrl> to =
        ResolveLocation(fetched.url, fetched.answer.Header("location"));
    if (!to.ok()) return Annotate(to.status(), absl::StrCat(what, ": redirected"));
    if (fetched.url.scheme == "https" && to->scheme == "http") {
      return absl::PermissionDeniedError(absl::StrCat(what, ": redirected to ", Shown(to->Origin()),
                                                      ", which has no TLS, and is not followed"));
    }
    located.url = *to;
  }
  return std::optional<HubFile>(std::move(located));
}

Fetch Hub::FetchOf(const HubFile& file) const {
  Fetch fetch;
  fetch.url = file.url;
  if (file.own) {
    fetch.token = options_.token;
    fetch.trusted = true;
  }
  return fetch;
}

absl::Status Hub::Explain(const HttpAnswer& answer, const std::string& repository,
                          const std::string& revision) const {
  const std::string_view error = answer.Header("x-error-code");
  const std::string_view message = answer.Header("x-error-message");
  const std::string model = absl::StrCat("model hf://", Shown(repository), ": ");
  const std::string page = Shown(absl::StrCat(options_.endpoint.Origin(), "/", repository));
  const bool known = !options_.token.empty();
  if (error == "GatedRepo") {
    return absl::PermissionDeniedError(absl::StrCat(
        model, "is gated: accept its terms at ", page,
        known ? " as the user of HF_TOKEN" : ", and set HF_TOKEN to a token of that user"));
  }
  if (message.find("disabled") != std::string_view::npos) {
    return absl::PermissionDeniedError(absl::StrCat(model, "is disabled: ", page, " may say why"));
  }
  if (error == "RevisionNotFound") {
    return absl::NotFoundError(absl::StrCat(model, "has no revision ", Shown(revision), "; ", page,
                                            " shows those it has"));
  }
  if (answer.code == 401 && known && error.empty() && message.find("nvalid") != message.npos) {
    return absl::UnauthenticatedError(absl::StrCat(
        model, "the hub does not take this token: set HF_TOKEN to another (", page, ")"));
  }
  // To those who may not know of it, a private one is missing.
  if (error == "RepoNotFound" || answer.code == 401 || answer.code == 404) {
    return absl::NotFoundError(
        absl::StrCat(model, "there is none at ", Shown(options_.endpoint.Origin()),
                     known ? ", or HF_TOKEN may not see it"
                           : ", or it is private: for such a one set HF_TOKEN"));
  }
  if (answer.code == 403) {
    return absl::PermissionDeniedError(absl::StrCat(
        model, "found 403", message.empty() ? "" : absl::StrCat(" (", Shown(message), ")"),
        known ? ": HF_TOKEN may not read it" : ": set HF_TOKEN"));
  }
  if (answer.code == 429) {
    return absl::UnavailableError(
        absl::StrCat(model, "the hub is asked too often (429): try again later",
                     known ? "" : ", or set HF_TOKEN, which may ask more"));
  }
  if (answer.code >= 500 || answer.code == 408) {
    return absl::UnavailableError(absl::StrCat(model, "found ", Said(answer)));
  }
  return absl::FailedPreconditionError(absl::StrCat(model, "found ", Said(answer)));
}

}  // namespace merganser

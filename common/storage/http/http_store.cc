#include "common/storage/http/http_store.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/http/identity.h"
#include "common/storage/http/ranges.h"
#include "common/storage/http/tokens.h"
#include "common/storage/read_only_store.h"

namespace merganser {
namespace {

constexpr StoreTraits kTraits = {
    .read_only = true, .read_size = kHttpReadSize, .reads_in_flight = kHttpReadsInFlight};

bool IsMissing(const Fetched& fetched) {
  return fetched.status.ok() && (fetched.answer.code == 404 || fetched.answer.code == 410);
}

std::optional<uint64_t> Length(const HttpAnswer& answer) {
  uint64_t size = 0;
  if (!absl::SimpleAtoi(std::string(answer.Header("content-length")), &size)) return std::nullopt;
  return size;
}

class HttpStore final : public ReadOnlyStore {
 public:
  HttpStore(std::shared_ptr<Fetcher> fetcher, HttpUrl base, std::string token)
      : fetcher_(std::move(fetcher)), base_(std::move(base)), token_(std::move(token)) {
    while (base_.target.ends_with('/')) base_.target.pop_back();
  }

  StoreTraits traits() const override { return kTraits; }

  std::string Describe(std::string_view key) const override {
    return Shown(absl::StrCat(base_.ToString(), key.empty() ? "" : "/", std::string(key)));
  }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    Fetch fetch = FetchOf(key);
    fetch.method = "HEAD";
    const Fetched head = fetcher_->Do(fetch);
    if (IsMissing(head)) return std::optional<ObjectInfo>();
    if (!head.success() && head.answer.code != 405 && head.answer.code != 501) {
      return Failed(head, "look up", key);
    }
    const std::optional<uint64_t> size =
        head.success() && head.answer.Header("content-encoding").empty() ? Length(head.answer)
                                                                         : std::nullopt;
    if (!size.has_value()) return StatByRange(key);
    MERGANSER_RETURN_IF_ERROR(CheckKind(key, head.answer));
    return InfoOf(head.answer, *size);
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const std::optional<HttpIdentity> expected = HttpIdentity::Parse(if_match);
    if (!if_match.empty() && !expected.has_value()) return Changed(key);
    if (out.empty()) return CheckEmptyRead(key, offset, if_match);
    Fetch whole = FetchOf(key);
    if (expected.has_value()) {
      const std::string condition = expected->Condition();
      if (!condition.empty()) whole.headers.push_back(condition);
    }
    const std::vector<Fetch> fetches = RangeFetches(whole, offset, out);
    const std::vector<Fetched> all = fetcher_->Do(fetches);
    for (size_t i = 0; i < all.size(); ++i) {
      const Fetched& fetched = all[i];
      if (IsMissing(fetched)) return Missing(key, if_match);
      if (fetched.status.ok() && fetched.answer.code == 412) return Changed(key);
      if (!fetched.success() && !(fetched.status.ok() && fetched.answer.code == 416)) {
        return Failed(fetched, "read", key);
      }
      const size_t begin = static_cast<size_t>(fetches[i].sink.data() - out.data());
      const absl::StatusOr<uint64_t> total =
          CheckRange(fetched.answer, offset + begin, fetches[i].sink.size());
      if (absl::IsOutOfRange(total.status())) return PastEnd(key, offset, out.size());
      if (!total.ok()) return Annotate(total.status(), absl::StrCat("read ", Describe(key)));
      // Whether or not the server heeded the condition.
      if (expected.has_value() && IdentityOf(fetched.answer, *total) != *expected) {
        return Changed(key);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Listing> List(std::string_view, const ListOptions&) override {
    return absl::UnimplementedError(
        absl::StrCat("list ", Describe(""), ": a web server tells no folder's files"));
  }

 private:
  Fetch FetchOf(std::string_view key) const {
    Fetch fetch;
    fetch.url = base_;
    absl::StrAppend(&fetch.url.target, "/", EncodePath(key));
    fetch.token = token_;
    return fetch;
  }

  static std::optional<ObjectInfo> InfoOf(const HttpAnswer& answer, uint64_t size) {
    const HttpIdentity identity = IdentityOf(answer, size);
    return ObjectInfo{.size = size, .identity = identity.ToString(), .doubt = identity.Doubt()};
  }

  // Where HEAD is refused or tells no size: the first byte tells it.
  absl::StatusOr<std::optional<ObjectInfo>> StatByRange(std::string_view key) {
    std::array<std::byte, 1> byte;
    const std::vector<Fetch> fetches = RangeFetches(FetchOf(key), 0, byte);
    const Fetched fetched = fetcher_->Do(fetches.front());
    if (IsMissing(fetched)) return std::optional<ObjectInfo>();
    const HttpAnswer& answer = fetched.answer;
    const bool empty = (answer.code == 416 && answer.Header("content-range") == "bytes */0") ||
                       (answer.code == 200 && Length(answer) == uint64_t{0});
    if (fetched.status.ok() && empty) return InfoOf(answer, 0);
    if (!fetched.success()) return Failed(fetched, "look up", key);
    MERGANSER_RETURN_IF_ERROR(CheckKind(key, answer));
    const absl::StatusOr<uint64_t> total = CheckRange(answer, 0, byte.size());
    if (!total.ok()) return Annotate(total.status(), absl::StrCat("look up ", Describe(key)));
    return InfoOf(answer, *total);
  }

  // Some servers answer with a page of theirs for whatever is missing.
  absl::Status CheckKind(std::string_view key, const HttpAnswer& answer) const {
    const std::string_view type = answer.Header("content-type");
    if (!type.starts_with("text/html") || key.ends_with(".html")) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "look up ", Describe(key), ": found a web page (text/html), expected the file itself"));
  }

  absl::Status CheckEmptyRead(std::string_view key, uint64_t offset, std::string_view if_match) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(key));
    if (!info.has_value()) return Missing(key, if_match);
    if (!if_match.empty() && info->identity != if_match) return Changed(key);
    if (offset > info->size) return PastEnd(key, offset, 0);
    return absl::OkStatus();
  }

  absl::Status Failed(const Fetched& fetched, std::string_view doing, std::string_view key) const {
    const std::string what = absl::StrCat(std::string(doing), " ", Describe(key));
    if (!fetched.status.ok()) return Annotate(fetched.status, what);
    const int code = fetched.answer.code;
    const std::string said = absl::StrCat(what, ": ", Said(fetched.answer));
    if (code == 401 || code == 403) {
      return absl::PermissionDeniedError(absl::StrCat(
          said, token_.empty() ? "; it wants a token (" : "; it takes another token (",
          kHttpTokensVariable, "=HOST=TOKEN)", code == 403 ? ", or there is no such file" : ""));
    }
    if (code == 429 || code == 408 || code >= 500) return absl::UnavailableError(said);
    return absl::FailedPreconditionError(said);
  }
  absl::Status Missing(std::string_view key, std::string_view if_match) const {
    if (if_match.empty()) {
      return absl::NotFoundError(absl::StrCat(Describe(key), ": no such file"));
    }
    return absl::UnavailableError(
        absl::StrCat(Describe(key), ": no such file; it was there when it was opened"));
  }
  absl::Status Changed(std::string_view key) const {
    return absl::DataLossError(
        absl::StrCat(Describe(key), ": the file changed since it was opened"));
  }
  absl::Status PastEnd(std::string_view key, uint64_t offset, uint64_t size) const {
    return absl::DataLossError(absl::StrCat(Describe(key), ": ", size, " bytes wanted from offset ",
                                            offset, ", but the file is shorter"));
  }

  const std::shared_ptr<Fetcher> fetcher_;
  HttpUrl base_;  // without '/' at its end
  const std::string token_;
};

}  // namespace

std::shared_ptr<ObjectStore> MakeHttpStore(std::shared_ptr<Fetcher> fetcher, const HttpUrl& base,
                                           const std::string& token) {
  return std::make_shared<HttpStore>(std::move(fetcher), base, token);
}

}  // namespace merganser

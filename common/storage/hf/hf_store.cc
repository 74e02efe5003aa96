#include "common/storage/hf/hf_store.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/http/ranges.h"
#include "common/storage/read_only_store.h"

namespace merganser {
namespace {

constexpr StoreTraits kTraits = {
    .read_only = true, .read_size = kHttpReadSize, .reads_in_flight = kHttpReadsInFlight};

// Signed addresses end after an hour or so; a file that is read for longer is asked for anew.
constexpr std::chrono::minutes kAddressKept(5);

absl::Status NotCached(const HfLocation& location) {
  return absl::NotFoundError(absl::StrCat(
      "model ", Shown(location.ToString()),
      ": HF_HUB_OFFLINE is set, and the local cache does not have it: fetch it first, e.g. with: "
      "huggingface-cli download ",
      Shown(location.repository)));
}

class HfStore final : public ReadOnlyStore {
 public:
  HfStore(std::shared_ptr<const Hub> hub, std::shared_ptr<const HfCachedModel> cached,
          const HfLocation& location)
      : hub_(std::move(hub)),
        cached_(std::move(cached)),
        prefix_(location.folder.empty() ? "" : absl::StrCat(location.folder, "/")),
        location_(location) {}

  StoreTraits traits() const override { return kTraits; }

  std::string Describe(std::string_view key) const override {
    MutexLock lock(mutex_);
    return Shown(absl::StrCat(location_.ToString(), key.empty() ? "" : "/", std::string(key)));
  }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MERGANSER_RETURN_IF_ERROR(Pin());
    if (FromCacheAlone()) return cached_->Stat(commit(), Path(key));
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const HfModelInfo> info, Info());
    const auto found = info->files.find(Path(key));
    if (found == info->files.end()) return std::optional<ObjectInfo>();
    return InfoOf(key, found->second);
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const std::optional<HfFile> expected = HfFile::Parse(if_match);
    if (expected.has_value() && (offset > expected->size || out.size() > expected->size - offset)) {
      return PastEnd(key, offset, out.size());
    }
    if (expected.has_value() && cached_ != nullptr && cached_->HasBlob(*expected)) {
      return cached_->ReadBlob(*expected, offset, out);
    }
    MERGANSER_RETURN_IF_ERROR(Pin());
    if (FromCacheAlone()) return cached_->Read(commit(), Path(key), offset, out, if_match);
    if (!if_match.empty() && !expected.has_value()) return Changed(key);
    // An address that ended is asked for anew. Several may end while one is under way.
    constexpr int kAddresses = 4;
    std::string refused;
    for (int i = 1; i < kAddresses; ++i) {
      absl::Status status = ReadOnce(key, offset, out, expected, refused);
      if (status.ok() || refused.empty()) return status;
    }
    return ReadOnce(key, offset, out, expected, refused);
  }

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    MERGANSER_RETURN_IF_ERROR(Pin());
    if (FromCacheAlone()) {
      MERGANSER_ASSIGN_OR_RETURN(Listing listing, cached_->List(commit(), Path(prefix), options));
      for (ListedObject& object : listing.objects) object.key.erase(0, prefix_.size());
      for (std::string& folder : listing.folders) folder.erase(0, prefix_.size());
      return listing;
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const HfModelInfo> info, Info());
    Listing listing;
    std::set<std::string> folders;
    const std::string begin = Path(prefix);
    for (auto at = info->files.lower_bound(begin); at != info->files.end(); ++at) {
      if (!at->first.starts_with(begin)) break;
      const std::string key = at->first.substr(prefix_.size());
      const size_t slash = options.flat ? key.find('/', prefix.size()) : std::string::npos;
      const bool known = slash != std::string::npos && folders.contains(key.substr(0, slash + 1));
      if (known) continue;
      if (listing.objects.size() + folders.size() >= options.limit) {
        listing.more = true;
        break;
      }
      if (slash != std::string::npos) {
        folders.insert(key.substr(0, slash + 1));
        continue;
      }
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> object, InfoOf(key, at->second));
      if (object.has_value()) listing.objects.push_back({key, *object});
    }
    listing.folders.assign(folders.begin(), folders.end());
    return listing;
  }

 private:
  struct Address {
    HubFile file;
    MonotonicTime asked;
  };

  std::string Path(std::string_view key) const { return absl::StrCat(prefix_, std::string(key)); }
  std::string commit() const {
    MutexLock lock(mutex_);
    return location_.revision;
  }

  // Once it has, the location is pinned.
  absl::Status Pin() {
    HfLocation location;
    {
      MutexLock lock(mutex_);
      if (settled_) return absl::OkStatus();
      location = location_;
    }
    MERGANSER_ASSIGN_OR_RETURN(location, PinHfLocation(*hub_, cached_.get(), location));
    const bool whole = cached_ != nullptr && cached_->IsWhole(location.revision, location.folder);
    if (!whole && hub_->offline() && cached_ == nullptr) return NotCached(location);
    MutexLock lock(mutex_);
    if (settled_) return absl::OkStatus();
    location_ = location;
    cache_alone_ = whole || hub_->offline();
    settled_ = true;
    return absl::OkStatus();
  }
  bool FromCacheAlone() const {
    MutexLock lock(mutex_);
    return cache_alone_;
  }

  absl::StatusOr<std::shared_ptr<const HfModelInfo>> Info() {
    HfLocation location;
    {
      MutexLock lock(mutex_);
      if (info_ != nullptr) return info_;
      location = location_;
    }
    MERGANSER_ASSIGN_OR_RETURN(HfModelInfo info,
                               hub_->Info(location.repository, location.revision));
    if (info.commit != location.revision) {
      return absl::DataLossError(absl::StrCat("model ", Shown(location.ToString()),
                                              ": the hub tells of commit ", info.commit));
    }
    MutexLock lock(mutex_);
    info_ = std::make_shared<const HfModelInfo>(std::move(info));
    return info_;
  }

  absl::StatusOr<std::optional<ObjectInfo>> InfoOf(std::string_view key,
                                                   const std::optional<HfFile>& told) {
    std::optional<HfFile> file = told;
    if (!file.has_value()) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<HubFile> located, Locate(key, ""));
      if (!located.has_value()) return std::optional<ObjectInfo>();
      file = located->file;
    }
    return std::optional<ObjectInfo>({.size = file->size, .identity = file->ToString()});
  }

  // `refused`: an address that is no longer good.
  absl::StatusOr<std::optional<HubFile>> Locate(std::string_view key, const std::string& refused) {
    const std::string path = Path(key);
    HfLocation location;
    const MonotonicTime now = SystemClock().Now();
    {
      MutexLock lock(mutex_);
      location = location_;
      const auto found = addresses_.find(path);
      if (found != addresses_.end() && now - found->second.asked < kAddressKept &&
          found->second.file.url.ToString() != refused) {
        return std::optional<HubFile>(found->second.file);
      }
    }
    MERGANSER_ASSIGN_OR_RETURN(std::optional<HubFile> file,
                               hub_->Locate(location.repository, location.revision, path));
    MutexLock lock(mutex_);
    if (file.has_value()) addresses_[path] = {*file, now};
    return file;
  }

  // `refused`: the address that was, if one was; on return the one that was now.
  absl::Status ReadOnce(std::string_view key, uint64_t offset, std::span<std::byte> out,
                        const std::optional<HfFile>& expected, std::string& refused) {
    const std::string ended = std::exchange(refused, "");
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<HubFile> file, Locate(key, ended));
    if (!file.has_value()) {
      if (!expected.has_value()) {
        return absl::NotFoundError(absl::StrCat(Describe(key), ": no such file"));
      }
      return absl::UnavailableError(
          absl::StrCat(Describe(key), ": no such file; it was there when it was opened"));
    }
    if (expected.has_value() && file->file != *expected) return Changed(key);
    const uint64_t size = file->file.size;
    if (offset > size || out.size() > size - offset) return PastEnd(key, offset, out.size());
    if (out.empty()) return absl::OkStatus();
    const std::vector<Fetch> fetches = RangeFetches(hub_->FetchOf(*file), offset, out);
    const std::vector<Fetched> all = hub_->fetcher().Do(fetches);
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t begin = static_cast<size_t>(fetches[i].sink.data() - out.data());
      const absl::Status status =
          CheckPiece(key, *file, all[i], offset + begin, fetches[i].sink.size());
      const int code = all[i].answer.code;
      // A signature that ended is a 403 to most, and a 400, 401, 404 or 410 to some.
      if (!status.ok() && !file->own && all[i].status.ok() && code >= 400 && code < 416) {
        refused = file->url.ToString();
      }
      MERGANSER_RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  absl::Status CheckPiece(std::string_view key, const HubFile& file, const Fetched& fetched,
                          uint64_t offset, uint64_t size) const {
    const std::string what = absl::StrCat("read ", Describe(key));
    if (!fetched.status.ok()) {
      return Annotate(fetched.status,
                      file.own ? what : absl::StrCat(what, " at ", Shown(file.url.Origin())));
    }
    const int code = fetched.answer.code;
    if (!fetched.success() && code != 416) {
      if (code == 429 || code == 408 || code >= 500) {
        return absl::UnavailableError(absl::StrCat(what, ": found ", Said(fetched.answer)));
      }
      if (file.own) return Annotate(Explain(fetched.answer), what);
      return absl::FailedPreconditionError(absl::StrCat(what, ": ", Shown(file.url.Origin()),
                                                        " answers ", code,
                                                        " at the address that the hub gave"));
    }
    const absl::StatusOr<uint64_t> total = CheckRange(fetched.answer, offset, size);
    if (absl::IsOutOfRange(total.status())) return Changed(key);
    if (!total.ok()) return Annotate(total.status(), what);
    return *total == file.file.size ? absl::OkStatus() : Changed(key);
  }

  absl::Status Explain(const HttpAnswer& answer) const {
    MutexLock lock(mutex_);
    return hub_->Explain(answer, location_.repository, location_.revision);
  }

  absl::Status Changed(std::string_view key) const {
    return absl::DataLossError(absl::StrCat(
        Describe(key), ": the file is another than when it was opened, by its size or ETag"));
  }
  absl::Status PastEnd(std::string_view key, uint64_t offset, uint64_t size) const {
    return absl::DataLossError(absl::StrCat(Describe(key), ": ", size, " bytes wanted from offset ",
                                            offset, ", but the file is shorter"));
  }

  const std::shared_ptr<const Hub> hub_;
  const std::shared_ptr<const HfCachedModel> cached_;
  const std::string prefix_;  // of paths in the repository: "" or with a '/' at its end
  mutable Mutex mutex_;
  HfLocation location_ MERGANSER_GUARDED_BY(mutex_);
  bool settled_ MERGANSER_GUARDED_BY(mutex_) = false;  // pinned, and where it is read from
  bool cache_alone_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const HfModelInfo> info_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, Address> addresses_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<HfLocation> PinHfLocation(const Hub& hub, const HfCachedModel* cached,
                                         const HfLocation& location) {
  if (location.pinned()) return location;
  HfLocation pinned = location;
  const std::optional<std::string> commit =
      cached == nullptr ? std::nullopt : cached->Commit(location.revision);
  if (commit.has_value() && (hub.offline() || cached->IsWhole(*commit, location.folder))) {
    pinned.revision = *commit;
    return pinned;
  }
  if (hub.offline()) return NotCached(location);
  MERGANSER_ASSIGN_OR_RETURN(const HfModelInfo info,
                             hub.Info(location.repository, location.revision));
  pinned.revision = info.commit;
  return pinned;
}

std::shared_ptr<ObjectStore> MakeHfStore(std::shared_ptr<const Hub> hub,
                                         std::shared_ptr<const HfCachedModel> cached,
                                         const HfLocation& location) {
  return std::make_shared<HfStore>(std::move(hub), std::move(cached), location);
}

}  // namespace merganser

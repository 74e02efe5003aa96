#include "common/storage/memory/memory_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/storage/pieces.h"

namespace merganser {
namespace {

class MemoryStore final : public ObjectStore {
 public:
  MemoryStore(std::string_view name, const StoreTraits& traits) : name_(name), traits_(traits) {}

  StoreTraits traits() const override { return traits_; }

  std::string Describe(std::string_view key) const override {
    return absl::StrCat("memory://", name_, key.empty() ? "" : "/", OneLine(key));
  }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MutexLock lock(mutex_);
    const auto it = objects_.find(key);
    if (it == objects_.end()) return std::optional<ObjectInfo>();
    return std::optional<ObjectInfo>(InfoOf(it->second));
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    std::shared_ptr<const std::string> bytes;
    {
      MutexLock lock(mutex_);
      const auto it = objects_.find(key);
      if (it == objects_.end()) {
        if (!if_match.empty()) {
          return absl::UnavailableError(
              absl::StrCat(Describe(key), ": no such object; it was there when it was opened"));
        }
        return absl::NotFoundError(absl::StrCat(Describe(key), ": no such object"));
      }
      const std::string identity = InfoOf(it->second).identity;
      if (!if_match.empty() && identity != if_match) {
        return absl::DataLossError(absl::StrCat(Describe(key), ": the object changed: found ",
                                                identity, ", expected ", OneLine(if_match)));
      }
      bytes = it->second.bytes;
    }
    // The bytes of one identity never change, so there is nothing to check after.
    if (offset > bytes->size() || out.size() > bytes->size() - offset) {
      return absl::DataLossError(absl::StrCat(Describe(key), ": ", out.size(),
                                              " bytes wanted from offset ", offset, ", but it has ",
                                              bytes->size(), " bytes"));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes->data() + offset, out.size());
    return absl::OkStatus();
  }

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    Listing listing;
    MutexLock lock(mutex_);
    for (auto it = objects_.lower_bound(prefix); it != objects_.end(); ++it) {
      const std::string& key = it->first;
      if (!key.starts_with(prefix)) break;
      const size_t slash = options.flat ? key.find('/', prefix.size()) : std::string::npos;
      const bool deeper = slash != std::string::npos;
      std::string folder = deeper ? key.substr(0, slash + 1) : "";
      if (deeper && !listing.folders.empty() && listing.folders.back() == folder) continue;
      listing.more = listing.objects.size() + listing.folders.size() >= options.limit;
      if (listing.more) break;
      if (deeper) {
        listing.folders.push_back(std::move(folder));
      } else {
        listing.objects.push_back({key, InfoOf(it->second)});
      }
    }
    return listing;
  }

  absl::Status Put(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    auto copy = std::make_shared<const std::string>(bytes);
    MutexLock lock(mutex_);
    Publish(std::string(key), std::move(copy));
    return absl::OkStatus();
  }

  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    auto copy = std::make_shared<const std::string>(bytes);
    MutexLock lock(mutex_);
    if (objects_.find(key) != objects_.end()) return false;
    Publish(std::string(key), std::move(copy));
    return true;
  }

  absl::Status Delete(std::string_view key, std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MutexLock lock(mutex_);
    const auto it = objects_.find(key);
    if (it == objects_.end()) return absl::OkStatus();
    if (if_match.empty() || InfoOf(it->second).identity == if_match) objects_.erase(it);
    return absl::OkStatus();
  }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(layout.key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(layout.key)));
    PlannedWrite write{layout.key, layout.size, std::string(writer)};
    if (traits_.whole_pieces) {
      MERGANSER_RETURN_IF_ERROR(CheckPieces(layout, traits_, Describe(layout.key)));
      write.ends = layout.ends;
    }
    auto partial = std::make_shared<Partial>();
    if (layout.size > partial->bytes.max_size()) return Full(layout.key, layout.size);
    try {
      partial->bytes.resize(layout.size);
    } catch (const std::bad_alloc&) {
      return Full(layout.key, layout.size);
    }
    partial->writer = writer;
    partial->begun = Tick();
    partial->proofs.resize(traits_.whole_pieces ? PieceCount(write) : 0);
    MutexLock lock(mutex_);
    // As multipart uploads are: whoever begins again has two.
    if (traits_.whole_pieces) write.upload = absl::StrCat(write.upload, ".", ++last_upload_);
    partials_[{write.key, write.upload}] = std::move(partial);
    return write;
  }

  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    if (offset > write.size || bytes.size() > write.size - offset) {
      return absl::InvalidArgumentError(
          absl::StrCat(Describe(write.key), ": a write of ", bytes.size(), " bytes at offset ",
                       offset, " goes beyond the planned size of ", write.size, " bytes"));
    }
    if (traits_.whole_pieces) return WritePiece(write, offset, bytes);
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Partial> partial, Find(write));
    if (!bytes.empty()) std::memcpy(partial->bytes.data() + offset, bytes.data(), bytes.size());
    return WriteReceipt{offset, bytes.size(), ""};
  }

  absl::Status FlushWrite(const PlannedWrite& write) override {
    // A piece is durable when it is written, and nobody is asked.
    return traits_.whole_pieces ? absl::OkStatus() : Find(write).status();
  }

  absl::StatusOr<bool> Stands(const PlannedWrite& write) override { return Find(write).ok(); }

  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite& write,
                                                 std::span<const WriteReceipt> receipts) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Partial> partial, Find(write));
    std::vector<size_t> lost;
    MutexLock lock(mutex_);
    for (size_t i = 0; i < partial->proofs.size(); ++i) {
      const Known known = IsKnown(write, *partial, i, receipts);
      if (known.told && !known.as_told) lost.push_back(i);
    }
    return lost;
  }

  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    MERGANSER_RETURN_IF_ERROR(CheckCoverage(receipts, write.size, Describe(write.key)));
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Partial> partial, Find(write));
    MutexLock lock(mutex_);
    const auto it = partials_.find({write.key, write.upload});
    if (it == partials_.end() || it->second != partial) return Gone(write);
    MERGANSER_RETURN_IF_ERROR(CheckProofs(write, *partial, receipts));
    // Copied, not moved: a writer that is late must not reach published bytes.
    auto bytes = std::make_shared<const std::string>(partial->bytes);
    partials_.erase(it);
    Publish(write.key, std::move(bytes));
    return absl::OkStatus();
  }

  absl::Status AbortWrite(const PlannedWrite& write) override {
    MutexLock lock(mutex_);
    partials_.erase({write.key, write.upload});
    return absl::OkStatus();
  }

  absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                             std::optional<WallTime> since) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(key)));
    if (!traits_.knows_writers && !since.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat(Describe(key), ": it is not said since when writes are to be aborted"));
    }
    MutexLock lock(mutex_);
    std::erase_if(partials_, [&](const auto& partial) {
      if (partial.first.first != key) return false;
      return traits_.knows_writers ? partial.second->writer == writer
                                   : partial.second->begun >= *since;
    });
    return absl::OkStatus();
  }

 private:
  struct Object {
    std::shared_ptr<const std::string> bytes;
    uint64_t version = 0;
    WallTime modified = {};
  };
  struct Partial {
    std::string writer;
    WallTime begun = {};
    // Free ranges of concurrent calls do not overlap, so these need no lock; whole pieces are
    // written under it, with their proofs: a piece that is written twice is the later one.
    std::string bytes;
    std::vector<std::string> proofs;  // one a piece, empty while it is missing
  };

  ObjectInfo InfoOf(const Object& object) const {
    ObjectInfo info{object.bytes->size(), absl::StrCat("v", object.version)};
    if (!traits_.knows_writers) info.modified = object.modified;
    return info;
  }

  // The store's clock: no two moments are the same.
  WallTime Tick() { return WallTime(std::chrono::seconds(++clock_)); }

  void Publish(std::string key, std::shared_ptr<const std::string> bytes)
      MERGANSER_REQUIRES(mutex_) {
    objects_[std::move(key)] = Object{std::move(bytes), ++last_version_, Tick()};
  }

  absl::Status Full(std::string_view key, uint64_t size) const {
    return absl::ResourceExhaustedError(
        absl::StrCat(Describe(key), ": no memory for ", size, " bytes"));
  }

  absl::Status Gone(const PlannedWrite& write) const {
    return absl::NotFoundError(
        absl::StrCat(Describe(write.key), ": no write by \"", OneLine(write.upload),
                     "\" is under way: it was committed or aborted, or never begun"));
  }

  absl::StatusOr<std::shared_ptr<Partial>> Find(const PlannedWrite& write) {
    MutexLock lock(mutex_);
    const auto it = partials_.find({write.key, write.upload});
    if (it == partials_.end() || it->second->bytes.size() != write.size) return Gone(write);
    return it->second;
  }

  absl::StatusOr<WriteReceipt> WritePiece(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) {
    MERGANSER_ASSIGN_OR_RETURN(const size_t piece,
                               PieceAt(write, offset, bytes.size(), Describe(write.key)));
    MutexLock lock(mutex_);
    const auto it = partials_.find({write.key, write.upload});
    if (it == partials_.end() || it->second->bytes.size() != write.size) return Gone(write);
    Partial& partial = *it->second;
    std::memcpy(partial.bytes.data() + offset, bytes.data(), bytes.size());
    // Another one each time, as ETags of encrypted parts are.
    partial.proofs[piece] = absl::StrCat("proof-", ++last_proof_);
    return WriteReceipt{offset, bytes.size(), partial.proofs[piece]};
  }

  struct Known {
    bool told = false;     // some receipt is of the piece
    bool as_told = false;  // and one says what is there
  };
  static Known IsKnown(const PlannedWrite& write, const Partial& partial, size_t piece,
                       std::span<const WriteReceipt> receipts) {
    const uint64_t begin = piece == 0 ? 0 : write.ends[piece - 1];
    Known known;
    for (const WriteReceipt& receipt : receipts) {
      if (receipt.offset != begin) continue;
      known.told = true;
      known.as_told |= receipt.proof == partial.proofs[piece];
    }
    return known;
  }

  absl::Status CheckProofs(const PlannedWrite& write, const Partial& partial,
                           std::span<const WriteReceipt> receipts) const {
    for (size_t i = 0; i < partial.proofs.size(); ++i) {
      if (IsKnown(write, partial, i, receipts).as_told) continue;
      return absl::DataLossError(
          absl::StrCat(Describe(write.key), ": piece ", i,
                       " is another than its receipts say: it was written again, or is missing"));
    }
    return absl::OkStatus();
  }

  const std::string name_;
  const StoreTraits traits_;
  std::atomic<int64_t> clock_ = 0;
  Mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_ MERGANSER_GUARDED_BY(mutex_);
  // By key and upload.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Partial>> partials_
      MERGANSER_GUARDED_BY(mutex_);
  uint64_t last_version_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t last_upload_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t last_proof_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::shared_ptr<ObjectStore> MakeMemoryStore(std::string_view name, const StoreTraits& traits) {
  return std::make_shared<MemoryStore>(name, traits);
}

}  // namespace merganser

// A store of which one call fails: the n-th, before it did anything or after it
// did everything (an answer that got lost). For walking through every call of a
// protocol.
#ifndef MERGANSER_TESTS_COMMON_ENGINE_FAILING_STORE_H_
#define MERGANSER_TESTS_COMMON_ENGINE_FAILING_STORE_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/storage/object_store.h"

namespace merganser {

enum class FailWhen { kBefore, kAfter };

// Beside a walk through all calls no beat may come of itself, however slow the machine is.
inline constexpr Duration kNoBeats = std::chrono::hours(1);

// Not thread-safe.
class FailingStore final : public ObjectStore {
 public:
  explicit FailingStore(std::shared_ptr<ObjectStore> inner) : inner_(std::move(inner)) {}

  // From now on call number `call` (from 0) fails. With `onwards` all that follow
  // fail before they do anything: a process that was killed there.
  void FailAt(int call, FailWhen when, bool onwards = false) {
    next_ = 0;
    call_ = call;
    when_ = when;
    onwards_ = onwards;
    failed_.clear();
    calls_.clear();
  }
  // Before call number `call` (from 0, counted anew) the process is stopped, and woken when
  // `meanwhile` has come back. That may use this store too.
  void StopAt(int call, std::function<void()> meanwhile) {
    next_ = 0;
    stop_ = call;
    stopped_.clear();
    meanwhile_ = std::move(meanwhile);
  }
  // The call before which it was stopped, empty while it was not.
  const std::string& stopped() const { return stopped_; }
  // The call that failed, empty while none did.
  const std::string& failed() const { return failed_; }
  // Calls since FailAt, or since the start.
  int Calls(std::string_view name, std::string_view key) const {
    const auto found = calls_.find(absl::StrCat(std::string(name), " ", std::string(key)));
    return found == calls_.end() ? 0 : found->second;
  }
  // Planned writes that were begun and neither committed nor aborted, as "KEY by
  // WRITER".
  std::vector<std::string> OpenWrites() const {
    std::vector<std::string> open;
    for (const auto& [name, write] : open_) open.push_back(name);
    return open;
  }

  std::string Describe(std::string_view key) const override { return inner_->Describe(key); }
  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    return Do<absl::StatusOr<std::optional<ObjectInfo>>>("Stat", key,
                                                         [&] { return inner_->Stat(key); });
  }
  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    return Do<absl::Status>("Read", key, [&] { return inner_->Read(key, offset, out, if_match); });
  }
  absl::StatusOr<std::vector<ListedObject>> List(std::string_view prefix) override {
    return Do<absl::StatusOr<std::vector<ListedObject>>>("List", prefix,
                                                         [&] { return inner_->List(prefix); });
  }
  absl::StatusOr<std::vector<ListedObject>> ListFolder(std::string_view folder,
                                                       size_t limit) override {
    return Do<absl::StatusOr<std::vector<ListedObject>>>(
        "ListFolder", folder, [&] { return inner_->ListFolder(folder, limit); });
  }
  absl::Status Put(std::string_view key, std::string_view bytes) override {
    return Do<absl::Status>("Put", key, [&] { return inner_->Put(key, bytes); });
  }
  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    return Do<absl::StatusOr<bool>>("PutIfAbsent", key,
                                    [&] { return inner_->PutIfAbsent(key, bytes); });
  }
  absl::Status Delete(std::string_view key, std::string_view if_match = {}) override {
    return Do<absl::Status>("Delete", key, [&] { return inner_->Delete(key, if_match); });
  }
  absl::StatusOr<PlannedWrite> BeginWrite(std::string_view key, uint64_t size,
                                          std::string_view writer) override {
    return Do<absl::StatusOr<PlannedWrite>>("BeginWrite", key, [&] {
      absl::StatusOr<PlannedWrite> write = inner_->BeginWrite(key, size, writer);
      // Beginning again starts over, so one name has one upload.
      const std::string name = absl::StrCat(std::string(key), " by ", std::string(writer));
      if (write.ok()) open_[name] = *write;
      return write;
    });
  }
  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    return Do<absl::StatusOr<WriteReceipt>>(
        "WriteRange", write.key, [&] { return inner_->WriteRange(write, offset, bytes); });
  }
  absl::Status FlushWrite(const PlannedWrite& write) override {
    return Do<absl::Status>("FlushWrite", write.key, [&] { return inner_->FlushWrite(write); });
  }
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    return Do<absl::Status>("CommitWrite", write.key,
                            [&] { return Closed(write, inner_->CommitWrite(write, receipts)); });
  }
  absl::Status AbortWrite(const PlannedWrite& write) override {
    return Do<absl::Status>("AbortWrite", write.key,
                            [&] { return Closed(write, inner_->AbortWrite(write)); });
  }

 private:
  absl::Status Closed(const PlannedWrite& write, absl::Status status) {
    if (status.ok()) {
      std::erase_if(open_, [&](const auto& open) {
        return open.second.key == write.key && open.second.upload == write.upload;
      });
    }
    return status;
  }
  template <typename Result, typename Call>
  Result Do(const char* name, std::string_view key, const Call& call) {
    ++calls_[absl::StrCat(name, " ", std::string(key))];
    const int number = next_++;
    if (number == stop_) {
      stop_ = -1;
      stopped_ = absl::StrCat(name, " ", std::string(key));
      meanwhile_();
    }
    if (call_ < 0 || number < call_ || (number > call_ && !onwards_)) return call();
    if (when_ == FailWhen::kAfter && number == call_) (void)call();
    if (failed_.empty()) failed_ = absl::StrCat(name, " ", std::string(key));
    return absl::UnavailableError(absl::StrCat("injected: ", name, " ", std::string(key)));
  }

  std::shared_ptr<ObjectStore> inner_;
  int next_ = 0;
  int call_ = -1;
  int stop_ = -1;
  std::string stopped_;
  std::function<void()> meanwhile_;
  FailWhen when_ = FailWhen::kBefore;
  bool onwards_ = false;
  std::string failed_;
  std::map<std::string, int> calls_;
  std::map<std::string, PlannedWrite> open_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_ENGINE_FAILING_STORE_H_

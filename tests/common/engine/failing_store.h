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
#include "common/storage/forwarding_store.h"

namespace merganser {

enum class FailWhen { kBefore, kAfter };

// Beside a walk through all calls no beat may come of itself, however slow the machine is.
inline constexpr Duration kNoBeats = std::chrono::hours(1);

// Knows what planned writes there are. Not thread-safe.
class WritesTally final : public ForwardingStore {
 public:
  explicit WritesTally(std::shared_ptr<ObjectStore> wrapped)
      : ForwardingStore(std::move(wrapped)) {}

  // "KEY by WRITER" of those that were begun and neither committed nor aborted.
  std::vector<std::string> open() const {
    std::vector<std::string> names;
    for (const auto& [name, write] : open_) names.push_back(name);
    return names;
  }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    absl::StatusOr<PlannedWrite> write = ForwardingStore::BeginWrite(layout, writer);
    const std::string name = absl::StrCat(layout.key, " by ", std::string(writer));
    if (write.ok()) {
      // Where a write has the name of its writer, beginning again has no second one.
      std::erase_if(open_, [&](const auto& open) {
        return open.second.upload == write->upload && open.second.key == write->key;
      });
      open_.emplace(name, *write);
    }
    return write;
  }
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    return Closed(write, ForwardingStore::CommitWrite(write, receipts));
  }
  absl::Status AbortWrite(const PlannedWrite& write) override {
    return Closed(write, ForwardingStore::AbortWrite(write));
  }
  absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                             std::optional<WallTime> since) override {
    absl::Status status = ForwardingStore::AbortWritesOf(key, writer, since);
    // Those that it left are known by what still stands.
    if (status.ok()) {
      std::erase_if(open_, [&](const auto& open) {
        return open.second.key == key && !wrapped().Stands(open.second).value_or(true);
      });
    }
    return status;
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

  std::multimap<std::string, PlannedWrite> open_;
};

// Not thread-safe.
class FailingStore final : public ForwardingStore {
 public:
  explicit FailingStore(std::shared_ptr<ObjectStore> inner)
      : FailingStore(std::make_shared<WritesTally>(std::move(inner))) {}

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
  std::vector<std::string> OpenWrites() const { return tally_->open(); }

 private:
  explicit FailingStore(std::shared_ptr<WritesTally> tally)
      : ForwardingStore(tally), tally_(std::move(tally)) {}

  absl::Status Around(const StoreRequest& request, Work work) override {
    const std::string call =
        absl::StrCat(std::string(StoreOpName(request.op)), " ", std::string(request.key));
    ++calls_[call];
    const int number = next_++;
    if (number == stop_) {
      stop_ = -1;
      stopped_ = call;
      meanwhile_();
    }
    if (call_ < 0 || number < call_ || (number > call_ && !onwards_)) return work();
    if (when_ == FailWhen::kAfter && number == call_) work().IgnoreError();
    if (failed_.empty()) failed_ = call;
    return absl::UnavailableError(absl::StrCat("injected: ", call));
  }

  int next_ = 0;
  int call_ = -1;
  int stop_ = -1;
  std::string stopped_;
  std::function<void()> meanwhile_;
  FailWhen when_ = FailWhen::kBefore;
  bool onwards_ = false;
  std::string failed_;
  std::map<std::string, int> calls_;
  const std::shared_ptr<WritesTally> tally_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_ENGINE_FAILING_STORE_H_

#include "tests/worker/sources/mpi/local_world.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"

namespace merganser {

class LocalWorld::Place final : public Transport {
 public:
  Place(LocalWorld& world, int rank) : world_(world), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(world_.places_.size()); }

  absl::Status Send(int to, std::string bytes) override {
    MutexLock lock(world_.mutex_);
    if (world_.broken_) return Gone();
    const auto message = ParseMessage(bytes);
    EXPECT_TRUE(message.ok()) << message.status();
    if (message.ok()) world_.sent_.emplace_back(message->kind, rank_);
    if (world_.silenced_.contains(rank_)) return absl::OkStatus();
    world_.inboxes_[static_cast<size_t>(to)].push_back({rank_, std::move(bytes)});
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<Arrived>> Receive() override {
    MutexLock lock(world_.mutex_);
    if (world_.broken_) return Gone();
    std::deque<Arrived>& inbox = world_.inboxes_[static_cast<size_t>(rank_)];
    if (inbox.empty()) return std::nullopt;
    Arrived arrived = std::move(inbox.front());
    inbox.pop_front();
    return arrived;
  }

  absl::Status Broadcast(std::string bytes) override {
    MutexLock lock(world_.mutex_);
    EXPECT_EQ(rank_, 0);
    world_.broadcasts_.push_back(std::move(bytes));
    return absl::OkStatus();
  }

  absl::Status Expect(uint64_t size) override {
    sizes_.push_back(size);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<std::string>> TakeBroadcast() override {
    MutexLock lock(world_.mutex_);
    if (world_.broken_) return Gone();
    if (taken_ == sizes_.size() || taken_ == world_.broadcasts_.size()) return std::nullopt;
    EXPECT_EQ(world_.broadcasts_[taken_].size(), sizes_[taken_]);
    return world_.broadcasts_[taken_++];
  }

  absl::StatusOr<bool> AllSent() override { return true; }

 private:
  static absl::Status Gone() { return absl::UnavailableError("the others are gone"); }

  LocalWorld& world_;
  const int rank_;
  std::vector<uint64_t> sizes_;  // of expected broadcasts
  size_t taken_ = 0;
};

LocalWorld::LocalWorld(int size) : inboxes_(static_cast<size_t>(size)) {
  for (int r = 0; r < size; ++r) places_.push_back(std::make_unique<Place>(*this, r));
}

Transport& LocalWorld::of(int rank) { return *places_[static_cast<size_t>(rank)]; }

void LocalWorld::Silence(int rank) {
  MutexLock lock(mutex_);
  silenced_.insert(rank);
}

void LocalWorld::Break() {
  MutexLock lock(mutex_);
  broken_ = true;
}

int LocalWorld::sent(MessageKind kind, int from) const {
  MutexLock lock(mutex_);
  return static_cast<int>(
      std::count(sent_.begin(), sent_.end(), std::pair<MessageKind, int>(kind, from)));
}

}  // namespace merganser

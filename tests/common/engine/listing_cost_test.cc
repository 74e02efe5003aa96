// What it costs to claim and clear an output that millions of other objects lie below.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/engine/job_output.h"
#include "common/publish/publish_merge.h"
#include "common/storage/forwarding_store.h"
#include "common/storage/memory/memory_store.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

// Counts lists as buckets do: a request for every thousand that are told of.
class PagedStore final : public ForwardingStore {
 public:
  explicit PagedStore(std::shared_ptr<ObjectStore> wrapped) : ForwardingStore(std::move(wrapped)) {}

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    absl::StatusOr<Listing> listing = ForwardingStore::List(prefix, options);
    const size_t told = listing.ok() ? listing->objects.size() + listing->folders.size() : 0;
    pages_ += std::max<size_t>(1, (told + kPage - 1) / kPage);
    return listing;
  }

  size_t TakePages() { return pages_.exchange(0); }

 private:
  static constexpr size_t kPage = 1000;
  std::atomic<size_t> pages_ = 0;
};

class ListingCostTest : public ::testing::Test {
 protected:
  ListingCostTest() {
    // Twenty pages stand for two thousand: what looks at them all is seen.
    for (int i = 0; i < 20'000; ++i) {
      EXPECT_TRUE(store_->Put(absl::StrCat("data/", i % 100, "/", i), "").ok());
    }
  }

  static JobOutputOptions Options(bool overwrite) {
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = "job";
    options.overwrite = overwrite;
    return options;
  }

  const std::shared_ptr<PagedStore> store_ =
      std::make_shared<PagedStore>(MakeMemoryStore("out", TestTraits()));
  const Plan plan_ = TwoShardPlan();
};

TEST_F(ListingCostTest, AnOutputThatIsNotEmptyIsRefusedAtOnce) {
  const auto output = JobOutput::Begin(store_, "memory://out", plan_, Options(false));
  EXPECT_EQ(output.status().code(), absl::StatusCode::kFailedPrecondition) << output.status();
  EXPECT_LE(store_->TakePages(), 2u);
}

TEST_F(ListingCostTest, AMergeBesideThemLooksAtItsOwnAlone) {
  auto output = JobOutput::Begin(store_, "memory://out", plan_, Options(true));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_LE(store_->TakePages(), 5u);
  const auto results = WriteUnits(plan_, (*output)->writes(), *store_, 1);
  ASSERT_TRUE(results.ok()) << results.status();
  const Checkpoint reference = MakeReference({});
  ASSERT_TRUE(
      PublishModel(**output, *results, reference, BuildReport(plan_, *results, SomeRun())).ok());
  EXPECT_LE(store_->TakePages(), 5u);
}

TEST_F(ListingCostTest, SoDoesOneThatIsAbandoned) {
  auto output = JobOutput::Begin(store_, "memory://out", plan_, Options(true));
  ASSERT_TRUE(output.ok()) << output.status();
  store_->TakePages();
  ASSERT_TRUE((*output)->Abandon().ok());
  EXPECT_LE(store_->TakePages(), 5u);
}

}  // namespace
}  // namespace merganser

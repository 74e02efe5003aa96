#include "common/storage/store_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/storage/forwarding_store.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/stores.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Series of `name` that are not 0, by their labels' values.
std::map<std::vector<std::string>, double> Moved(const MetricRegistry& registry,
                                                 std::string_view name) {
  std::map<std::vector<std::string>, double> moved;
  for (const MetricFamily& family : registry.Snapshot()) {
    if (family.name != name) continue;
    for (const MetricSample& sample : family.samples) {
      double value = sample.value;
      for (const uint64_t count : sample.counts) value += static_cast<double>(count);
      if (value != 0) moved[sample.labels] = value;
    }
  }
  return moved;
}

using Labels = std::vector<std::string>;

class StoreMetricsTest : public ::testing::Test {
 protected:
  const std::shared_ptr<MetricRegistry> registry_ = std::make_shared<MetricRegistry>();
  const Stores stores_{StoreOptions{.metrics = registry_}};
};

TEST_F(StoreMetricsTest, CountsCallsByOperationSchemeAndCode) {
  const TempDir dir;
  const auto store = *stores_.Open(dir.path());
  ASSERT_TRUE(store->Put("a", "12345").ok());
  std::vector<std::byte> bytes(4);
  ASSERT_TRUE(store->Read("a", 0, bytes).ok());
  ASSERT_TRUE(store->Read("a", 1, bytes).ok());
  EXPECT_FALSE(store->Read("missing", 0, bytes).ok());
  EXPECT_FALSE(store->Stat("missing")->has_value());
  EXPECT_THAT(Moved(*registry_, "merganser_storage_requests_total"),
              UnorderedElementsAre(Pair(Labels{"Put", "file", "OK"}, 1),
                                   Pair(Labels{"Read", "file", "OK"}, 2),
                                   Pair(Labels{"Read", "file", "NOT_FOUND"}, 1),
                                   Pair(Labels{"Stat", "file", "OK"}, 1)));
  EXPECT_THAT(Moved(*registry_, "merganser_storage_request_seconds"),
              UnorderedElementsAre(Pair(Labels{"Put", "file"}, 1), Pair(Labels{"Read", "file"}, 3),
                                   Pair(Labels{"Stat", "file"}, 1)));
}

TEST_F(StoreMetricsTest, CountsTheBytesThatMoved) {
  const auto store = *stores_.Open("memory://store-metrics-bytes");
  ASSERT_TRUE(store->Put("a", "12345").ok());
  std::vector<std::byte> bytes(4);
  ASSERT_TRUE(store->Read("a", 0, bytes).ok());
  EXPECT_FALSE(store->Read("a", 3, bytes).ok());  // past the end: nothing moved
  const auto write = store->BeginWrite({"b", 8}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  ASSERT_TRUE(store->WriteRange(*write, 0, bytes).ok());
  EXPECT_THAT(Moved(*registry_, "merganser_storage_read_bytes_total"),
              ElementsAre(Pair(Labels{"memory"}, 4)));
  EXPECT_THAT(Moved(*registry_, "merganser_storage_written_bytes_total"),
              ElementsAre(Pair(Labels{"memory"}, 9)));
}

TEST_F(StoreMetricsTest, WhatRootsForbidIsCountedAsRefused) {
  const TempDir dir, other;
  const auto roots = AllowedRoots::Make({dir.path()}, "/", "the worker");
  ASSERT_TRUE(roots.ok());
  const Stores within(StoreOptions{.roots = *roots, .metrics = registry_});
  EXPECT_FALSE(within.Open(other.path()).ok());
  const auto store = *within.Open(dir.path());
  ASSERT_EQ(symlink(other.path().c_str(), dir.File("out").c_str()), 0);
  EXPECT_FALSE(store->Stat("out/a").ok());
  EXPECT_THAT(Moved(*registry_, "merganser_storage_requests_total"),
              ElementsAre(Pair(Labels{"Stat", "file", "PERMISSION_DENIED"}, 1)));
}

TEST_F(StoreMetricsTest, AllStoresOfOneRegistryCountTogetherAndOthersApart) {
  ASSERT_TRUE((*stores_.Open("memory://store-metrics-a"))->Put("a", "1").ok());
  const Stores same(StoreOptions{.metrics = registry_});
  ASSERT_TRUE((*same.Open("memory://store-metrics-b"))->Put("a", "1").ok());
  ASSERT_TRUE((*Stores().Open("memory://store-metrics-c"))->Put("a", "1").ok());
  EXPECT_EQ(stores_.metrics(), registry_);
  EXPECT_THAT(Moved(*registry_, "merganser_storage_written_bytes_total"),
              ElementsAre(Pair(Labels{"memory"}, 2)));
}

TEST_F(StoreMetricsTest, TheReportsCountsAreTheRegistrys) {
  const StoreMetrics metrics(registry_);
  metrics.Http("s3")->bytes_read += 10;
  ++metrics.Http("gs")->retries;
  ++metrics.Http("s3")->throttled;
  metrics.Http("https")->bytes_read += 99;  // no bucket
  EXPECT_EQ(stores_.Counts(), (StorageCounts{.retries = 1, .throttled = 1, .bytes_read = 10}));
  EXPECT_THAT(Moved(*registry_, "merganser_storage_retries_total"),
              ElementsAre(Pair(Labels{"gs"}, 1)));
}

TEST_F(StoreMetricsTest, SchemesThatAreOneStoreAreOneLabel) {
  EXPECT_EQ(StoreMetrics::SchemeOf("http"), StoreMetrics::SchemeOf("https"));
  EXPECT_NE(StoreMetrics::SchemeOf("s3"), StoreMetrics::SchemeOf("gs"));
  EXPECT_EQ(StoreMetrics::SchemeOf("ftp"), StoreMetrics::SchemeOf("gopher"));
}

TEST_F(StoreMetricsTest, NamesAreByTheRules) { EXPECT_THAT(registry_->problems(), IsEmpty()); }

TEST_F(StoreMetricsTest, AnswersOfAMeteredStoreAreThoseOfTheStore) {
  const auto store = MakeMeteredStore(MakeMemoryStore("metered"), "memory",
                                      std::make_shared<const StoreMetrics>(registry_));
  EXPECT_TRUE(*store->PutIfAbsent("a", "1"));
  EXPECT_FALSE(*store->PutIfAbsent("a", "2"));
  EXPECT_EQ(store->List("")->objects.size(), 1u);
  EXPECT_TRUE(store->Delete("a").ok());
  EXPECT_FALSE(store->Stat("a")->has_value());
}

}  // namespace
}  // namespace merganser

// Every byte of the output has one place, and one unit that writes it.
#include "common/plan/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/format/safetensors.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kSeed = 77;
constexpr uint64_t kMebi = uint64_t{1} << 20;

uint64_t Elements(const Shape& shape) {
  uint64_t elements = 1;
  for (const uint64_t side : shape) elements *= side;
  return elements;
}

// Walks units and segments as a writer would, holding each byte against what
// the shard's own header says lies there.
void ExpectEveryByteOnceAndInOrder(const Plan& plan) {
  size_t unit = 0;
  uint64_t parameters = 0, written = 0, read = 0, peak = 0;
  for (uint32_t s = 0; s < plan.shards.size(); ++s) {
    const PlannedShard& shard = plan.shards[s];
    SCOPED_TRACE(shard.key);
    const auto prefix = ParseSafetensorsPrefix(shard.header, shard.size);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    ASSERT_EQ(*prefix + kSafetensorsPrefix, shard.header.size());
    const auto header = ParseSafetensorsHeader(
        std::string_view(shard.header).substr(kSafetensorsPrefix), shard.size);
    ASSERT_TRUE(header.ok()) << header.status();

    std::vector<uint64_t> next_leaf(plan.tensors.size(), 0);
    uint64_t at = 0;
    const size_t first_unit = unit;
    for (; unit < plan.units.size() && plan.units[unit].shard == s; ++unit) {
      const Unit& u = plan.units[unit];
      EXPECT_EQ(u.begin, at);
      ASSERT_THAT(u.segments, testing::Not(IsEmpty()));
      uint64_t in = 0, memory = 0;
      for (size_t k = 0; k < u.segments.size(); ++k) {
        const Segment& segment = u.segments[k];
        in += segment.bytes_in;
        memory = std::max(memory, segment.memory);
        EXPECT_EQ(segment.header, unit == first_unit && k == 0);
        if (segment.header) {
          EXPECT_EQ(segment.bytes_out, shard.header.size());
          EXPECT_EQ(segment.bytes_in, 0u);
        } else {
          const PlannedTensor& tensor = plan.tensors[segment.tensor];
          EXPECT_EQ(tensor.shard, s);
          EXPECT_EQ(segment.leaf_begin, next_leaf[segment.tensor]) << tensor.spec.name;
          EXPECT_LT(segment.leaf_begin, segment.leaf_end);
          EXPECT_LE(segment.leaf_end, tensor.leaves);
          next_leaf[segment.tensor] = segment.leaf_end;
          const uint64_t begin = segment.leaf_begin * tensor.leaf_elements;
          const uint64_t end = std::min(segment.leaf_end * tensor.leaf_elements, tensor.elements);
          EXPECT_EQ(at, tensor.offset + begin * BytesPerElement(tensor.dtype)) << tensor.spec.name;
          EXPECT_EQ(segment.bytes_out, (end - begin) * BytesPerElement(tensor.dtype));
          uint64_t inputs = 0;
          for (const PlannedSource& source : tensor.sources) {
            inputs += (end - begin) * BytesPerElement(source.dtype);
          }
          EXPECT_EQ(segment.bytes_in, inputs);
          EXPECT_GE(segment.memory, inputs + segment.bytes_out + tensor.needs.workspace_bytes);
        }
        at += segment.bytes_out;
      }
      EXPECT_EQ(u.end, at);
      EXPECT_EQ(u.bytes_in, in);
      EXPECT_EQ(u.memory, memory);
      read += in;
      peak = std::max(peak, memory);
      // Large enough for one part of an upload, unless it is the shard's last.
      const bool last = unit + 1 == plan.units.size() || plan.units[unit + 1].shard != s;
      if (!last) {
        EXPECT_GE(u.end - u.begin, uint64_t{16} << 20);
      }
    }
    EXPECT_EQ(at, shard.size);
    EXPECT_LE(unit - first_unit, 10'000u);
    written += shard.size;

    size_t in_shard = 0;
    for (size_t t = 0; t < plan.tensors.size(); ++t) {
      const PlannedTensor& tensor = plan.tensors[t];
      if (tensor.shard != s) continue;
      ++in_shard;
      parameters += tensor.elements;
      EXPECT_EQ(next_leaf[t], tensor.leaves) << tensor.spec.name;
      const auto entry = std::find_if(header->tensors.begin(), header->tensors.end(),
                                      [&](const auto& e) { return e.name == tensor.spec.name; });
      ASSERT_NE(entry, header->tensors.end()) << tensor.spec.name;
      EXPECT_EQ(entry->offset, tensor.offset);
      EXPECT_EQ(entry->dtype, tensor.dtype);
      EXPECT_EQ(entry->shape, tensor.spec.shape);
    }
    EXPECT_EQ(in_shard, header->tensors.size());
  }
  EXPECT_EQ(unit, plan.units.size());
  EXPECT_EQ(plan.parameters, parameters);
  EXPECT_EQ(plan.bytes_written, written);
  EXPECT_EQ(plan.bytes_read, read);
  EXPECT_EQ(plan.peak_leaf_memory, peak);
}

TEST(PlanLayoutTest, RandomModelsAreCoveredByteByByte) {
  std::mt19937_64 random(kSeed);
  const DType dtypes[] = {DType::kBF16, DType::kF32, DType::kF16,
                          DType::kF64,  DType::kI64, DType::kBool};
  const char* names[] = {"layers.%d.mlp.up_proj.weight", "layers.%d.mlp.experts.down_proj",
                         "layers.%d.norm.weight", "layers.%d.conv.weight"};
  for (int trial = 0; trial < 10; ++trial) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " trial " << trial);
    std::vector<FakeTensor> tensors;
    const size_t count = 1 + random() % 30;
    for (size_t t = 0; t < count; ++t) {
      FakeTensor tensor;
      tensor.name = names[random() % 4];
      tensor.name.replace(tensor.name.find("%d"), 2, absl::StrCat(t));
      tensor.dtype = dtypes[random() % 6];
      const size_t dims = random() % 4;
      const uint64_t longest[] = {1, 9'000'000, 3'000, 300};
      for (size_t d = 0; d < dims; ++d) tensor.shape.push_back(random() % longest[dims]);
      tensors.push_back(std::move(tensor));
    }
    const std::string shard_size = absl::StrCat("max_shard_size: ", 1 + random() % (64 * kMebi));
    for (const std::string_view method : {kResMerge, kTaskArithmetic, kLinear}) {
      const auto plan = PlanOf(With(method, shard_size), FakeModels(tensors));
      ASSERT_TRUE(plan.ok()) << plan.status();
      ExpectEveryByteOnceAndInOrder(*plan);
    }
  }
}

TEST(PlanLayoutTest, OneShardIsNamedPlainly) {
  const auto plan = PlanOf(kResMerge, FakeModels({{"w", DType::kBF16, {8, 8}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_THAT(plan->shards, SizeIs(1));
  EXPECT_EQ(plan->shards[0].key, "model.safetensors");
}

TEST(PlanLayoutTest, ShardsHoldAtMostMaxShardSizeOfTensorData) {
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 7; ++t) tensors.push_back({absl::StrCat("w", t), DType::kF32, {250}});
  const auto plan = PlanOf(With(kLinear, "max_shard_size: 2000"), FakeModels(tensors));
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::vector<std::string> keys;
  for (const PlannedShard& shard : plan->shards) {
    keys.push_back(shard.key);
    EXPECT_LE(shard.size - shard.header.size(), 2000u);
  }
  EXPECT_THAT(keys,
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors"));
  EXPECT_EQ(plan->tensors[1].shard, 0u);
  EXPECT_EQ(plan->tensors[2].shard, 1u);
  ExpectEveryByteOnceAndInOrder(*plan);
}

TEST(PlanLayoutTest, ShardSizesAreThoseOfTheOutputDType) {
  std::vector<FakeTensor> tensors = {{"w0", DType::kBF16, {500}}, {"w1", DType::kBF16, {500}}};
  EXPECT_THAT(PlanOf(With(kLinear, "max_shard_size: 2000"), FakeModels(tensors))->shards,
              SizeIs(1));
  EXPECT_THAT(
      PlanOf(With(With(kLinear, "max_shard_size: 2000"), "out_dtype: float32"), FakeModels(tensors))
          ->shards,
      SizeIs(2));
}

TEST(PlanLayoutTest, ATensorLargerThanAShardGetsOneOfItsOwn) {
  const auto plan =
      PlanOf(With(kLinear, "max_shard_size: 100"), FakeModels({{"a", DType::kF32, {10}},
                                                               {"b", DType::kF32, {1000}},
                                                               {"c", DType::kF32, {10}},
                                                               {"d", DType::kF32, {10}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->shards, SizeIs(3));
  EXPECT_EQ(plan->tensors[1].shard, 1u);
  EXPECT_EQ(plan->tensors[2].shard, 2u);
  EXPECT_EQ(plan->tensors[3].shard, 2u);
}

TEST(PlanLayoutTest, TensorsOfNoElementsLiveInTheHeaderAlone) {
  const auto plan = PlanOf(kResMerge, FakeModels({{"empty", DType::kBF16, {0, 64}},
                                                  {"w.q_proj", DType::kBF16, {8, 8}},
                                                  {"experts.empty", DType::kF32, {0, 4, 4}},
                                                  {"flags", DType::kI64, {3, 0}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectEveryByteOnceAndInOrder(*plan);
  ASSERT_THAT(plan->units, SizeIs(1));
  EXPECT_THAT(plan->units[0].segments, SizeIs(2));
  for (const char* name : {"empty", "experts.empty", "flags"}) {
    EXPECT_EQ(TensorOf(*plan, name).leaves, 0u) << name;
    EXPECT_EQ(TensorOf(*plan, name).elements, 0u) << name;
  }
  const auto nothing = PlanOf(kResMerge, FakeModels({{"empty", DType::kBF16, {0}}}));
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  ExpectEveryByteOnceAndInOrder(*nothing);
  ASSERT_THAT(nothing->units, SizeIs(1));
  EXPECT_EQ(nothing->units[0].end, nothing->shards[0].header.size());
}

TEST(PlanLayoutTest, AScalarIsOneElement) {
  const auto plan = PlanOf(kResMerge, FakeModels({{"scale", DType::kF32, {}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectEveryByteOnceAndInOrder(*plan);
  EXPECT_EQ(plan->tensors[0].elements, 1u);
  EXPECT_EQ(plan->tensors[0].leaves, 1u);
  EXPECT_EQ(plan->tensors[0].needs.mode, "mean");
}

TEST(PlanLayoutTest, ElementwiseTensorsAreCutIntoRunsOfLeaves) {
  const uint64_t elements = 9 * kLeafElements + 5;
  const auto plan = PlanOf(kTaskArithmetic, FakeModels({{"w", DType::kBF16, {elements}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->tensors[0].leaves, 10u);
  EXPECT_EQ(plan->tensors[0].leaf_elements, kLeafElements);
  std::vector<uint64_t> cuts;
  for (const Unit& unit : plan->units) {
    for (const Segment& segment : unit.segments) {
      if (!segment.header) cuts.push_back(segment.leaf_end);
    }
  }
  std::vector<uint64_t> expected;
  for (uint64_t leaf = 1; leaf < 10; ++leaf) expected.push_back(leaf);
  expected.push_back(10);
  EXPECT_EQ(cuts, expected);
}

TEST(PlanLayoutTest, SizesThatNoModelHasAreRefusedBeforeAnythingIsAllocated) {
  // Beyond one tensor's limit, and many tensors that are each within it.
  const auto large =
      PlanOf(kTaskArithmetic, FakeModels({{"w", DType::kBF16, {kMaxElements / 1024, 1025}}}));
  EXPECT_EQ(large.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(large.status().message()), HasSubstr("tensor w"));
  std::vector<FakeTensor> tensors;
  for (int i = 0; i < 3; ++i) {
    tensors.push_back({absl::StrCat("t", i), DType::kBF16, {kMaxElements / 2}});
  }
  const auto many = PlanOf(kTaskArithmetic, FakeModels(tensors));
  EXPECT_EQ(many.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(many.status().message()), HasSubstr("tensor t1"));
}

TEST(PlanLayoutTest, AMatrixIsOneLeafAndFusedExpertsOneEach) {
  const auto plan =
      PlanOf(kResMerge, FakeModels({{"a.q_proj", DType::kBF16, {3000, 2000}},
                                    {"mlp.experts.up", DType::kBF16, {20, 1024, 512}},
                                    {"mlp.experts.big", DType::kBF16, {3, 4096, 4096}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectEveryByteOnceAndInOrder(*plan);
  const PlannedTensor& whole = plan->tensors[0];
  EXPECT_EQ(whole.leaves, 1u);
  EXPECT_EQ(whole.leaf_elements, Elements(whole.spec.shape));
  EXPECT_EQ(plan->tensors[1].leaves, 20u);
  EXPECT_EQ(plan->tensors[1].leaf_elements, 1024u * 512);
  std::vector<std::vector<uint64_t>> sizes(3);
  for (const Unit& unit : plan->units) {
    for (const Segment& segment : unit.segments) {
      if (!segment.header) sizes[segment.tensor].push_back(segment.leaf_end - segment.leaf_begin);
    }
  }
  EXPECT_THAT(sizes[0], ElementsAre(1));
  // Matrices of 1 MiB come eight at a time, one of 32 MiB alone.
  EXPECT_THAT(sizes[1], ElementsAre(8, 8, 4));
  EXPECT_THAT(sizes[2], ElementsAre(1, 1, 1));
}

TEST(PlanLayoutTest, FusedExpertsAreNeverInMemoryWhole) {
  const auto plan = PlanOf(
      kResMerge, FakeModels({{"mlp.experts.gate_up_proj", DType::kBF16, {128, 1536, 4096}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LT(plan->peak_leaf_memory, 256 * kMebi);
}

TEST(PlanLayoutTest, AnEmbeddingIsNeverInMemoryWhole) {
  const auto plan =
      PlanOf(kResMerge, FakeModels({{"model.embed_tokens.weight", DType::kBF16, {151936, 8192}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LT(plan->peak_leaf_memory, 64 * kMebi);
}

TEST(PlanLayoutTest, MemoryIsInputsOutputAndWorkspace) {
  const auto plan = PlanOf(With(kResMerge, "out_dtype: float32"),
                           FakeModels({{"a.q_proj", DType::kBF16, {64, 32}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedTensor& tensor = plan->tensors[0];
  EXPECT_GT(tensor.needs.workspace_bytes, 0u);
  // Three inputs of 2 bytes, one output of 4, each padded to a cache line at most.
  const uint64_t exact = 64 * 32 * (3 * 2 + 4) + tensor.needs.workspace_bytes +
                         tensor.leaves * tensor.needs.retained_bytes;
  const uint64_t memory = plan->units[0].segments[1].memory;
  EXPECT_GE(memory, exact);
  EXPECT_LE(memory, exact + 4 * 64);
}

TEST(PlanLayoutTest, UnitsOfAVeryLargeShardStayBelowTheLimitOfParts) {
  // 1 TiB of output in one shard.
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 64; ++t) {
    tensors.push_back({absl::StrCat("w", t), DType::kBF16, {uint64_t{1} << 33}});
  }
  const auto plan = PlanOf(With(kLinear, "max_shard_size: 2TiB"), FakeModels(tensors));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->shards, SizeIs(1));
  EXPECT_LE(plan->units.size(), 9'000u);
  EXPECT_GE(plan->units.size(), 4'000u);
}

TEST(PlanLayoutTest, TooManyShardsAreRefused) {
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 100'000; ++t) tensors.push_back({absl::StrCat("w", t), DType::kBF16, {1}});
  const auto plan = PlanOf(With(kLinear, "max_shard_size: 1"), FakeModels(tensors, 0));
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("max_shard_size"));
}

}  // namespace
}  // namespace merganser

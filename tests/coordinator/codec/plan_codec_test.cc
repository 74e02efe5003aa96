#include "proto/convert/plan_codec.h"

#include <functional>
#include <limits>
#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(PlanCodec, RoundTripKeepsEveryField) {
  const Plan plan = SamplePlan();
  const auto back = DecodePlan(EncodePlan(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->method, plan.method);
  EXPECT_EQ(back->overrides, plan.overrides);
  ASSERT_EQ(back->groups.size(), 1u);
  EXPECT_EQ(back->groups[0].key, "model");
  EXPECT_EQ(back->groups[0].tensors, std::vector<uint32_t>{0});
  EXPECT_EQ(back->groups[0].elements, 128u);
  EXPECT_TRUE(back->groups[0].spans);
  EXPECT_EQ(back->recipe_text, plan.recipe_text);
  EXPECT_TRUE(back->has_base);
  ASSERT_EQ(back->models.size(), 3u);
  EXPECT_EQ(back->models[1].uri, "/models/math");
  EXPECT_EQ(back->models[1].given, "as written");
  ASSERT_EQ(back->models[1].shards.size(), 1u);
  EXPECT_EQ(back->models[1].shards[0].key, "model.safetensors");
  EXPECT_EQ(back->models[1].shards[0].info.size, 1000u);
  EXPECT_EQ(back->models[1].shards[0].info.identity, "identity");
  EXPECT_EQ(back->models[1].shards[0].header_digest, "header digest");
  ASSERT_EQ(back->tensors.size(), 1u);
  const PlannedTensor& a = plan.tensors[0];
  const PlannedTensor& b = back->tensors[0];
  EXPECT_EQ(b.spec.name, a.spec.name);
  EXPECT_EQ(b.spec.shape, a.spec.shape);
  EXPECT_EQ(b.dtype, a.dtype);
  EXPECT_EQ(b.needs.mode, a.needs.mode);
  EXPECT_EQ(b.needs.family, a.needs.family);
  EXPECT_EQ(b.needs.note, a.needs.note);
  EXPECT_EQ(b.needs.split, a.needs.split);
  EXPECT_EQ(b.needs.reads_base, a.needs.reads_base);
  EXPECT_EQ(b.needs.rounds, a.needs.rounds);
  EXPECT_EQ(b.needs.workspace_bytes, a.needs.workspace_bytes);
  EXPECT_EQ(b.needs.group, a.needs.group);
  EXPECT_EQ(b.needs.keeps, a.needs.keeps);
  EXPECT_EQ(b.needs.retained_bytes, a.needs.retained_bytes);
  EXPECT_EQ(b.method, a.method);
  EXPECT_EQ(b.group, a.group);
  EXPECT_EQ(b.tied, a.tied);
  EXPECT_EQ(b.elements, a.elements);
  EXPECT_EQ(b.leaf_elements, a.leaf_elements);
  EXPECT_EQ(b.leaves, a.leaves);
  ASSERT_EQ(b.sources.size(), 2u);
  EXPECT_EQ(b.sources[1].model, 2u);
  EXPECT_EQ(b.sources[1].offset, 200u);
  EXPECT_EQ(b.sources[1].dtype, DType::kF16);
  EXPECT_EQ(b.sources[1].tensor, "b");
  EXPECT_EQ(b.has_base_source, a.has_base_source);
  EXPECT_EQ(b.offset, a.offset);
  ASSERT_EQ(back->shards.size(), 1u);
  EXPECT_EQ(back->shards[0].header, plan.shards[0].header);
  EXPECT_EQ(back->shards[0].size, 320u);
  ASSERT_EQ(back->units.size(), 2u);
  EXPECT_TRUE(back->units[0].segments[0].header);
  const Segment& segment = back->units[1].segments[1];
  EXPECT_EQ(segment.leaf_begin, 1u);
  EXPECT_EQ(segment.leaf_end, 2u);
  EXPECT_EQ(segment.bytes_out, 128u);
  EXPECT_EQ(segment.bytes_in, 300u);
  EXPECT_EQ(segment.workspace, 40u);
  EXPECT_EQ(segment.memory, 500u);
  EXPECT_EQ(back->units[1].begin, 64u);
  EXPECT_EQ(back->units[1].end, 320u);
  EXPECT_EQ(back->units[1].bytes_in, 600u);
  EXPECT_EQ(back->units[1].memory, 500u);
  EXPECT_EQ(back->warnings, plan.warnings);
  EXPECT_EQ(back->parameters, 128u);
  EXPECT_EQ(back->bytes_read, 600u);
  EXPECT_EQ(back->bytes_written, 320u);
  EXPECT_EQ(back->peak_leaf_memory, 500u);
  EXPECT_EQ(back->rounds, 2);
  EXPECT_EQ(back->digest, plan.digest);
}

TEST(PlanCodec, EveryElementTypeSurvives) {
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    Plan plan = SamplePlan();
    plan.tensors[0].dtype = static_cast<DType>(i);
    const auto back = DecodePlan(EncodePlan(plan));
    ASSERT_TRUE(back.ok()) << i << ": " << back.status();
    EXPECT_EQ(back->tensors[0].dtype, static_cast<DType>(i));
  }
}

struct BadPlan {
  const char* name;
  std::function<void(v1::Plan&)> spoil;
  const char* place;  // expected in the message
};
void PrintTo(const BadPlan& c, std::ostream* out) { *out << c.name; }

class MalformedPlan : public ::testing::TestWithParam<BadPlan> {};

TEST_P(MalformedPlan, IsRefusedByName) {
  v1::Plan proto = EncodePlan(SamplePlan());
  GetParam().spoil(proto);
  const auto plan = DecodePlan(proto);
  ASSERT_FALSE(plan.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(plan.status()));
  EXPECT_THAT(std::string(plan.status().message()),
              AllOf(HasSubstr(GetParam().place), HasSubstr("found")));
}

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Catalogue, MalformedPlan,
    ::testing::Values(
        BadPlan{"SourceModel",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_sources(0)->set_model(3); },
                "plan.tensors[0].sources[0].model"},
        BadPlan{"SourceShard",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_sources(1)->set_shard(1); },
                "plan.tensors[0].sources[1].shard"},
        BadPlan{"SourceType",
                [](v1::Plan& p) {
                  p.mutable_tensors(0)->mutable_sources(1)->set_dtype(static_cast<v1::DType>(99));
                },
                "plan.tensors[0].sources[1].dtype"},
        BadPlan{"TensorTypeUnset",
                [](v1::Plan& p) { p.mutable_tensors(0)->set_dtype(v1::DTYPE_UNSPECIFIED); },
                "plan.tensors[0].dtype"},
        BadPlan{"Split",
                [](v1::Plan& p) {
                  p.mutable_tensors(0)->mutable_needs()->set_split(static_cast<v1::Split>(7));
                },
                "plan.tensors[0].needs.split"},
        BadPlan{"NegativeRounds",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_needs()->set_rounds(-1); },
                "plan.tensors[0].needs.rounds"},
        BadPlan{"LeavesWithoutSize",
                [](v1::Plan& p) { p.mutable_tensors(0)->set_leaf_elements(0); },
                "plan.tensors[0].leaf_elements"},
        BadPlan{"TensorShard", [](v1::Plan& p) { p.mutable_tensors(0)->set_shard(1); },
                "plan.tensors[0].shard"},
        BadPlan{"BaseSourceMissing", [](v1::Plan& p) { p.mutable_tensors(0)->clear_sources(); },
                "plan.tensors[0].has_base_source"},
        BadPlan{"UnitShard", [](v1::Plan& p) { p.mutable_units(1)->set_shard(kHuge & 0xffffffff); },
                "plan.units[1].shard"},
        BadPlan{"UnitReversed", [](v1::Plan& p) { p.mutable_units(1)->set_begin(321); },
                "plan.units[1].begin"},
        BadPlan{"UnitBeyondShard", [](v1::Plan& p) { p.mutable_units(1)->set_end(kHuge); },
                "plan.units[1].begin"},
        BadPlan{"SegmentTensor",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments(0)->set_tensor(1); },
                "plan.units[1].segments[0].tensor"},
        BadPlan{"SegmentLeaves",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments(1)->set_leaf_end(3); },
                "plan.units[1].segments[1].leaf_begin"},
        BadPlan{"SegmentLargerThanUnit",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments(1)->set_bytes_out(257); },
                "plan.units[1].segments[1].bytes_out"},
        BadPlan{"HeaderLargerThanShard", [](v1::Plan& p) { p.mutable_shards(0)->set_size(9); },
                "plan.shards[0].header"},
        BadPlan{"BaseWithoutModels",
                [](v1::Plan& p) {
                  p.clear_models();
                  p.clear_tensors();
                  p.clear_units();
                },
                "plan.has_base"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(JobPlanCodec, RoundTrip) {
  const JobPlan plan{"jobs/a", "a", SamplePlan(), "/out", {{"model.safetensors", 320, "upload"}}};
  const auto back = ParseJobPlan(SerializeJobPlan(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->job, "jobs/a");
  EXPECT_EQ(back->job_uid, "a");
  EXPECT_EQ(back->output_uri, "/out");
  EXPECT_EQ(back->plan.digest, plan.plan.digest);
  ASSERT_EQ(back->writes.size(), 1u);
  EXPECT_EQ(back->writes[0].key, "model.safetensors");
  EXPECT_EQ(back->writes[0].size, 320u);
  EXPECT_EQ(back->writes[0].upload, "upload");
}

TEST(JobPlanCodec, OneWriteAShard) {
  const JobPlan plan{"jobs/a", "a", SamplePlan(), "/out", {}};
  EXPECT_TRUE(absl::IsInvalidArgument(ParseJobPlan(SerializeJobPlan(plan)).status()));
}

TEST(JobPlanCodec, EveryTruncationAndFlippedByteIsAnErrorOrAValidPlan) {
  const JobPlan plan{"jobs/a", "a", SamplePlan(), "/out", {{"model.safetensors", 320, "upload"}}};
  const std::string bytes = SerializeJobPlan(plan);
  for (size_t i = 0; i < bytes.size(); ++i) {
    ParseJobPlan(std::string_view(bytes).substr(0, i)).status().IgnoreError();
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 0xff);
    const auto back = ParseJobPlan(flipped);
    if (!back.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(back.status())) << i;
    }
  }
  EXPECT_FALSE(ParseJobPlan("\xff\xff\xff").ok());
}

}  // namespace
}  // namespace merganser

#include "proto/convert/plan_codec.h"

#include <functional>
#include <limits>
#include <ostream>
#include <string>

#include "common/plan/layout.h"
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
  ASSERT_EQ(b.sources.size(), 3u);
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
  EXPECT_EQ(segment.bytes_in, 512u);
  EXPECT_EQ(segment.workspace, 165u);
  EXPECT_EQ(segment.memory, 1061u);
  EXPECT_EQ(back->units[1].begin, 64u);
  EXPECT_EQ(back->units[1].end, 320u);
  EXPECT_EQ(back->units[1].bytes_in, 1024u);
  EXPECT_EQ(back->units[1].memory, 1061u);
  EXPECT_EQ(back->warnings, plan.warnings);
  EXPECT_EQ(back->notes, plan.notes);
  EXPECT_EQ(back->parameters, 128u);
  EXPECT_EQ(back->bytes_read, 3072u);
  EXPECT_EQ(back->bytes_written, 320u);
  EXPECT_EQ(back->peak_leaf_memory, 1061u);
  EXPECT_EQ(back->rounds, 3);
  EXPECT_EQ(back->digest, plan.digest);
}

TEST(PlanCodec, EveryElementTypeOfWholeBytesSurvives) {
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    const auto dtype = static_cast<DType>(i);
    Plan plan;
    plan.models = {SamplePlan().models[0]};
    PlannedTensor& tensor = plan.tensors.emplace_back();
    tensor.spec = {"t", {4}};
    tensor.dtype = dtype;
    tensor.needs.mode = "copy";
    tensor.sources = {{0, 0, 0, dtype, "t"}};
    SetLeaves(tensor);
    ASSERT_TRUE(LayOutShards(1 << 20, "model", plan).ok());
    ASSERT_TRUE(CutUnits(1 << 20, 1 << 20, plan).ok());
    const auto back = DecodePlan(EncodePlan(plan));
    if (BytesPerElement(dtype) == 0) {
      EXPECT_THAT(std::string(back.status().message()), HasSubstr("plan.tensors[0].dtype"));
      continue;
    }
    ASSERT_TRUE(back.ok()) << i << ": " << back.status();
    EXPECT_EQ(back->tensors[0].dtype, dtype);
    EXPECT_EQ(back->tensors[0].sources[0].dtype, dtype);
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
        BadPlan{"SourceBeyondItsFile",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_sources(0)->set_offset(489); },
                "plan.tensors[0].sources[0].offset"},
        BadPlan{"SourceOffsetWraps",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_sources(0)->set_offset(kHuge); },
                "plan.tensors[0].sources[0].offset"},
        BadPlan{"SourceOfIntegers",
                [](v1::Plan& p) {
                  p.mutable_tensors(0)->mutable_sources(0)->set_dtype(v1::DTYPE_I32);
                },
                "plan.tensors[0].sources[0].dtype"},
        BadPlan{"FewerModelsThanTheMethodHas",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_sources()->RemoveLast(); },
                "plan.tensors[0].sources"},
        BadPlan{"CopyOfTwo",
                [](v1::Plan& p) {
                  p.mutable_tensors(0)->mutable_needs()->set_mode("copy");
                  for (v1::PlannedSource& source : *p.mutable_tensors(0)->mutable_sources()) {
                    source.set_dtype(v1::DTYPE_BF16);
                  }
                },
                "plan.tensors[0].sources"},
        BadPlan{"ShapeWithoutColumns",
                [](v1::Plan& p) { p.mutable_tensors(0)->set_shape(2, 0); },
                "plan.tensors[0].elements"},
        BadPlan{"ShapeThatWraps",
                [](v1::Plan& p) { p.mutable_tensors(0)->set_shape(0, kHuge); },
                "plan.tensors[0].shape"},
        BadPlan{"Elements", [](v1::Plan& p) { p.mutable_tensors(0)->set_elements(129); },
                "plan.tensors[0].elements"},
        BadPlan{"LeafElements", [](v1::Plan& p) { p.mutable_tensors(0)->set_leaf_elements(63); },
                "plan.tensors[0].leaf_elements"},
        BadPlan{"Leaves", [](v1::Plan& p) { p.mutable_tensors(0)->set_leaves(3); },
                "plan.tensors[0].leaves"},
        BadPlan{"MatricesOfAScalar",
                [](v1::Plan& p) {
                  p.mutable_tensors(0)->clear_shape();
                  p.mutable_tensors(0)->set_elements(1);
                },
                "plan.tensors[0].needs.split"},
        BadPlan{"TensorOffset", [](v1::Plan& p) { p.mutable_tensors(0)->set_offset(65); },
                "plan.tensors[0].offset"},
        BadPlan{"TensorMethod", [](v1::Plan& p) { p.mutable_tensors(0)->set_method(2); },
                "plan.tensors[0].method"},
        BadPlan{"TensorGroup", [](v1::Plan& p) { p.mutable_tensors(0)->set_group(2); },
                "plan.tensors[0].group"},
        BadPlan{"TensorGroupBeyondAnInt",
                [](v1::Plan& p) { p.mutable_tensors(0)->set_group(0x80000001); },
                "plan.tensors[0].group"},
        BadPlan{"GateWithoutRounds",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_needs()->set_rounds(0); },
                "plan.tensors[0].needs.rounds"},
        BadPlan{"RoundsBeyondReason",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_needs()->set_rounds(0x7fffffff); },
                "plan.tensors[0].needs.rounds"},
        BadPlan{"Workspace",
                [](v1::Plan& p) { p.mutable_tensors(0)->mutable_needs()->set_retained_bytes(kHuge); },
                "plan.units[1].segments[0].workspace"},
        BadPlan{"GroupTensor", [](v1::Plan& p) { p.mutable_groups(0)->set_tensors(0, 1); },
                "plan.groups[0].tensors"},
        BadPlan{"GroupOfOthers", [](v1::Plan& p) { p.mutable_tensors(0)->set_group(0); },
                "plan.groups[0].tensors"},
        BadPlan{"GroupElements", [](v1::Plan& p) { p.mutable_groups(0)->set_elements(1); },
                "plan.groups[0].elements"},
        BadPlan{"GroupSpans", [](v1::Plan& p) { p.mutable_groups(0)->set_spans(false); },
                "plan.bytes_read"},
        BadPlan{"Rounds", [](v1::Plan& p) { p.set_rounds(2); }, "plan.rounds"},
        BadPlan{"HeaderThatIsNoneOfItsShard",
                [](v1::Plan& p) { p.mutable_shards(0)->mutable_header()->push_back('x'); },
                "plan.tensors[0].offset"},
        BadPlan{"HeaderSegment",
                [](v1::Plan& p) { p.mutable_units(0)->mutable_segments(0)->set_bytes_out(63); },
                "plan.units[0].segments[0].bytes_out"},
        BadPlan{"SecondHeader",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments(0)->set_header(true); },
                "plan.units[1].segments[0].header"},
        BadPlan{"SegmentMemory",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments(0)->set_memory(1); },
                "plan.units[1].segments[0].memory"},
        BadPlan{"SegmentsThatLeaveAHole",
                [](v1::Plan& p) { p.mutable_units(1)->mutable_segments()->DeleteSubrange(0, 1); },
                "plan.units[1].segments[0].leaf_begin"},
        BadPlan{"UnitMissing", [](v1::Plan& p) { p.mutable_units()->RemoveLast(); },
                "plan.shards[0].size"},
        BadPlan{"UnitTwice", [](v1::Plan& p) { *p.add_units() = p.units(1); },
                "plan.units[2].begin"},
        BadPlan{"UnitMemory", [](v1::Plan& p) { p.mutable_units(1)->set_memory(1); },
                "plan.units[1].memory"},
        BadPlan{"Parameters", [](v1::Plan& p) { p.set_parameters(1); }, "plan.parameters"},
        BadPlan{"BytesWritten", [](v1::Plan& p) { p.set_bytes_written(1); }, "plan.bytes_written"},
        BadPlan{"PeakMemory", [](v1::Plan& p) { p.set_peak_leaf_memory(1); },
                "plan.peak_leaf_memory"},
        BadPlan{"BaseSourceMissing", [](v1::Plan& p) { p.mutable_tensors(0)->clear_sources(); },
                "plan.tensors[0].has_base_source"},
        BadPlan{"UnitShard", [](v1::Plan& p) { p.mutable_units(1)->set_shard(kHuge & 0xffffffff); },
                "plan.units[1].shard"},
        BadPlan{"UnitReversed", [](v1::Plan& p) { p.mutable_units(1)->set_begin(321); },
                "plan.units[1].begin"},
        BadPlan{"UnitBeyondShard", [](v1::Plan& p) { p.mutable_units(1)->set_end(kHuge); },
                "plan.units[1].end"},
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

// What a worker goes by without looking again.
void ExpectSound(const Plan& plan) {
  for (const Unit& unit : plan.units) {
    const PlannedShard& shard = plan.shards.at(unit.shard);
    uint64_t at = unit.begin;
    for (const Segment& segment : unit.segments) {
      if (segment.header) {
        EXPECT_EQ(segment.bytes_out, shard.header.size());
      } else {
        const PlannedTensor& tensor = plan.tensors.at(segment.tensor);
        const uint64_t elements = SegmentElements(tensor, segment);
        EXPECT_GT(elements, 0u);
        EXPECT_EQ(segment.bytes_out, elements * BytesPerElement(tensor.dtype));
        uint64_t memory = segment.bytes_out;
        for (const PlannedSource& source : tensor.sources) {
          const uint64_t size = elements * BytesPerElement(source.dtype);
          memory += size;
          EXPECT_LE(source.offset +
                        segment.leaf_begin * tensor.leaf_elements * BytesPerElement(source.dtype) +
                        size,
                    plan.models.at(source.model).shards.at(source.shard).info.size);
        }
        EXPECT_LE(memory, segment.memory);
        EXPECT_LE(segment.memory, unit.memory);
      }
      at += segment.bytes_out;
    }
    EXPECT_EQ(at, unit.end);
    EXPECT_LE(at, shard.size);
  }
}

TEST(JobPlanCodec, EveryTruncationAndFlippedByteIsAnErrorOrASoundPlan) {
  const JobPlan plan{"jobs/a", "a", SamplePlan(), "/out", {{"model.safetensors", 320, "upload"}}};
  const std::string bytes = SerializeJobPlan(plan);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto cut = ParseJobPlan(std::string_view(bytes).substr(0, i));
    if (cut.ok()) ExpectSound(cut->plan);
    for (const int mask : {0xff, 0x01, 0x40}) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ mask);
      const auto back = ParseJobPlan(flipped);
      if (back.ok()) {
        ExpectSound(back->plan);
      } else {
        EXPECT_TRUE(absl::IsInvalidArgument(back.status())) << i;
      }
    }
  }
  EXPECT_FALSE(ParseJobPlan("\xff\xff\xff").ok());
}

}  // namespace
}  // namespace merganser

// Sources that are decoded travel with a plan as they are.
#include "proto/convert/origin_codec.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/plan_codec.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

// With a value of its own in every field.
PlannedSource Decoded() {
  PlannedSource source;
  LowRankTerm term;
  term.row_factor = {{1, 10, DType::kBF16, 11}, 12, 13, 14};
  term.column_factor = LowRankFactor{{2, 20, DType::kF16, 21}, 22, 23, 24};
  term.rank = 5;
  term.matrices = 6;
  term.scale = 0.7;
  LowRankTerm other = term;
  other.column_factor.reset();
  source.update =
      LowRankUpdate{{term, other}, Magnitudes{{3, 30, DType::kF32, 31}, true}, DType::kF16};
  source.scales = BlockScales{BlockCode::kMxfp4, {4, 40, DType::kF8E8M0, 41}, 42, 43, true};
  source.coded = DType::kU8;
  source.added_to = DType::kBF16;
  source.delta = true;
  return source;
}

std::string Text(const PlannedSource& source) {
  v1::PlannedSource proto;
  EncodeOrigin(source, proto);
  return proto.DebugString();
}

TEST(OriginCodec, EveryFieldComesBack) {
  v1::PlannedSource proto;
  EncodeOrigin(Decoded(), proto);
  PlannedSource back;
  ASSERT_EQ(DecodeOrigin(proto, back), std::nullopt);
  EXPECT_EQ(Text(back), Text(Decoded()));
  ASSERT_TRUE(back.update.has_value() && back.scales.has_value());
  ASSERT_EQ(back.update->terms.size(), 2u);
  const LowRankTerm& term = back.update->terms[0];
  EXPECT_EQ(term.row_factor.block.shard, 1u);
  EXPECT_EQ(term.row_factor.block.offset, 10u);
  EXPECT_EQ(term.row_factor.block.dtype, DType::kBF16);
  EXPECT_EQ(term.row_factor.block.elements, 11u);
  EXPECT_EQ(term.row_factor.matrix_stride, 12u);
  EXPECT_EQ(term.row_factor.stride, 13u);
  EXPECT_EQ(term.row_factor.rank_stride, 14u);
  EXPECT_EQ(term.column_factor->stride, 23u);
  EXPECT_EQ(term.rank, 5u);
  EXPECT_EQ(term.matrices, 6u);
  EXPECT_EQ(term.scale, 0.7);
  EXPECT_FALSE(back.update->terms[1].column_factor.has_value());
  EXPECT_TRUE(back.update->magnitudes->of_columns);
  EXPECT_EQ(back.update->magnitudes->magnitude.elements, 31u);
  EXPECT_EQ(back.update->rounded_to, DType::kF16);
  EXPECT_EQ(back.scales->code, BlockCode::kMxfp4);
  EXPECT_EQ(back.scales->scales.dtype, DType::kF8E8M0);
  EXPECT_EQ(back.scales->block_rows, 42u);
  EXPECT_EQ(back.scales->block_cols, 43u);
  EXPECT_TRUE(back.scales->transposed);
  EXPECT_EQ(back.coded, DType::kU8);
  EXPECT_EQ(back.added_to, DType::kBF16);
  EXPECT_TRUE(back.delta);
}

TEST(OriginCodec, AStoredSourceHasNone) {
  v1::PlannedSource proto;
  EncodeOrigin(PlannedSource(), proto);
  EXPECT_EQ(proto.ByteSizeLong(), 0u);
  PlannedSource back;
  ASSERT_EQ(DecodeOrigin(proto, back), std::nullopt);
  EXPECT_FALSE(back.update || back.scales || back.coded || back.added_to || back.delta);
}

TEST(OriginCodec, UnknownValuesAreRefusedWithTheirPlace) {
  const auto refused = [](const std::function<void(v1::PlannedSource&)>& change,
                          const std::string& with) {
    v1::Plan proto = EncodePlan(SamplePlan());
    v1::PlannedSource& source = *proto.mutable_tensors(0)->mutable_sources(1);
    EncodeOrigin(Decoded(), source);
    change(source);
    const auto plan = DecodePlan(proto);
    ASSERT_FALSE(plan.ok());
    EXPECT_THAT(std::string(plan.status().message()),
                HasSubstr("plan.tensors[0].sources[1]." + with));
  };
  refused([](auto& s) { s.mutable_scales()->set_code(static_cast<v1::BlockCode>(9)); },
          "scales.code: found the unknown value 9");
  refused([](auto& s) { s.set_coded(static_cast<v1::DType>(99)); },
          "coded: found the unknown element type 99");
  refused([](auto& s) { s.mutable_update()->set_rounded_to(static_cast<v1::DType>(99)); },
          "update.rounded_to: found the unknown element type 99");
  refused([](auto& s) { s.set_added_to(static_cast<v1::DType>(99)); },
          "added_to: found the unknown element type 99");
  refused(
      [](auto& s) {
        s.mutable_update()->mutable_terms(0)->mutable_row_factor()->mutable_block()->set_dtype(
            v1::DTYPE_UNSPECIFIED);
      },
      "update.terms.row_factor.block.dtype: found the unknown element type 0");
}

TEST(OriginCodec, PlacesAndNeedsTravelWithAPlan) {
  Plan plan = SamplePlan();
  plan.models[1].places = {"/adapters/one", "s3://two"};
  plan.models[1].shards[0].place = 2;
  plan.tensors[0].needs.takes_deltas = true;
  plan.tensors[0].needs.takes_factors = true;
  const auto back = DecodePlan(EncodePlan(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->models[1].places, plan.models[1].places);
  EXPECT_EQ(back->models[1].shards[0].place, 2u);
  EXPECT_EQ(back->models[0].shards[0].place, 0u);
  EXPECT_TRUE(back->tensors[0].needs.takes_deltas);
  EXPECT_TRUE(back->tensors[0].needs.takes_factors);
}

}  // namespace
}  // namespace merganser

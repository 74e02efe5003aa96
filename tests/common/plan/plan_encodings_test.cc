// Tensors that the output stores block-scaled: what the plan writes where, and in what pieces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/block_layout.h"
#include "common/plan/digest.h"
#include "common/plan/encoding.h"
#include "common/plan/layout.h"
#include "common/plan/pieces.h"
#include "common/plan/validate.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kSource = "out_dtype: source\n";

struct Form {
  Shape shape;
  BlockScales scales;
  DType coded = DType::kF8E4M3;
  DType scale = DType::kF32;
};

// A model whose first tensor is stored in that form, and experts of its plain one.
std::vector<Checkpoint> Models(const Form& form, const std::string& name = "a.q_proj.weight") {
  std::vector<Checkpoint> models =
      FakeModels({{name, DType::kBF16, form.shape}, {"norm.weight", DType::kBF16, {48}}});
  Checkpoint& base = models[0];
  CheckpointTensor& tensor = base.tensors[0];
  tensor.scales = form.scales;
  tensor.coded = form.coded;
  StoredBlock& block = tensor.scales->scales;
  const BlockLayout layout = LayOutBlocks(form.scales, form.shape);
  if (block.elements != 1) block.elements = layout.Scales();
  block.dtype = form.scale;
  block.offset = tensor.offset + tensor.size / 2;
  Shape values = form.shape;
  if (form.coded == DType::kF4) values.back() /= 2;
  tensor.parts = {{name, form.coded == DType::kF4 ? DType::kI8 : form.coded, values},
                  {absl::StrCat(name, "_scale_inv"), form.scale, {block.elements}}};
  return models;
}

Form Blocks(Shape shape, uint64_t rows, uint64_t cols) {
  Form form;
  form.shape = std::move(shape);
  form.scales.block_rows = rows;
  form.scales.block_cols = cols;
  return form;
}

Form Single(Shape shape) {
  Form form;
  form.shape = std::move(shape);
  form.scales.scales.elements = 1;
  return form;
}

Form Transposed(Shape shape) {
  Form form;
  form.shape = std::move(shape);
  form.scales = {BlockCode::kMxfp4, {}, 1, 32, true};
  form.coded = DType::kF4;
  form.scale = DType::kF8E8M0;
  return form;
}

Plan Must(std::string_view recipe, const std::vector<Checkpoint>& models,
          const StoreTraits& output = {}) {
  absl::StatusOr<Plan> plan = PlanOf(recipe, models, output);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

TEST(PlanEncodings, ValuesAndScalesAreTensorsOfTheirOwnOneBehindTheOther) {
  const Plan plan = Must(With(kTaskArithmetic, kSource), Models(Blocks({300, 200}, 128, 128)));
  const PlannedTensor& tensor = TensorOf(plan, "a.q_proj.weight");
  ASSERT_TRUE(tensor.encoding.has_value());
  EXPECT_EQ(tensor.dtype, DType::kF32);
  EXPECT_EQ(OutputTypeName(tensor), "F8_E4M3");
  const std::vector<WrittenTensor> written = WrittenTensors(tensor);
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(written[0].spec.name, "a.q_proj.weight");
  EXPECT_EQ(written[0].spec.dtype, DType::kF8E4M3);
  EXPECT_EQ(written[1].spec.name, "a.q_proj.weight_scale_inv");
  EXPECT_EQ(written[1].offset, written[0].offset + 300 * 200);
  EXPECT_EQ(TensorOf(plan, "norm.weight").offset, written[1].offset + 6 * sizeof(float));
  EXPECT_THAT(plan.shards[0].header, HasSubstr("a.q_proj.weight_scale_inv"));
  // Without the key it is what it is decoded to.
  const Plan plain = Must(kTaskArithmetic, Models(Blocks({300, 200}, 128, 128)));
  EXPECT_FALSE(TensorOf(plain, "a.q_proj.weight").encoding.has_value());
  EXPECT_EQ(TensorOf(plain, "a.q_proj.weight").dtype, DType::kBF16);
  EXPECT_NE(plan.digest, plain.digest);
}

// Whatever the form: no segment cuts a row of blocks, scales follow their values in one unit, and
// leaves are no larger than elsewhere.
TEST(PlanEncodings, SegmentsAreWholeRowsOfBlocks) {
  const std::vector<std::pair<const char*, Form>> forms = {
      {"blocks", Blocks({3000, 1500}, 128, 128)},
      {"wide", Blocks({300, 20000}, 128, 128)},
      {"rows", Blocks({3000, 1500}, 1, 1500)},
      {"columns", Blocks({3000, 1500}, 3000, 1)},
      {"matrices", Blocks({5, 256, 3000}, 128, 128)},
      {"uneven matrices", Blocks({5, 200, 3000}, 128, 128)},
      {"single", Single({3000, 1500})},
      {"single of matrices", Single({3, 1000, 1500})},
      {"transposed", Transposed({3, 1024, 1500})},
      {"vector", Blocks({4096}, 1, 128)},
  };
  for (const auto& [name, form] : forms) {
    for (const std::string_view recipe : {kTaskArithmetic, kResMerge, kLinear}) {
      for (const char* cut : {"", "unit_size: 16KiB\nsplit_size: 64KiB\n"}) {
        const std::string text = With(With(recipe, kSource), cut);
        const Plan plan = Must(text, Models(form));
        const auto t =
            static_cast<uint32_t>(&TensorOf(plan, "a.q_proj.weight") - plan.tensors.data());
        const PlannedTensor& tensor = plan.tensors[t];
        ASSERT_TRUE(tensor.encoding.has_value()) << name;
        const uint64_t step = EncodedStep(tensor);
        const bool cuts =
            tensor.needs.split == Split::kRows || tensor.needs.split == Split::kElements;
        if (cuts) {
          const uint64_t cols = form.shape.back();
          EXPECT_LE(tensor.leaf_elements, std::max(kLeafElements, cols)) << name;
        }
        size_t units = 0, scales = 0;
        uint64_t most = 0;
        for (const Unit& unit : plan.units) {
          bool values = false;
          for (const Segment& segment : unit.segments) {
            if (segment.header || segment.tensor != t) continue;
            if (segment.scales) {
              EXPECT_TRUE(values) << name;
              EXPECT_EQ(segment.bytes_out, ScaleBytes(tensor)) << name;
              ++scales;
              continue;
            }
            values = true;
            const uint64_t first = segment.leaf_begin * tensor.leaf_elements;
            EXPECT_EQ(first % step, 0u) << name;
            if (segment.leaf_end < tensor.leaves) {
              EXPECT_EQ(segment.leaf_end * tensor.leaf_elements % step, 0u) << name;
            }
            most = std::max(most, segment.memory + ScaleBytes(tensor));
          }
          units += values;
          if (values) {
            EXPECT_GE(unit.memory, most) << name;
          }
        }
        EXPECT_EQ(units, 1u) << name;
        EXPECT_EQ(scales, 1u) << name;
      }
    }
  }
}

// Ranges of the file adjoin, and cover all of values and scales.
TEST(PlanEncodings, RangesCoverTheOriginal) {
  for (const Form& form :
       {Blocks({3000, 1500}, 128, 128), Blocks({5, 256, 3000}, 128, 128),
        Blocks({5, 200, 3000}, 128, 128), Transposed({3, 1024, 1500}), Single({300, 150})}) {
    const Plan plan = Must(With(kTaskArithmetic, kSource), Models(form));
    const PlannedTensor& tensor = TensorOf(plan, "a.q_proj.weight");
    const uint64_t step = EncodedStep(tensor);
    uint64_t values = 0, scales = 0;
    for (uint64_t first = 0; first < tensor.elements; first += step) {
      const EncodedRange range = RangeOf(tensor, first, std::min(step, tensor.elements - first));
      EXPECT_EQ(range.values_begin, values);
      EXPECT_EQ(range.scales_begin, scales);
      values += range.values_bytes;
      scales += range.scales_bytes;
    }
    EXPECT_EQ(values, OutputBytes(tensor, tensor.elements));
    EXPECT_EQ(scales, ScaleBytes(tensor));
  }
}

TEST(PlanEncodings, PiecesOfABucketAreWholeToo) {
  StoreTraits output;
  output.whole_pieces = true;
  output.least_piece = 4096;
  output.most_piece = 1 << 20;
  output.most_pieces = 10'000;
  output.good_piece = 8192;
  for (const Form& form : {Blocks({300, 200}, 128, 128), Transposed({3, 1024, 150})}) {
    const Plan plan =
        Must(With(With(kTaskArithmetic, kSource), "unit_size: 4KiB\n"), Models(form), output);
    EXPECT_EQ(ShardPieceEnds(plan)[0].back(), plan.shards[0].size);
  }
}

TEST(PlanEncodings, NamesFollowTheOutputs) {
  std::vector<Checkpoint> models = Models(Blocks({300, 200}, 128, 128));
  models[0].tensors[0].parts->scales.name = "a.q_proj.scale";  // of a.q_proj.weight
  const Plan plan = Must(With(kTaskArithmetic, kSource), models);
  EXPECT_EQ(TensorOf(plan, "a.q_proj.weight").encoding->scales.name, "a.q_proj.scale");
  // Under another name, as a stacked layer has: the same ending.
  AlignedTensor aligned;
  aligned.name = "b.q_proj.weight";
  aligned.shape = {300, 200};
  aligned.sources = {{0, 0, "a.q_proj.weight"}};
  PlannedTensor tensor;
  ASSERT_TRUE(SetEncoding({&models[0]}, 0, aligned, tensor).ok());
  EXPECT_EQ(tensor.encoding->values.name, "b.q_proj.weight");
  EXPECT_EQ(tensor.encoding->scales.name, "b.q_proj.scale");
  aligned.name = "other";
  EXPECT_THAT(std::string(SetEncoding({&models[0]}, 0, aligned, tensor).message()),
              HasSubstr("key 'out_dtype': found source, but tensor other is a.q_proj.scale"));
}

TEST(PlanEncodings, WhatTravelledIsHeldAgainstItself) {
  const auto refused = [](const std::function<void(Plan&, PlannedTensor&)>& change,
                          const std::string& expected) {
    Plan plan = Must(With(kTaskArithmetic, kSource), Models(Blocks({3000, 1500}, 128, 128)));
    ASSERT_TRUE(ValidatePlan(plan).ok());
    change(plan, plan.tensors[0]);
    EXPECT_THAT(std::string(ValidatePlan(plan).message()), HasSubstr(expected));
  };
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.model = 9; }, "original.model");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.shard = 9; }, "original.shard");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.scales.reset(); }, "original");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.offset = 1 << 30; },
          "original.offset");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.dtype = DType::kF64; },
          "original.dtype");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.scales->block_rows = 64; },
          "scales.elements");
  refused([](Plan&, PlannedTensor& t) { t.encoding->original.scales->scales.dtype = DType::kI64; },
          "scales.dtype");
  refused([](Plan&, PlannedTensor& t) { t.encoding->values.shape = {3000}; }, "values");
  refused([](Plan&, PlannedTensor& t) { t.encoding->scales.dtype = DType::kF64; }, "scales");
  refused([](Plan&, PlannedTensor& t) { t.dtype = DType::kBF16; }, "original");
  refused([](Plan&, PlannedTensor& t) { t.encoding.reset(); }, "");
  refused(
      [](Plan& plan, PlannedTensor&) {
        for (Segment& segment : plan.units[0].segments) {
          if (segment.scales) segment.tensor = 1;
        }
      },
      "scales");
  refused(
      [](Plan& plan, PlannedTensor&) {
        // A segment that ends within a row of blocks.
        for (Segment& segment : plan.units[0].segments) segment.scales = segment.scales && false;
      },
      "leaf_begin");
}

}  // namespace
}  // namespace merganser

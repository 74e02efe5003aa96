// Adapters' products as they are decoded: against plain loops, whatever range is asked for.
#include "worker/low_rank_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/linalg/kernels.h"
#include "common/plan/origin_bytes.h"
#include "common/storage/memory/memory_store.h"
#include "tests/testing/recording_store.h"
#include "tests/testing/tiny_checkpoint.h"
#include "tests/worker/update_testing.h"
#include "worker/decode_source.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kSeed = 20;
using Lengths = TestUpdate::Lengths;

uint64_t Elements(const TestUpdate& update) { return update.matrices * update.rows * update.cols; }

Shape ShapeOf(const TestUpdate& update) {
  if (update.matrices > 1) return {update.matrices, update.rows, update.cols};
  if (update.cols == 1) return {update.rows};
  return {update.rows, update.cols};
}

// A model of one tensor, "w", and an adapter on it.
class OneUpdate {
 public:
  OneUpdate(const TestUpdate& update, DType stored, bool delta) : update_(update), adapter_(kSeed) {
    const TinyTensor tensor{"w", stored, ShapeOf(update)};
    bytes_ = TinyBytes(tensor, kSeed);
    const auto weights = MakeMemoryStore("model");
    EXPECT_TRUE(weights->Put("w.safetensors", std::string(8, ' ') + bytes_).ok());
    PlannedTensor& planned = job_.plan.tensors.emplace_back();
    planned.spec.shape = tensor.shape;
    planned.elements = Elements(update);
    planned.sources = {{0, 0, 8, stored, "w"}};
    PlannedSource& source = planned.sources[0];
    source.update = adapter_.Add("w", update, 1);
    file_ = std::make_shared<RecordingStore>(adapter_.Write({&*source.update}));
    model_ = std::make_shared<RecordingStore>(weights);
    source.added_to = stored;
    source.delta = delta;
    source.dtype = stored == DType::kF64 && ReadsValues(source) ? DType::kF64 : DType::kF32;
    job_.plan.models = {
        {"model", "model", {{"w.safetensors", {8 + bytes_.size(), ""}, ""}}, {"a"}}};
    job_.plan.models[0].shards.push_back({AdapterFile::kKey, {adapter_.size(), ""}, "", 1});
    job_.inputs = {model_};
    job_.places = {{file_}};
  }

  const PlannedTensor& tensor() const { return job_.plan.tensors[0]; }
  const PlannedSource& source() const { return tensor().sources[0]; }
  RecordingStore& file() { return *file_; }
  RecordingStore& model() { return *model_; }
  const JobContext& job() const { return job_; }
  void SetPlace(std::shared_ptr<ObjectStore> store) { job_.places = {{std::move(store)}}; }

  // Elements [first, first + count) as a method gets them.
  absl::Status Read(uint64_t first, uint64_t count, std::vector<std::byte>& out) const {
    out.assign(count * BytesPerElement(source().dtype), std::byte{0x55});
    const TensorView view{out.data(), source().dtype, count, source().delta};
    const absl::Status read = ReadValues(job_, tensor(), 0, first, {&view, 1});
    return read.ok() ? ApplyUpdate(job_, tensor(), 0, first, view) : read;
  }
  std::vector<std::byte> Must(uint64_t first, uint64_t count) const {
    std::vector<std::byte> out;
    const absl::Status read = Read(first, count, out);
    EXPECT_TRUE(read.ok()) << read;
    return out;
  }

  std::vector<double> Weights() const {
    const TensorView view{reinterpret_cast<const std::byte*>(bytes_.data()), *source().added_to,
                          Elements(update_)};
    std::vector<double> values;
    for (uint64_t e = 0; e < view.size; ++e) values.push_back(ElementAt(view, e));
    return values;
  }
  std::vector<double> Expected() const {
    return adapter_.Expected("w", update_, Weights(), source().delta);
  }

 private:
  const TestUpdate update_;
  AdapterFile adapter_;
  std::string bytes_;
  JobContext job_;
  std::shared_ptr<RecordingStore> file_, model_;
};

struct Case {
  const char* name;
  TestUpdate update;
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

std::vector<Case> Cases() {
  using enum FactorLayout;
  const TestTerm plain;
  return {
      {"OneByOne", {1, 1, 1, {plain}}},
      {"Odd", {1, 7, 13, {{3, 0.5}}}},
      {"RankAboveItsSides", {1, 5, 9, {{24, 2}}}},
      {"WideAndTall", {1, 130, 1100, {{5, 0.25, DType::kBF16}}}},
      {"RankThatNarrowsTheTiles", {1, 70, 300, {{200, 0.125, DType::kF16}}}},
      {"Transposed", {1, 33, 65, {{4, 1, DType::kF32, kRankFirst, kRankLast}}}},
      {"SeveralTerms",
       {1, 40, 50, {{3, 0.5, DType::kBF16}, {8, -1.25, DType::kF64}, {1, 3, DType::kF16}}}},
      {"Experts", {4, 11, 17, {{2, 0.5}}}},
      {"InterleavedExperts", {3, 11, 17, {{2, 0.5, DType::kF32, kInterleaved, kRankFirst}}}},
      {"TransposedInterleaved", {3, 9, 20, {{5, 2, DType::kBF16, kInterleaved, kInterleaved}}}},
      {"OneDimension", {1, 301, 1, {{1, 0.75, DType::kF32, kRankLast, kRankFirst, false}}}},
      {"RowLengths", {1, 70, 33, {{3, 0.5}}, Lengths::kOfRows}},
      {"RowLengthsOfExperts", {3, 5, 40, {{3, 0.5}}, Lengths::kOfRows}},
      {"LongRows", {1, 3, 3000, {{2, 0.5}}, Lengths::kOfRows}},
      {"ColumnLengths", {1, 70, 33, {{3, 0.5}}, Lengths::kOfColumns}},
      {"ColumnLengthsOfExperts", {2, 90, 12, {{2, 0.5}}, Lengths::kOfColumns}},
      {"RoundedToBf16", {1, 70, 600, {{4, 0.7, DType::kBF16}}, Lengths::kNone, DType::kBF16}},
      {"RoundedTermsToF16",
       {1, 40, 50, {{3, 0.3}, {8, -1.3, DType::kF16}}, Lengths::kNone, DType::kF16}},
      {"RoundedExperts",
       {3,
        11,
        17,
        {{2, 0.7, DType::kF32, kInterleaved, kRankFirst}},
        Lengths::kNone,
        DType::kBF16}},
      {"RoundedWithRowLengths", {1, 70, 33, {{3, 0.7}}, Lengths::kOfRows, DType::kBF16}},
  };
}

class LowRankSource : public ::testing::TestWithParam<Case> {};

TEST_P(LowRankSource, IsTheSumThatPlainLoopsGive) {
  const TestUpdate& update = GetParam().update;
  for (const DType stored : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64}) {
    for (const bool delta : {false, true}) {
      const OneUpdate one(update, stored, delta);
      const uint64_t size = Elements(update);
      const std::vector<std::byte> bytes = one.Must(0, size);
      const TensorView found{bytes.data(), one.source().dtype, size};
      const std::vector<double> want = one.Expected();
      // Lengths are summed on lanes; all else has one order.
      const double slack = update.lengths == Lengths::kNone ? 0 : 1e-14;
      for (uint64_t e = 0; e < size; ++e) {
        const double value = ElementAt(found, e);
        if (one.source().dtype == DType::kF64) {
          ASSERT_NEAR(value, want[e], slack) << e;
          continue;
        }
        const auto low = static_cast<float>(want[e] - slack);
        const auto high = static_cast<float>(want[e] + slack);
        ASSERT_GE(value, low) << e << (delta ? " of the task vector" : " of the weights");
        ASSERT_LE(value, high) << e << (delta ? " of the task vector" : " of the weights");
      }
    }
  }
}

TEST_P(LowRankSource, AnyRangeHasTheBitsOfTheWhole) {
  const TestUpdate& update = GetParam().update;
  const uint64_t size = Elements(update);
  std::mt19937_64 random(kSeed);
  for (const bool delta : {false, true}) {
    const OneUpdate one(update, DType::kBF16, delta);
    const std::vector<std::byte> whole = one.Must(0, size);
    const uint64_t width = BytesPerElement(one.source().dtype);
    for (int i = 0; i < 60; ++i) {
      const uint64_t first = random() % size;
      const uint64_t count = 1 + random() % std::min<uint64_t>(size - first, i % 3 == 0 ? 3 : size);
      const std::vector<std::byte> part = one.Must(first, count);
      ASSERT_EQ(std::memcmp(part.data(), whole.data() + first * width, part.size()), 0)
          << count << " elements at " << first;
    }
  }
}

TEST_P(LowRankSource, EveryInstructionSetHasTheSameBits) {
  const TestUpdate& update = GetParam().update;
  const OneUpdate one(update, DType::kBF16, false);
  const std::vector<std::byte> want = one.Must(0, Elements(update));
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    EXPECT_EQ(one.Must(0, Elements(update)), want) << name;
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

TEST_P(LowRankSource, ReadsWhatThePlanSays) {
  const TestUpdate& update = GetParam().update;
  const uint64_t size = Elements(update);
  for (const bool delta : {false, true}) {
    OneUpdate one(update, DType::kBF16, delta);
    for (const auto& [first, count] : std::vector<std::pair<uint64_t, uint64_t>>{
             {0, size}, {size / 3, size - size / 3 - size / 5}, {size / 2, 1}}) {
      if (count == 0) continue;
      one.model().Clear();
      one.file().Clear();
      one.Must(first, count);
      EXPECT_EQ(one.model().BytesRead() + one.file().BytesRead(),
                CostOfReading(one.job().plan, one.tensor(), first, count).read)
          << count << " elements at " << first << (delta ? " of the task vector" : "");
      uint64_t requests = 0;
      ForReads(one.tensor(), one.source(), false, first, count,
               [&](uint32_t, uint64_t) { ++requests; });
      const size_t made =
          one.model().Calls(StoreOp::kRead).size() + one.file().Calls(StoreOp::kRead).size();
      // Rows beside the range are two ranges, and a whole matrix is read in pieces.
      if (update.lengths == Lengths::kNone) {
        EXPECT_EQ(made, requests);
      }
    }
    if (delta && update.lengths == Lengths::kNone) {
      EXPECT_EQ(one.model().BytesRead(), 0u) << "a task vector was read with the weights";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LowRankSource, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return std::string(test.param.name); });

// --- What is wrong

std::string ErrorOf(const TestUpdate& update, const std::string& tensor, uint64_t index,
                    double value, bool delta = true) {
  std::vector<std::byte> out;
  OneUpdate one(update, DType::kBF16, delta);
  // The same file, but for one entry.
  AdapterFile damaged(kSeed);
  LowRankUpdate planned = damaged.Add("w", update, 1);
  damaged.Set(tensor, index, value);
  one.SetPlace(damaged.Write({&planned}));
  const absl::Status read = one.Read(0, Elements(update), out);
  EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss) << read;
  return std::string(read.message());
}

TEST(LowRankSourceErrors, NameTheAdaptersFileAndTensor) {
  const TestUpdate update{1, 7, 13, {{3, 0.5}, {2, 1}}};
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(ErrorOf(update, "w.lora_A.1", 4, kNan),
              AllOf(HasSubstr("adapter_model.safetensors"), HasSubstr("w.lora_A.1"),
                    HasSubstr("element 4 is NaN")));
  EXPECT_THAT(ErrorOf(update, "w.lora_B.0", 20, std::numeric_limits<double>::infinity(), false),
              AllOf(HasSubstr("adapter_model.safetensors"), HasSubstr("w.lora_B.0"),
                    HasSubstr("element 20 is infinite")));
}

TEST(LowRankSourceErrors, AProductThatOverflows) {
  const TestUpdate update{1, 7, 13, {{3, 1e30}}};
  for (const bool delta : {false, true}) {
    EXPECT_THAT(ErrorOf(update, "w.lora_B.0", 3, 3e38, delta),
                AllOf(HasSubstr("adapter_model.safetensors"), HasSubstr("w.lora_B.0"),
                      HasSubstr("element 13 of"), HasSubstr("expected one within the range of F32"),
                      HasSubstr("w.safetensors")));
  }
}

TEST(LowRankSourceErrors, AProductThatIsTooLargeForWhatItIsRoundedTo) {
  for (const Lengths lengths : {Lengths::kNone, Lengths::kOfRows}) {
    const TestUpdate update{1, 7, 13, {{3, 0.5}}, lengths, DType::kF16};
    EXPECT_THAT(ErrorOf(update, "w.lora_B.0", 3, 1e30),
                AllOf(HasSubstr("adapter_model.safetensors"), HasSubstr("w.lora_B.0"),
                      HasSubstr("element 13 of"), HasSubstr("within the range of F16")));
  }
}

TEST(LowRankSourceErrors, AMagnitudeThatIsNotFinite) {
  const TestUpdate update{1, 7, 13, {{3, 0.5}}, Lengths::kOfRows};
  EXPECT_THAT(ErrorOf(update, "w.magnitude", 6, std::numeric_limits<double>::quiet_NaN()),
              AllOf(HasSubstr("w.magnitude"), HasSubstr("element 6 is NaN")));
}

// What is wrong with the model is told by whoever checks it, with the model's file.
TEST(LowRankSourceErrors, WeightsThatAreNotFiniteStayAsTheyAre) {
  const TestUpdate update{1, 7, 13, {{3, 0.5}}};
  const OneUpdate one(update, DType::kBF16, false);
  std::vector<float> values(91, 1);
  values[50] = std::numeric_limits<float>::infinity();
  const std::vector<float> before = values;
  const TensorView view{reinterpret_cast<const std::byte*>(values.data()), DType::kF32, 91};
  ASSERT_TRUE(ApplyUpdate(one.job(), one.tensor(), 0, 0, view).ok());
  EXPECT_EQ(values, before);
}

}  // namespace
}  // namespace merganser

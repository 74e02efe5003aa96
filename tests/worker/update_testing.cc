#include "tests/worker/update_testing.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/format/safetensors.h"
#include "common/linalg/kernels.h"
#include "common/linalg/random_block.h"
#include "common/storage/memory/memory_store.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

LowRankFactor Strides(FactorLayout layout, uint64_t matrices, uint64_t lines, uint64_t rank) {
  switch (layout) {
    case FactorLayout::kRankLast:
      return {{}, lines * rank, rank, 1};
    case FactorLayout::kRankFirst:
      return {{}, lines * rank, 1, lines};
    case FactorLayout::kInterleaved:
      return {{}, 1, rank * matrices, matrices};
  }
  return {};
}

// As the type holds it.
double Rounded(DType dtype, double value) {
  const std::string bytes = EncodeTiny(dtype, {value});
  return ElementAt({reinterpret_cast<const std::byte*>(bytes.data()), dtype, 1}, 0);
}

}  // namespace

AdapterFile::AdapterFile(uint64_t seed) : seed_(seed) {}

StoredBlock AdapterFile::Put(const std::string& name, DType dtype, uint64_t elements,
                             uint32_t shard) {
  Stored& stored = tensors_.emplace_back();
  stored.name = name;
  stored.dtype = dtype;
  for (uint64_t i = 0; i < elements; ++i) {
    stored.values.push_back(Rounded(dtype, linalg::RandomEntry(seed_, tensors_.size(), i)));
  }
  // The index stands for the offset until the file is laid out.
  return {shard, tensors_.size() - 1, dtype, elements};
}

LowRankUpdate AdapterFile::Add(const std::string& name, const TestUpdate& update, uint32_t shard) {
  LowRankUpdate out;
  out.rounded_to = update.rounded_to;
  for (size_t t = 0; t < update.terms.size(); ++t) {
    const TestTerm& term = update.terms[t];
    LowRankTerm& added = out.terms.emplace_back();
    added.rank = term.rank;
    added.matrices = update.matrices;
    added.scale = term.scale;
    added.row_factor = Strides(term.rows, update.matrices, update.rows, term.rank);
    added.row_factor.block = Put(absl::StrCat(name, ".lora_B.", t), term.dtype,
                                 update.matrices * update.rows * term.rank, shard);
    if (!term.has_columns) continue;
    added.column_factor = Strides(term.columns, update.matrices, update.cols, term.rank);
    added.column_factor->block = Put(absl::StrCat(name, ".lora_A.", t), term.dtype,
                                     update.matrices * update.cols * term.rank, shard);
  }
  if (update.lengths == TestUpdate::Lengths::kNone) return out;
  const bool columns = update.lengths == TestUpdate::Lengths::kOfColumns;
  out.magnitudes = Magnitudes{Put(name + ".magnitude", DType::kF32,
                                  update.matrices * (columns ? update.cols : update.rows), shard),
                              columns};
  return out;
}

void AdapterFile::Set(const std::string& tensor, uint64_t index, double value) {
  for (Stored& stored : tensors_) {
    if (stored.name == tensor) stored.values[index] = value;
  }
}

std::shared_ptr<ObjectStore> AdapterFile::Write(const std::vector<LowRankUpdate*>& updates) {
  std::vector<SafetensorsSpec> specs;
  std::string data;
  for (const Stored& stored : tensors_) {
    specs.push_back({stored.name, stored.dtype, {stored.values.size()}});
    data += EncodeTiny(stored.dtype, stored.values);
  }
  const auto layout = LayOutSafetensors(specs, {});
  EXPECT_TRUE(layout.ok()) << layout.status();
  const auto place = [&](StoredBlock& block) {
    block.offset = layout->tensors[block.offset].offset;
  };
  for (LowRankUpdate* update : updates) {
    for (LowRankTerm& term : update->terms) {
      place(term.row_factor.block);
      if (term.column_factor.has_value()) place(term.column_factor->block);
    }
    if (update->magnitudes.has_value()) place(update->magnitudes->magnitude);
  }
  std::shared_ptr<ObjectStore> store = MakeMemoryStore("adapter");
  const absl::Status put = store->Put(kKey, layout->header + data);
  EXPECT_TRUE(put.ok()) << put;
  size_ = layout->file_size;
  return store;
}

const AdapterFile::Stored& AdapterFile::At(const std::string& name) const {
  for (const Stored& stored : tensors_) {
    if (stored.name == name) return stored;
  }
  ADD_FAILURE() << "no tensor " << name;
  return tensors_.front();
}

std::vector<double> AdapterFile::Product(const std::string& name, const TestUpdate& update) const {
  std::vector<double> out(update.matrices * update.rows * update.cols);
  for (size_t t = 0; t < update.terms.size(); ++t) {
    const TestTerm& term = update.terms[t];
    const LowRankFactor b = Strides(term.rows, update.matrices, update.rows, term.rank);
    const LowRankFactor a = Strides(term.columns, update.matrices, update.cols, term.rank);
    const std::vector<double>& rows = At(absl::StrCat(name, ".lora_B.", t)).values;
    const std::vector<double> none;
    const std::vector<double>& columns =
        term.has_columns ? At(absl::StrCat(name, ".lora_A.", t)).values : none;
    size_t e = 0;
    for (uint64_t m = 0; m < update.matrices; ++m) {
      for (uint64_t i = 0; i < update.rows; ++i) {
        for (uint64_t j = 0; j < update.cols; ++j, ++e) {
          double sum = 0;
          for (uint64_t k = 0; k < term.rank; ++k) {
            const double x = rows[m * b.matrix_stride + i * b.stride + k * b.rank_stride];
            const double y = term.has_columns
                                 ? columns[m * a.matrix_stride + j * a.stride + k * a.rank_stride]
                                 : 1;
            sum = std::fma(x, y, sum);
          }
          if (!update.rounded_to.has_value()) {
            out[e] = std::fma(term.scale, sum, out[e]);
            continue;
          }
          const float scaled = static_cast<float>(sum) * static_cast<float>(term.scale);
          out[e] += Rounded(*update.rounded_to, static_cast<double>(scaled));
        }
      }
    }
  }
  return out;
}

std::vector<double> AdapterFile::Expected(const std::string& name, const TestUpdate& update,
                                          const std::vector<double>& weights, bool delta) const {
  std::vector<double> out = Product(name, update);
  if (update.lengths == TestUpdate::Lengths::kNone) {
    for (size_t e = 0; e < out.size() && !delta; ++e) out[e] += weights[e];
    return out;
  }
  for (size_t e = 0; e < out.size(); ++e) out[e] += weights[e];
  const bool columns = update.lengths == TestUpdate::Lengths::kOfColumns;
  const std::vector<double>& magnitudes = At(name + ".magnitude").values;
  const uint64_t lines = update.matrices * (columns ? update.cols : update.rows);
  const auto line_of = [&](uint64_t e) {
    const uint64_t matrix = update.rows * update.cols, m = e / matrix;
    return columns ? m * update.cols + e % update.cols : m * update.rows + e % matrix / update.cols;
  };
  std::vector<long double> squares(lines);
  for (uint64_t e = 0; e < out.size(); ++e) {
    squares[line_of(e)] += static_cast<long double>(out[e]) * out[e];
  }
  for (uint64_t e = 0; e < out.size(); ++e) {
    const long double factor = magnitudes[line_of(e)] / std::sqrt(squares[line_of(e)]);
    out[e] = static_cast<double>(factor * out[e] - (delta ? weights[e] : 0));
  }
  return out;
}

}  // namespace merganser

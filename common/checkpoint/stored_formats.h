// What the files of a model hold, by format: for what plans, reports and pages tell of it.
#ifndef MERGANSER_COMMON_CHECKPOINT_STORED_FORMATS_H_
#define MERGANSER_COMMON_CHECKPOINT_STORED_FORMATS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/tensor/dtype.h"

namespace merganser {

// How scales go with values.
struct ScalesOfFormat {
  DType dtype = DType::kF32;
  // Of matrices: rows and columns that one scale is for; 0: all that a matrix has.
  uint64_t block_rows = 0, block_cols = 0;

  bool operator==(const ScalesOfFormat&) const = default;
};

// Tensors of one format.
struct StoredFormat {
  std::string name;                      // "BF16", "FP8 E4M3", "FP8 E5M2", "MXFP4"
  std::optional<ScalesOfFormat> scales;  // none: elements are what is stored
  uint64_t tensors = 0;
  uint64_t elements = 0;  // of what they are decoded to
};

// Of the tensors in the model's own folder, not of what adapters bring: the format that most
// elements have first, equal ones by name.
std::vector<StoredFormat> StoredFormatsOf(const Checkpoint& model);

// "BF16", "FP8 E4M3 with 128x128 blocks", "FP8 E4M3 with a scale a row", "MXFP4 with blocks of 32".
std::string DescribeFormat(const StoredFormat& format);

// All of them on one line: "FP8 E4M3 with 128x128 blocks (3 tensors), BF16 (2 tensors)"; of a
// single one its description alone, beyond four their number. Empty without formats.
std::string DescribeFormats(const std::vector<StoredFormat>& formats);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_STORED_FORMATS_H_

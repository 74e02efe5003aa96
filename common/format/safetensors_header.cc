// The reading half of the codec. The JSON is read as events by a handler that
// knows at every point what may follow, so nothing of a wrong shape is stored.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/safetensors.h"
#include "common/format/text.h"

namespace merganser {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor data is little-endian");

// No framework makes tensors of more dimensions.
constexpr size_t kMaxRank = 64;
// Header, entry, array, and one more so that what is wrong inside an array is
// still named by its tensor.
constexpr size_t kMaxDepth = 4;

class HeaderHandler final : public JsonHandler {
 public:
  HeaderHandler(uint64_t data_begin, uint64_t data_size)
      : data_begin_(data_begin), data_size_(data_size) {}

  absl::Status On(const JsonEvent& event) override {
    switch (place_) {
      case Place::kOutside:
        return OnOutside(event);
      case Place::kHeader:
        return OnHeader(event);
      case Place::kMetadata:
        return OnMetadata(event);
      case Place::kEntry:
        return OnEntry(event);
      case Place::kArray:
        return OnArray(event);
    }
    return absl::InternalError("safetensors header: unknown place");
  }

  SafetensorsHeader Take() { return std::move(header_); }

 private:
  using Kind = JsonEvent::Kind;
  enum class Place { kOutside, kHeader, kMetadata, kEntry, kArray };

  absl::Status OnOutside(const JsonEvent& event) {
    if (event.kind != Kind::kObjectBegin) {
      return absl::DataLossError(
          absl::StrCat("the header is ", DescribeJson(event), ", expected an object"));
    }
    place_ = Place::kHeader;
    return absl::OkStatus();
  }

  absl::Status OnHeader(const JsonEvent& event) {
    if (event.kind == Kind::kObjectEnd) {
      place_ = Place::kOutside;
      return absl::OkStatus();
    }
    if (event.kind == Kind::kKey) {
      name_ = std::string(event.text);
      if (!names_.insert(name_).second) {
        if (name_ == "__metadata__") return absl::DataLossError("__metadata__ appears twice");
        return absl::DataLossError(absl::StrCat("tensor ", Quoted(name_), " appears twice"));
      }
      return absl::OkStatus();
    }
    if (name_ == "__metadata__") {
      if (event.kind != Kind::kObjectBegin) {
        return absl::DataLossError(
            absl::StrCat("__metadata__ is ", DescribeJson(event), ", expected an object"));
      }
      place_ = Place::kMetadata;
      return absl::OkStatus();
    }
    if (event.kind != Kind::kObjectBegin) return Wrong("", event, "an object");
    place_ = Place::kEntry;
    entry_ = {};
    entry_.name = name_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_.clear();
    return absl::OkStatus();
  }

  absl::Status OnMetadata(const JsonEvent& event) {
    if (event.kind == Kind::kObjectEnd) {
      place_ = Place::kHeader;
      return absl::OkStatus();
    }
    if (event.kind == Kind::kKey) {
      key_ = std::string(event.text);
      if (header_.metadata.contains(key_)) {
        return absl::DataLossError(
            absl::StrCat("__metadata__: key ", Quoted(key_), " appears twice"));
      }
      return absl::OkStatus();
    }
    if (event.kind != Kind::kString) {
      return absl::DataLossError(absl::StrCat("__metadata__: key ", Quoted(key_), " is ",
                                              DescribeJson(event), ", expected a string"));
    }
    header_.metadata.emplace(key_, event.text);
    return absl::OkStatus();
  }

  absl::Status OnEntry(const JsonEvent& event) {
    if (event.kind == Kind::kObjectEnd) {
      place_ = Place::kHeader;
      return FinishEntry();
    }
    if (event.kind == Kind::kKey) {
      key_ = std::string(event.text);
      bool* seen = key_ == "dtype"          ? &has_dtype_
                   : key_ == "shape"        ? &has_shape_
                   : key_ == "data_offsets" ? &has_offsets_
                                            : nullptr;
      if (seen == nullptr) {
        return Error(
            absl::StrCat("unknown key ", Quoted(key_), ", expected dtype, shape and data_offsets"));
      }
      if (*seen) return Error(absl::StrCat("key ", Quoted(key_), " appears twice"));
      *seen = true;
      return absl::OkStatus();
    }
    if (key_ == "dtype") {
      if (event.kind != Kind::kString) return Wrong("dtype", event, "a string");
      const std::optional<DType> dtype = ParseDType(event.text);
      if (!dtype.has_value()) return Error(absl::StrCat("unknown dtype ", Quoted(event.text)));
      entry_.dtype = *dtype;
      return absl::OkStatus();
    }
    if (event.kind != Kind::kArrayBegin) {
      return Wrong(key_, event, "an array of non-negative integers");
    }
    place_ = Place::kArray;
    return absl::OkStatus();
  }

  absl::Status OnArray(const JsonEvent& event) {
    if (event.kind == Kind::kArrayEnd) {
      place_ = Place::kEntry;
      if (key_ == "data_offsets" && offsets_.size() != 2) {
        return Error(absl::StrCat("data_offsets has ", offsets_.size(), " numbers, expected 2"));
      }
      return absl::OkStatus();
    }
    const bool is_shape = key_ == "shape";
    std::vector<uint64_t>& numbers = is_shape ? entry_.shape : offsets_;
    if (event.kind != Kind::kUnsigned) {
      return Wrong(absl::StrCat(key_, "[", numbers.size(), "]"), event, "a non-negative integer");
    }
    if (is_shape && numbers.size() == kMaxRank) {
      return Error(absl::StrCat("shape has more than ", kMaxRank, " dimensions"));
    }
    if (!is_shape && numbers.size() == 2) {
      return Error("data_offsets has more than 2 numbers, expected 2");
    }
    numbers.push_back(event.number);
    return absl::OkStatus();
  }

  absl::Status FinishEntry() {
    if (!has_dtype_) return Error("has no dtype");
    if (!has_shape_) return Error("has no shape");
    if (!has_offsets_) return Error("has no data_offsets");
    const uint64_t begin = offsets_[0], end = offsets_[1];
    if (begin > end) {
      return Error(absl::StrCat("data_offsets [", begin, ", ", end, "] end before they begin"));
    }
    if (end > data_size_) {
      return Error(absl::StrCat("data_offsets [", begin, ", ", end,
                                "] reach past the end of the data of ", data_size_, " bytes"));
    }
    const std::string shape = absl::StrCat("[", absl::StrJoin(entry_.shape, ", "), "]");
    const std::optional<uint64_t> bytes = TensorBytes(entry_.dtype, entry_.shape);
    if (!bytes.has_value()) {
      return Error(absl::StrCat(std::string(DTypeName(entry_.dtype)), " x ", shape,
                                " is not a size: it overflows or does not fill whole bytes"));
    }
    if (*bytes != end - begin) {
      return Error(absl::StrCat("data_offsets [", begin, ", ", end, "] hold ", end - begin,
                                " bytes, expected ", *bytes, " for ",
                                std::string(DTypeName(entry_.dtype)), " x ", shape));
    }
    entry_.offset = data_begin_ + begin;
    entry_.size = *bytes;
    header_.tensors.push_back(std::move(entry_));
    return absl::OkStatus();
  }

  absl::Status Error(const std::string& what) const {
    return absl::DataLossError(absl::StrCat("tensor ", Quoted(name_), ": ", what));
  }
  absl::Status Wrong(const std::string& where, const JsonEvent& event,
                     const std::string& expected) const {
    return Error(absl::StrCat(where.empty() ? "its entry" : where, " is ", DescribeJson(event),
                              ", expected ", expected));
  }

  const uint64_t data_begin_;
  const uint64_t data_size_;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  Place place_ = Place::kOutside;
  std::string name_, key_;
  SafetensorsEntry entry_;
  std::vector<uint64_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

// Sorted by place, tensors must follow one another from the first data byte to
// the last of the file.
absl::Status CheckTiling(const SafetensorsHeader& header, uint64_t file_size) {
  uint64_t at = header.data_begin;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : header.tensors) {
    if (entry.offset < at) {
      return absl::DataLossError(
          absl::StrCat("tensor ", Quoted(entry.name), " begins at data byte ",
                       entry.offset - header.data_begin, " and overlaps tensor ",
                       Quoted(previous->name), ", which ends at ", at - header.data_begin));
    }
    if (entry.offset > at) {
      return absl::DataLossError(
          absl::StrCat("a hole of ", entry.offset - at, " bytes before tensor ", Quoted(entry.name),
                       ": it begins at data byte ", entry.offset - header.data_begin, ", expected ",
                       at - header.data_begin));
    }
    at = entry.offset + entry.size;
    previous = &entry;
  }
  if (at != file_size) {
    return absl::DataLossError(absl::StrCat("the file has ", file_size - at,
                                            " bytes after the last tensor: it has ", file_size,
                                            " bytes, expected ", at));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> ParseSafetensorsPrefix(std::string_view first_bytes, uint64_t file_size) {
  if (file_size < kSafetensorsPrefix || first_bytes.size() < kSafetensorsPrefix) {
    return absl::DataLossError(absl::StrCat("the file has ",
                                            std::min<uint64_t>(file_size, first_bytes.size()),
                                            " bytes, expected at least 8 for the header length"));
  }
  uint64_t length = 0;
  std::memcpy(&length, first_bytes.data(), sizeof(length));
  if (length > kMaxSafetensorsHeader) {
    return absl::DataLossError(absl::StrCat("the header length is ", length, ", over the limit of ",
                                            kMaxSafetensorsHeader,
                                            " bytes: not a safetensors file, or a damaged one"));
  }
  if (length > file_size - kSafetensorsPrefix) {
    return absl::DataLossError(absl::StrCat(
        "the header length is ", length, ", but the file of ", file_size, " bytes has only ",
        file_size - kSafetensorsPrefix, " after it: cut short, or not a safetensors file"));
  }
  return length;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json,
                                                         uint64_t file_size) {
  if (json.size() > kMaxSafetensorsHeader) {
    return absl::DataLossError(absl::StrCat("the header has ", json.size(),
                                            " bytes, over the limit of ", kMaxSafetensorsHeader));
  }
  const uint64_t data_begin = kSafetensorsPrefix + json.size();
  if (data_begin > file_size) {
    return absl::DataLossError(absl::StrCat("the header ends at byte ", data_begin,
                                            ", past the end of the file of ", file_size, " bytes"));
  }
  HeaderHandler handler(data_begin, file_size - data_begin);
  MERGANSER_RETURN_IF_ERROR(Annotate(ReadJson(json, kMaxDepth, handler), "safetensors header"));
  SafetensorsHeader header = handler.Take();
  header.data_begin = data_begin;
  // An empty tensor at the border of two others comes before the second.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.offset, a.size, a.name) < std::tie(b.offset, b.size, b.name);
            });
  MERGANSER_RETURN_IF_ERROR(Annotate(CheckTiling(header, file_size), "safetensors header"));
  return header;
}

std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape) {
  // Dimensions of 0 are left out of the product, so that every product of some
  // of the others is known to fit as well.
  uint64_t elements = 1;
  bool empty = false;
  for (const uint64_t dimension : shape) {
    if (dimension == 0) {
      empty = true;
      continue;
    }
    const std::optional<uint64_t> product = CheckedMul(elements, dimension);
    if (!product.has_value()) return std::nullopt;
    elements = *product;
  }
  const std::optional<uint64_t> bits = CheckedMul(elements, BitsPerElement(dtype));
  if (!bits.has_value()) return std::nullopt;
  if (empty) return 0;
  if (*bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

}  // namespace merganser

// Values as little-endian bytes. What is kept or travels between processes of this program is
// described once, by a function that shows an archive every field in turn: WireWriter appends what
// it is shown, WireReader fills it. A reader takes no byte for granted: whatever is cut off or out
// of range makes it not fine, and nothing is allocated that the bytes left could not fill.
#ifndef MERGANSER_COMMON_BASE_WIRE_H_
#define MERGANSER_COMMON_BASE_WIRE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace merganser {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

// Bytes of a field: numbers and truth values 8, whatever their type; texts and lists their length
// in 8 bytes, and what they hold.
class WireWriter {
 public:
  static constexpr bool kReads = false;

  void Field(uint64_t value) { Raw(value); }
  void Field(uint32_t value) { Raw(uint64_t{value}); }
  void Field(bool value) { Raw(uint64_t{value}); }
  void Field(double value) { Raw(value); }
  void Field(std::string_view text) {
    Field(uint64_t{text.size()});
    Bytes(text);
  }
  void Field(const std::vector<double>& values) {
    Field(uint64_t{values.size()});
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  }
  // `each` shows one item. `least`: bytes that every item takes (for the reader).
  template <typename Items, typename Each>
  void List(const Items& items, Each each, size_t /*least*/ = 8) {
    Field(uint64_t{items.size()});
    for (const auto& item : items) each(item);
  }

  // As many bytes as the type has.
  template <typename T>
  void Raw(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  // Seven bits a byte, the lowest first; the last byte has its top bit clear.
  void Short(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void Bytes(std::string_view bytes) { bytes_.append(bytes.data(), bytes.size()); }

  void Reserve(size_t size) { bytes_.reserve(size); }
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Of `bytes`, which must outlive it. After the first thing that is amiss values stay as they were.
class WireReader {
 public:
  static constexpr bool kReads = true;

  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  void Field(uint64_t& value) { Raw(value); }
  void Field(uint32_t& value) {
    uint64_t wide = 0;
    Raw(wide);
    Demand(wide <= UINT32_MAX);
    if (fine_) value = static_cast<uint32_t>(wide);
  }
  void Field(bool& value) {
    uint64_t wide = 0;
    Raw(wide);
    Demand(wide <= 1);
    if (fine_) value = wide != 0;
  }
  void Field(double& value) { Raw(value); }
  void Field(std::string& text) {
    const size_t size = Size(1);
    if (fine_) text = Take(size);
  }
  void Field(std::vector<double>& values) {
    const size_t size = Size(sizeof(double));
    if (!fine_) return;
    values.resize(size);
    const std::string_view taken = Take(size * sizeof(double));
    if (size > 0) std::memcpy(values.data(), taken.data(), taken.size());
  }
  template <typename T, typename Each>
  void List(std::vector<T>& list, Each each, size_t least = 8) {
    const size_t size = Size(least);
    if (!fine_) return;
    list.resize(size);
    for (T& item : list) each(item);
  }

  template <typename T>
  void Raw(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    Demand(sizeof(value) <= bytes_.size());
    if (fine_) std::memcpy(&value, Take(sizeof(value)).data(), sizeof(value));
  }
  // Only the shortest form that a value has.
  void Short(uint64_t& value) {
    uint64_t read = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      Raw(byte);
      if (!fine_) return;
      const uint64_t bits = byte & 0x7f;
      Demand(shift < 63 || bits <= 1);
      read |= bits << shift;
      if (byte < 0x80) {
        Demand(byte > 0 || shift == 0);
        if (fine_) value = read;
        return;
      }
    }
    fine_ = false;
  }
  // A condition that what was read has to meet.
  void Demand(bool condition) { fine_ = fine_ && condition; }

  bool fine() const { return fine_; }
  bool ended() const { return bytes_.empty(); }
  std::string_view rest() const { return bytes_; }  // what was not read yet

 private:
  // A length of items that take `least` bytes each, at least.
  size_t Size(size_t least) {
    uint64_t size = 0;
    Raw(size);
    Demand(size <= bytes_.size() / least);
    return fine_ ? static_cast<size_t>(size) : 0;
  }
  std::string_view Take(size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  bool fine_ = true;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_WIRE_H_

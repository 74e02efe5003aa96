// Content digests: XXH3 with 128 bits. They guard against accidents (a changed
// input, a torn write, a disagreeing worker), not against an adversary.
#ifndef MERGANSER_COMMON_BASE_DIGEST_H_
#define MERGANSER_COMMON_BASE_DIGEST_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace merganser {

// Streaming digest. Not thread-safe; movable.
class Digester {
 public:
  Digester();
  ~Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  // Length-prefixed, so that ("ab","c") and ("a","bc") differ.
  void UpdateField(std::string_view field);
  // 32 lower-case hex digits of what was fed so far; feeding may go on.
  std::string Hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string DigestHex(std::span<const std::byte> bytes);
std::string DigestHex(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_DIGEST_H_

#include "common/base/digest.h"

#include <xxhash.h>

#include <cstdint>
#include <new>

namespace merganser {
namespace {

std::string ToHex(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * sizeof(canonical.digest));
  for (const unsigned char byte : canonical.digest) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

}  // namespace

struct Digester::State {
  // The library allocates its state with the alignment that it needs.
  State() : xxh(XXH3_createState()) {
    if (xxh == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* const xxh;
};

Digester::Digester() : state_(std::make_unique<State>()) {}
Digester::~Digester() = default;
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;

void Digester::Update(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Digester::Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }

void Digester::UpdateField(std::string_view field) {
  // Little-endian whatever the machine, so that digests compare between machines.
  std::byte length[8];
  for (int i = 0; i < 8; ++i) {
    length[i] = static_cast<std::byte>(static_cast<uint64_t>(field.size()) >> (8 * i));
  }
  Update(std::span<const std::byte>(length));
  Update(field);
}

std::string Digester::Hex() const { return ToHex(XXH3_128bits_digest(state_->xxh)); }

std::string DigestHex(std::span<const std::byte> bytes) {
  static constexpr std::byte kNothing{};
  return ToHex(XXH3_128bits(bytes.empty() ? &kNothing : bytes.data(), bytes.size()));
}

std::string DigestHex(std::string_view text) { return DigestHex(std::as_bytes(std::span(text))); }

}  // namespace merganser

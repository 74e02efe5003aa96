// Every test of worker and engine runs twice: over a store with free ranges, and over one that
// wants whole pieces.
#ifndef MERGANSER_TESTS_TESTING_TEST_TRAITS_H_
#define MERGANSER_TESTS_TESTING_TEST_TRAITS_H_

#include <cstdint>
#include <cstdlib>

#include "common/storage/object_store.h"

namespace merganser {

// What the output's store of this run can do: with MERGANSER_TEST_PIECES set it takes whole pieces
// of about so many bytes, so that small models have many.
inline StoreTraits TestTraits() {
  const char* const pieces = std::getenv("MERGANSER_TEST_PIECES");
  if (pieces == nullptr) return {};
  const uint64_t wanted = std::strtoull(pieces, nullptr, 10);
  return {.whole_pieces = true,
          .least_piece = wanted / 4,
          .good_piece = wanted,
          .knows_writers = false};
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_TEST_TRAITS_H_

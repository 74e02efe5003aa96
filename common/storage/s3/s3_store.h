#ifndef MERGANSER_COMMON_STORAGE_S3_S3_STORE_H_
#define MERGANSER_COMMON_STORAGE_S3_S3_STORE_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "common/storage/object_store.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/settings.h"

namespace merganser::s3 {

// What S3 promises, and what its likes keep to. A part of 16 MiB is worth its request.
inline constexpr StoreTraits kS3Traits = {.whole_pieces = true,
                                          .least_piece = uint64_t{5} << 20,
                                          .most_piece = uint64_t{5} << 30,
                                          .most_pieces = 10'000,
                                          .good_piece = uint64_t{16} << 20,
                                          .knows_writers = false,
                                          .read_size = uint64_t{8} << 20,
                                          .reads_in_flight = 32,
                                          .writes_in_flight = 16};

// The same for a store at `endpoint`: Cloudflare's R2 wants all parts of an object of one size.
StoreTraits TraitsOf(const Endpoint& endpoint);

// Objects below `prefix` ("" or without '/' at its end) of the client's bucket.
std::shared_ptr<ObjectStore> MakeS3Store(std::shared_ptr<Client> client, std::string_view prefix,
                                         const Settings& settings = {},
                                         const StoreTraits& traits = kS3Traits);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_S3_STORE_H_

// What x-amz-checksum-crc32c has.
#ifndef MERGANSER_COMMON_STORAGE_S3_CRC32C_H_
#define MERGANSER_COMMON_STORAGE_S3_CRC32C_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace merganser::s3 {

inline constexpr std::string_view kCrc32cHeader = "x-amz-checksum-crc32c";

// CRC-32C (Castagnoli) of the bytes, big-endian, in base64.
std::string Crc32cBase64(std::span<const std::byte> bytes);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CRC32C_H_

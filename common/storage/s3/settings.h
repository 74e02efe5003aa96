// What a command says of the buckets that it uses, beside the environment.
#ifndef MERGANSER_COMMON_STORAGE_S3_SETTINGS_H_
#define MERGANSER_COMMON_STORAGE_S3_SETTINGS_H_

#include <cstdint>
#include <string>

namespace merganser::s3 {

// How what is written is stored, by the names of the AWS tools; empty: as the bucket has it.
struct WriteOptions {
  std::string storage_class = {};  // "STANDARD_IA"
  std::string encryption = {};     // "AES256" or "aws:kms"
  std::string kms_key_id = {};
  std::string acl = {};         // "bucket-owner-full-control"
  bool requester_pays = false;  // for reading too
};

// What goes along with a body for the store to check, where the signature does not cover it.
enum class Checksum {
  kNone,    // what TLS has is enough
  kMd5,     // Content-MD5, which every store knows
  kCrc32c,  // x-amz-checksum-crc32c, kept beside the object, where the signature covers it too
};

struct Settings {
  // No request is signed and no credentials are looked for, as public buckets take them.
  bool anonymous = false;
  // The user's word that nobody else writes to the output: a store need not heed conditions.
  bool exclusive_output = false;
  Checksum checksum = Checksum::kMd5;
  uint64_t bandwidth = 0;  // bytes a second of this process, to and from all buckets; 0: any
  WriteOptions write = {};
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_SETTINGS_H_

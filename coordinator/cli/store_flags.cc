#include "coordinator/cli/store_flags.h"

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace merganser::cli {
namespace {

constexpr char kGroup[] = "Buckets";

// What goes into a header of a request: a name, as the AWS tools take them.
std::string CheckName(const std::string& text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') return "expected a name without spaces";
  }
  return text.empty() ? "expected a name" : "";
}

}  // namespace

void AddReadStoreFlags(CLI::App& command, StoreOptions& options) {
  command
      .add_flag("--allow-private-addresses", options.private_addresses,
                "Read models at https:// from private networks and this machine too, and without "
                "TLS there (http://)")
      ->envname("MERGANSER_ALLOW_PRIVATE_ADDRESSES");
  command
      .add_flag("--no-sign-request", options.buckets.anonymous,
                "Use no credentials: for public buckets")
      ->group(kGroup);
  command
      .add_option_function<std::string>(
          "--request-payer",
          [&settings = options.buckets](const std::string& who) {
            settings.write.requester_pays = !who.empty();
          },
          "'requester' where the bucket has the requester pay")
      ->check(CLI::IsMember({"requester"}))
      ->group(kGroup);
  command
      .add_option_function<std::string>(
          "--storage-bandwidth",
          [&settings = options.buckets](const std::string& text) {
            const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
            if (!bytes.ok() || *bytes == 0) {
              throw CLI::ValidationError(
                  "--storage-bandwidth",
                  bytes.ok() ? "expected more than 0" : std::string(bytes.status().message()));
            }
            settings.bandwidth = *bytes;
          },
          "Bytes a second, such as 200MB, that this process moves to and from buckets at most")
      ->group(kGroup);
}

void AddStoreFlags(CLI::App& command, StoreOptions& options) {
  AddReadStoreFlags(command, options);
  s3::WriteOptions& write = options.buckets.write;
  const auto name = [&](const char* flag, std::string& value, const char* text) {
    return command.add_option(flag, value, text)->check(CheckName)->group(kGroup);
  };
  name("--storage-class", write.storage_class, "Storage class of what is written (STANDARD_IA)");
  CLI::Option* encryption = name("--sse", write.encryption, "Encryption: AES256 or aws:kms");
  encryption->check(CLI::IsMember({"AES256", "aws:kms"}));
  name("--sse-kms-key-id", write.kms_key_id, "Key of --sse aws:kms")->needs(encryption);
  name("--acl", write.acl, "Canned ACL of what is written (bucket-owner-full-control)");
  command
      .add_flag("--exclusive-output", options.buckets.exclusive_output,
                "Nobody else writes to the output: your word, where a store cannot make sure of it")
      ->group(kGroup);
  const std::map<std::string, s3::Checksum> checksums = {{"none", s3::Checksum::kNone},
                                                         {"md5", s3::Checksum::kMd5},
                                                         {"crc32c", s3::Checksum::kCrc32c}};
  command
      .add_option_function<std::string>(
          "--storage-checksum",
          [&settings = options.buckets, checksums](const std::string& text) {
            settings.checksum = checksums.at(text);
          },
          "What the store checks bodies by: none or md5 over TLS, or crc32c, which it keeps")
      ->check(CLI::IsMember(checksums))
      ->default_str("md5")
      ->group(kGroup);
}

}  // namespace merganser::cli

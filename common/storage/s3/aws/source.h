// What the clients of a process share, as the AWS tools' settings have it.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_SOURCE_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_SOURCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/aws/variables.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/settings.h"

namespace merganser::s3 {

// How connections are made: with the certificates that `config` names, if it names any.
// kNotFound and its likes where they cannot be read.
absl::StatusOr<HttpOptions> ConnectionsOf(const Config& config);

// Credentials from where FindCredentials finds them, whenever some are wanted anew: files are read
// again. One for all clients of a process.
CredentialsSource SourceOf(const Variables& variables, std::shared_ptr<HttpClient> http,
                           const Settings& settings);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_SOURCE_H_

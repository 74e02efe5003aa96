// Certificates and keys as files, looked at before a transport uses them: what is
// wrong with them is said by name, not as a failed handshake.
#ifndef MERGANSER_PROTO_CHANNEL_TLS_FILES_H_
#define MERGANSER_PROTO_CHANNEL_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"

namespace merganser {

// PEM texts.
struct TlsIdentity {
  std::string certificates;
  std::string key;
};

// One or more certificates. kInvalidArgument where the file holds none, or anything
// that cannot be read; `flag` names it.
absl::StatusOr<std::string> ReadCertificates(const std::string& path, const std::string& flag);

// A certificate chain and the unencrypted private key of its first certificate, which
// must be in its days.
absl::StatusOr<TlsIdentity> ReadIdentity(const std::string& cert_path, const std::string& key_path);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_TLS_FILES_H_

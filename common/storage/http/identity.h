// By what an object of a web server is told from what stood there before: pure.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_IDENTITY_H_
#define MERGANSER_COMMON_STORAGE_HTTP_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/storage/http/http_client.h"

namespace merganser {

// What there is of these, in this order: a strong ETag, a Last-Modified, the size alone.
struct HttpIdentity {
  std::string etag;      // strong, with its quotes
  std::string modified;  // where there is no strong ETag
  uint64_t size = 0;

  bool operator==(const HttpIdentity&) const = default;

  // As ObjectInfo::identity has it, and back; nullopt for what ToString has not made, or that no
  // header can hold.
  std::string ToString() const;
  static std::optional<HttpIdentity> Parse(std::string_view text);

  // The header that has a server refuse another object; empty where there is none.
  std::string Condition() const;

  // Why a change may go unseen, as ObjectInfo::doubt has it.
  std::string_view Doubt() const;
};

// Of an object of `size` that `answer` is about.
HttpIdentity IdentityOf(const HttpAnswer& answer, uint64_t size);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_IDENTITY_H_

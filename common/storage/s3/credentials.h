// Whose key a request is signed with.
#ifndef MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_
#define MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_

#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "common/base/clock.h"

namespace merganser::s3 {

// Text that nothing shows by accident: what needs it has to say so.
class Secret {
 public:
  Secret() = default;
  Secret(std::string text) : text_(std::move(text)) {}  // implicit: hiding is always right
  Secret(const char* text) : text_(text) {}

  const std::string& Reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret&) const = default;

  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;
  // GoogleTest shows the bytes of what has none.
  friend void PrintTo(const Secret&, std::ostream* out) { *out << "(secret)"; }

 private:
  std::string text_;
};

// Never shown, logged, or put on record: what prints a request prints none of it.
struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;             // of temporary ones
  std::optional<WallTime> expires;  // by the local clock

  bool anonymous() const { return access_key_id.empty(); }
  bool operator==(const Credentials&) const = default;

  friend std::ostream& operator<<(std::ostream&, const Credentials&) = delete;
  friend void PrintTo(const Credentials&, std::ostream* out) { *out << "(credentials)"; }
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_

// Questions to the Hugging Face hub, or to what answers as it does.
#ifndef MERGANSER_COMMON_STORAGE_HF_HUB_H_
#define MERGANSER_COMMON_STORAGE_HF_HUB_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/hf/model_info.h"
#include "common/storage/http/fetch.h"
#include "common/storage/http/url.h"

namespace merganser {

struct HubOptions {
  HttpUrl endpoint;
  std::string token;     // empty: none
  bool offline = false;  // nothing is asked
};

// HF_ENDPOINT (https://huggingface.co); HF_TOKEN, else the file HF_TOKEN_PATH, else that of
// `huggingface-cli login`; HF_HUB_OFFLINE. kInvalidArgument for an endpoint or a token that is
// none.
absl::StatusOr<HubOptions> HubFromEnvironment();

// A file, and where it can be read at present.
struct HubFile {
  HfFile file;
  HttpUrl url;
  bool own = false;  // the hub itself serves it, and takes the token
};

// Thread-safe. Errors name the model, and what to do: kNotFound for one that is missing, or
// private; kPermissionDenied for one whose terms are not accepted.
class Hub {
 public:
  Hub(std::shared_ptr<Fetcher> fetcher, HubOptions options)
      : fetcher_(std::move(fetcher)), options_(std::move(options)) {}

  bool offline() const { return options_.offline; }
  Fetcher& fetcher() const { return *fetcher_; }

  // What `revision` is now.
  absl::StatusOr<HfModelInfo> Info(const std::string& repository,
                                   const std::string& revision) const;

  // nullopt where the commit has no such file.
  absl::StatusOr<std::optional<HubFile>> Locate(const std::string& repository,
                                                const std::string& commit,
                                                std::string_view path) const;

  // The template of reads of `file`.
  Fetch FetchOf(const HubFile& file) const;

  // Why an answer of the hub is no success.
  absl::Status Explain(const HttpAnswer& answer, const std::string& repository,
                       const std::string& revision) const;

 private:
  const std::shared_ptr<Fetcher> fetcher_;
  const HubOptions options_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HF_HUB_H_

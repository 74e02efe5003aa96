#ifndef MERGANSER_COMMON_STORAGE_HTTP_HTTP_STORE_H_
#define MERGANSER_COMMON_STORAGE_HTTP_HTTP_STORE_H_

#include <memory>
#include <string>

#include "common/storage/http/fetch.h"
#include "common/storage/http/url.h"
#include "common/storage/object_store.h"

namespace merganser {

// The files below `base`, for reading: List is kUnimplemented, since a web server tells no folder.
// `base` has no query. `token` may be empty.
std::shared_ptr<ObjectStore> MakeHttpStore(std::shared_ptr<Fetcher> fetcher, const HttpUrl& base,
                                           const std::string& token);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_HTTP_STORE_H_

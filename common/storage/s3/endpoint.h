// Where a bucket is, and the ways of the store that has it.
#ifndef MERGANSER_COMMON_STORAGE_S3_ENDPOINT_H_
#define MERGANSER_COMMON_STORAGE_S3_ENDPOINT_H_

#include <string>
#include <string_view>

namespace merganser::s3 {

// How stores differ that speak S3; README.md has the table. As it stands, Amazon's.
struct Ways {
  // Google's XML API: its own names of headers and signatures, and no others.
  bool google = false;
  // Lists want a delimiter: what lies deeper is walked to.
  bool flat_lists_only = false;
  // Reads may be answered by a redirect to another host, which wants no signature.
  bool redirects_reads = false;
  // All parts of an object but its last have one size.
  bool equal_parts = false;
};

// Of the store at `host`, which may have a port.
Ways WaysOf(std::string_view host);

struct Endpoint {
  std::string scheme = "https";
  std::string host;  // with a port that is not the scheme's
  std::string path;  // before the bucket, as "/storage/v1/s3"; encoded, without a '/' at its end
  std::string region = "us-east-1";
  bool path_style = true;  // else the bucket is part of the host's name
  // Amazon's: `host` with kRegionOfHost where the region stands. The host follows the region, where
  // the bucket turns out to be in another.
  std::string host_pattern = {};
  bool ask_region = false;  // none was given: the bucket's is asked for before the first request
  Ways ways = {};
};

inline constexpr std::string_view kRegionOfHost = "{region}";

// Where the endpoint is in `region`.
std::string HostIn(const Endpoint& endpoint, std::string_view region);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_ENDPOINT_H_

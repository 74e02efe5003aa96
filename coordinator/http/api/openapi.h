// The API's description, made of the table of routes and the messages themselves.
#ifndef MERGANSER_COORDINATOR_HTTP_API_OPENAPI_H_
#define MERGANSER_COORDINATOR_HTTP_API_OPENAPI_H_

#include <string>

namespace merganser::http {

// OpenAPI 3.0 as JSON. `openapi.json` beside this file is the same, for people. Lives as long as
// the process.
const std::string& OpenApi();

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_OPENAPI_H_

// A client that says what it is told, also what no client should say.
#ifndef MERGANSER_TESTS_COORDINATOR_HTTP_HTTP_CLIENT_H_
#define MERGANSER_TESTS_COORDINATOR_HTTP_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace merganser::http {

struct Answer {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
};

class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Client() { Close(); }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        read_(std::move(other.read_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // False once the other side does not take it any more.
  bool Say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (done <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(done));
    }
    return true;
  }

  // Waits for more; false at the end, or when nothing came in time.
  bool Hear(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) != 1) return false;
    char block[65536];
    const ssize_t done = ::recv(fd_, block, sizeof(block), 0);
    if (done <= 0) return false;
    read_.append(block, static_cast<size_t>(done));
    return true;
  }
  // Whether the other side ends the connection within that time.
  bool Ends(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, 50) != 1) continue;
      char block[65536];
      if (::recv(fd_, block, sizeof(block), 0) <= 0) return true;
    }
    return false;
  }
  // What was heard and not taken.
  std::string& heard() { return read_; }
  bool HearUntil(std::string_view what,
                 std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    while (read_.find(what) == std::string::npos) {
      if (!Hear(patience)) return false;
    }
    return true;
  }

  // The next answer, or nothing where none comes that is whole. `head`: to a HEAD.
  std::optional<Answer> Next(bool head = false) {
    if (!HearUntil("\r\n\r\n")) return std::nullopt;
    const size_t end = read_.find("\r\n\r\n");
    Answer answer;
    answer.status = std::atoi(read_.substr(9, 3).c_str());
    for (size_t at = read_.find("\r\n") + 2; at < end;) {
      const size_t stop = read_.find("\r\n", at);
      const std::string line = read_.substr(at, stop - at);
      const size_t colon = line.find(": ");
      std::string name = line.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      answer.headers.emplace(name, line.substr(colon + 2));
      at = stop + 2;
    }
    read_.erase(0, end + 4);
    if (head || answer.status == 304 || answer.status == 204) return answer;
    const size_t size = std::strtoull(answer.Header("content-length").c_str(), nullptr, 10);
    while (read_.size() < size) {
      if (!Hear()) return std::nullopt;
    }
    answer.body = read_.substr(0, size);
    read_.erase(0, size);
    return answer;
  }

 private:
  int fd_;
  bool connected_ = false;
  std::string read_;
};

// One request on a connection of its own. `headers` end with CRLF each.
inline std::optional<Answer> Ask(uint16_t port, const std::string& method,
                                 const std::string& target, const std::string& headers = "",
                                 const std::string& body = "") {
  Client client(port);
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers;
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  client.Say(request + "\r\n" + body);
  return client.Next(method == "HEAD");
}

}  // namespace merganser::http

#endif  // MERGANSER_TESTS_COORDINATOR_HTTP_HTTP_CLIENT_H_

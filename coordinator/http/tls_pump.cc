#include "coordinator/http/tls_pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

namespace merganser::http {
namespace {

// Bytes that were read or written; 0 where that has to wait; nothing where it is over.
std::optional<size_t> Result(ssize_t done) {
  if (done >= 0) return static_cast<size_t>(done);
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? std::optional<size_t>(0)
                                                                   : std::nullopt;
}

}  // namespace

TlsPump::TlsPump(front::Descriptor client, std::unique_ptr<front::Transport> transport,
                 front::Descriptor inner)
    : client_(std::move(client)), inner_(std::move(inner)), transport_(std::move(transport)) {}

bool TlsPump::Step() {
  std::array<char, 16 << 10> block;
  for (bool moved = true; moved;) {
    moved = false;
    if (!said_all_ && up_.size() < kMost) {
      const std::optional<size_t> count = transport_->Read(block.data(), block.size());
      if (!count.has_value()) said_all_ = true;
      if (count.value_or(0) > 0) up_.append(block.data(), *count);
      moved |= count.value_or(1) > 0;
    }
    if (!up_.empty()) {
      const auto count = Result(::send(inner_.get(), up_.data(), up_.size(), MSG_NOSIGNAL));
      if (!count.has_value()) return false;
      up_.erase(0, *count);
      moved |= *count > 0;
    }
    if (said_all_ && up_.empty() && !told_) {
      told_ = true;
      ::shutdown(inner_.get(), SHUT_WR);
    }
    if (!answered_all_ && down_.size() < kMost) {
      const ssize_t done = ::recv(inner_.get(), block.data(), block.size(), 0);
      const std::optional<size_t> count = Result(done);
      if (done == 0 || !count.has_value()) answered_all_ = true;
      if (done > 0) down_.append(block.data(), *count);
      moved |= done > 0;
    }
    if (!down_.empty()) {
      const std::optional<size_t> count = transport_->Write(std::string_view(down_));
      if (!count.has_value()) return false;
      down_.erase(0, *count);
      moved |= *count > 0;
    }
    if (answered_all_ && down_.empty()) {
      transport_->Finish();
      return false;
    }
  }
  // Connections that are silent hold no memory.
  if (up_.empty()) std::string().swap(up_);
  if (down_.empty()) std::string().swap(down_);
  return true;
}

uint32_t TlsPump::WantedOfClient() const {
  uint32_t events = 0;
  if (!said_all_ && up_.size() < kMost) events |= EPOLLIN;
  if (!down_.empty() || transport_->WaitsToWrite()) events |= EPOLLOUT;
  return events;
}

uint32_t TlsPump::WantedOfInner() const {
  uint32_t events = 0;
  if (!answered_all_ && down_.size() < kMost) events |= EPOLLIN;
  if (!up_.empty()) events |= EPOLLOUT;
  return events;
}

}  // namespace merganser::http

#include "coordinator/http/gate.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "coordinator/front/bucket.h"
#include "coordinator/front/descriptor.h"
#include "coordinator/front/doorstep.h"
#include "coordinator/front/listener.h"
#include "coordinator/front/peer.h"
#include "coordinator/front/socket_owner.h"
#include "coordinator/front/tally.h"
#include "coordinator/front/watched.h"
#include "coordinator/http/tls_pump.h"

namespace merganser::http {
namespace {

using front::Descriptor;
using front::Endpoints;
using front::PeerKey;

// How long accepting rests when the system is out of what a connection needs.
constexpr std::chrono::milliseconds kRest(100);
// How long it rests where those who were sent away are still there.
constexpr std::chrono::milliseconds kBreath(2);
// How long a client over TLS has to take the last of what it was sent.
constexpr std::chrono::seconds kFarewell(10);
constexpr int kAcceptsAtATime = 64;
// Connections whose proxy has not said yet whose they are.
constexpr size_t kMostOnDoorstep = 256;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

// For who comes past the proxy, and may read it where he does not speak TLS.
std::string PastTheProxy(std::string_view why) {
  return absl::StrCat(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Connection: close\r\nContent-Length: ",
      why.size() + 1, "\r\n\r\n", std::string(why), "\n");
}

}  // namespace

class Gate::Loop {
 public:
  Loop(GateOptions options, const Limits& limits, Guests& guests, const HttpMetrics& metrics,
       front::Listener listener)
      : options_(std::move(options)),
        limits_(limits),
        guests_(guests),
        metrics_(metrics),
        listener_(std::move(listener)),
        tally_(options_.log),
        doorstep_(
            [this](Descriptor client, const Endpoints& ends) { Take(std::move(client), ends); },
            [this](std::string_view why, const Endpoints& proxy) {
              Refuse(Refusal::kProxyHeader, why, Whose(proxy));
            },
            PastTheProxy) {}
  ~Loop() { Stop(); }

  uint16_t port() const { return listener_.port; }
  absl::Status Serve(HandOver hand_over);
  void StopAccepting() {
    accepting_ = false;
    Wake();
    // The thread is told, and answers when it has stopped.
    while (thread_.joinable() && !stopped_accepting_) ::usleep(1000);
  }
  void Stop() {
    running_ = accepting_ = false;
    if (!thread_.joinable()) return;
    Wake();
    thread_.Join().IgnoreError();
  }

 private:
  struct Pumped;
  // What epoll tells about.
  struct Watched {
    Pumped* pumped = nullptr;  // none: a socket that listens, or one of ours
    int fd = -1;
    uint32_t events = 0;
  };
  struct Pumped {
    explicit Pumped(TlsPump pump_in) : pump(std::move(pump_in)) {
      client.pumped = inner.pumped = this;
    }
    TlsPump pump;
    Watched client, inner;
    std::list<std::unique_ptr<Pumped>>::iterator place;
    MonotonicTime due = MonotonicTime::max();  // once all that is left is to deliver
    bool gone = false;
  };

  void Wake() {
    const uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) return;  // it is awake
  }
  PeerKey Whose(const Endpoints& ends) {
    return front::KeyOf(ends.from, front::IsSameHost(ends.from, ends.to)
                                       ? owners_.Find(ends.from, ends.to)
                                       : std::nullopt);
  }
  // Counts it, and has the log say so in a while.
  void Refuse(Refusal kind, std::string_view why, const PeerKey& peer) {
    metrics_.Refused(kind);
    tally_.Add(why, peer, Now());
  }
  void Run();
  void Turn();
  void Accept(int listening);
  void Greet(Descriptor client, const sockaddr_storage& from);
  void Take(Descriptor client, const Endpoints& ends);
  bool MayShakeHands(const PeerKey& peer);
  void Pump(Descriptor client, const Endpoints& ends, const PeerKey& peer);
  void Admit(Descriptor served, const Endpoints& ends, const PeerKey& peer);
  void Step(Pumped& pumped);
  void Remove(Pumped& pumped);
  void Want(Watched& watched, int fd, uint32_t events) {
    WatchFor(epoll_.get(), watched, fd, events);
  }
  void HearHangUps();
  void Listening(bool on);
  void Tidy(MonotonicTime now);

  const GateOptions options_;
  const Limits& limits_;
  Guests& guests_;
  const HttpMetrics& metrics_;
  front::Listener listener_;
  HandOver hand_over_;
  Thread thread_;
  // Of those that are handed over, whose end nobody else looks for while they are told of things.
  Descriptor hang_ups_;
  Descriptor epoll_, wake_;
  Descriptor spare_;  // given up for a moment when there are no more
  std::atomic<bool> running_{true}, accepting_{true}, stopped_accepting_{false};

  // The thread's own.
  front::SocketOwners owners_;
  front::Tally tally_;
  front::Doorstep doorstep_;
  std::vector<Watched> listening_;
  Watched waking_, entering_, hanging_up_;
  std::map<PeerKey, front::Bucket> handshakes_;
  std::list<std::unique_ptr<Pumped>> pumped_;
  std::list<std::unique_ptr<Pumped>> gone_;  // told of, perhaps, by events still to be looked at
  MonotonicTime rests_until_ = MonotonicTime::min(), tidy_at_ = MonotonicTime::min();
  bool listens_ = false;
};

absl::Status Gate::Loop::Serve(HandOver hand_over) {
  hand_over_ = std::move(hand_over);
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  hang_ups_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!epoll_.valid() || !hang_ups_.valid() || !wake_.valid() || !spare_.valid()) {
    return ErrnoStatus(errno, "begin to accept connections");
  }
  if (options_.behind_proxy) {
    MERGANSER_RETURN_IF_ERROR(doorstep_.Open());
    Want(entering_, doorstep_.fd(), EPOLLIN);
  }
  Want(waking_, wake_.get(), EPOLLIN);
  Want(hanging_up_, hang_ups_.get(), EPOLLIN);
  listening_.resize(listener_.sockets.size());
  Listening(true);
  MERGANSER_ASSIGN_OR_RETURN(thread_, Thread::Start([this] { Run(); }));
  return absl::OkStatus();
}

void Gate::Loop::Run() {
  while (running_) {
    // Where memory ran out: what was begun waits for the next turn, or is cut off when it is due.
    if (!Guarded([this] { Turn(); }).ok()) ::usleep(10'000);
  }
  while (!pumped_.empty()) Remove(*pumped_.front());
  gone_.clear();
  stopped_accepting_ = true;
}

void Gate::Loop::Turn() {
  std::array<epoll_event, 128> events;
  const int wait = listens_ || !accepting_ ? 500 : 2;
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait);
  for (int i = 0; i < count; ++i) {
    auto& watched = *static_cast<Watched*>(events[i].data.ptr);
    if (watched.pumped != nullptr) {
      if (!watched.pumped->gone) Step(*watched.pumped);
    } else if (watched.fd == wake_.get()) {
      uint64_t told;
      while (::read(wake_.get(), &told, sizeof(told)) > 0) continue;
    } else if (watched.fd == hang_ups_.get()) {
      HearHangUps();
    } else if (watched.fd == doorstep_.fd()) {
      doorstep_.Turn();
    } else if (listens_) {
      Accept(watched.fd);
    }
  }
  gone_.clear();
  if (!accepting_ && !stopped_accepting_) {
    Listening(false);
    listener_.sockets.clear();
    doorstep_.Clear();
    stopped_accepting_ = true;
  }
  const MonotonicTime now = Now();
  if (!listens_ && accepting_ && now >= rests_until_) {
    // What became free is the spare's before anybody's.
    if (!spare_.valid()) spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Listening(true);
  }
  if (now >= tidy_at_) {
    tidy_at_ = now + std::chrono::milliseconds(500);
    Tidy(now);
  }
}

void Gate::Loop::Tidy(MonotonicTime now) {
  doorstep_.Expire(now);
  guests_.Expire(now);
  guests_.Beat(limits_.comment);
  for (auto at = pumped_.begin(); at != pumped_.end();) {
    Pumped& pumped = **at++;
    if (pumped.due <= now) Remove(pumped);
  }
  for (auto at = handshakes_.begin(); at != handshakes_.end();) {
    at = at->second.Full(now) ? handshakes_.erase(at) : std::next(at);
  }
  tally_.Tell(now);
}

void Gate::Loop::HearHangUps() {
  std::array<epoll_event, 64> events;
  const int count =
      ::epoll_wait(hang_ups_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const uint64_t who = events[i].data.u64;
    guests_.HungUp(static_cast<int>(who & 0xffffffff), static_cast<uint32_t>(who >> 32));
  }
}

void Gate::Loop::Listening(bool on) {
  for (size_t i = 0; i < listener_.sockets.size(); ++i) {
    Want(listening_[i], listener_.sockets[i].get(), on ? uint32_t{EPOLLIN} : 0);
  }
  listens_ = on;
}

void Gate::Loop::Accept(int listening) {
  for (int i = 0; i < kAcceptsAtATime; ++i) {
    if (guests_.Crowded()) {
      rests_until_ = Now() + kBreath;
      return Listening(false);
    }
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    Descriptor client(::accept4(listening, reinterpret_cast<sockaddr*>(&peer), &size,
                                SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client.valid()) {
      // What cannot be taken for lack of memory is closed.
      Guarded([&] { Greet(std::move(client), peer); }).IgnoreError();
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EMFILE:
      case ENFILE:
        // Whoever waits longest is sent away with the spare descriptor's help: left in the queue he
        // would have the loop spin, and all others wait behind him.
        metrics_.Refused(Refusal::kDescriptors);
        spare_.Reset();
        Descriptor(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)).Reset();
        spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (spare_.valid()) continue;
        [[fallthrough]];
      case ENOBUFS:
      case ENOMEM:
        rests_until_ = Now() + kRest;
        return Listening(false);
      default:
        continue;  // that connection is gone before it was taken
    }
  }
}

void Gate::Loop::Greet(Descriptor client, const sockaddr_storage& from) {
  Endpoints ends;
  ends.from = from;
  socklen_t size = sizeof(ends.to);
  ::getsockname(client.get(), reinterpret_cast<sockaddr*>(&ends.to), &size);
  front::SetConnectionOptions(client.get());
  if (!options_.behind_proxy) return Take(std::move(client), ends);
  if (doorstep_.size() >= kMostOnDoorstep) doorstep_.DropOldest();
  doorstep_.Add(std::move(client), ends, Now() + std::chrono::seconds(15));
}

void Gate::Loop::Take(Descriptor client, const Endpoints& ends) {
  const PeerKey peer = Whose(ends);
  if (options_.tls != nullptr) return Pump(std::move(client), ends, peer);
  Admit(std::move(client), ends, peer);
}

bool Gate::Loop::MayShakeHands(const PeerKey& peer) {
  return handshakes_.try_emplace(peer, limits_.handshakes_of_peer).first->second.Take(1, Now());
}

void Gate::Loop::Pump(Descriptor client, const Endpoints& ends, const PeerKey& peer) {
  const std::shared_ptr<const front::TlsContext> context = options_.tls->Current();
  if (context == nullptr) return;  // there is no certificate just now
  if (!MayShakeHands(peer)) return Refuse(Refusal::kHandshakes, "too many TLS handshakes", peer);
  std::unique_ptr<front::Transport> transport = context->Accept(client.get());
  int pair[2];
  if (transport == nullptr ||
      ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    return Refuse(Refusal::kDescriptors, "out of descriptors", peer);
  }
  Descriptor inner(pair[0]), served(pair[1]);
  std::list<std::unique_ptr<Pumped>> one;
  Pumped& pumped = *one.emplace_back(
      std::make_unique<Pumped>(TlsPump(std::move(client), std::move(transport), std::move(inner))));
  pumped.place = one.begin();
  pumped_.splice(pumped_.end(), one);
  Admit(std::move(served), ends, peer);
  Step(pumped);
}

void Gate::Loop::Admit(Descriptor served, const Endpoints& ends, const PeerKey& peer) {
  const int fd = served.get();
  const uint32_t number = guests_.Add(fd, peer, Now());
  if (number == 0) return Refuse(Refusal::kConnections, "too many connections", peer);
  epoll_event event{};
  event.events = EPOLLRDHUP | EPOLLET;
  event.data.u64 = uint64_t{number} << 32 | static_cast<uint32_t>(fd);
  ::epoll_ctl(hang_ups_.get(), EPOLL_CTL_ADD, fd, &event);
  hand_over_(served.Release(), ends.from);
}

void Gate::Loop::Step(Pumped& pumped) {
  // Where memory runs out the connection that asked for it ends.
  bool goes_on = false;
  Guarded([&] { goes_on = pumped.pump.Step(); }).IgnoreError();
  if (!goes_on) return Remove(pumped);
  if (pumped.pump.only_delivers() && pumped.due == MonotonicTime::max()) {
    pumped.due = Now() + kFarewell;
  }
  Want(pumped.client, pumped.pump.client_fd(), pumped.pump.WantedOfClient());
  Want(pumped.inner, pumped.pump.inner_fd(), pumped.pump.WantedOfInner());
}

void Gate::Loop::Remove(Pumped& pumped) {
  pumped.gone = true;
  // Closed at once, and forgotten when no event can tell of it any more.
  Want(pumped.client, pumped.pump.client_fd(), 0);
  Want(pumped.inner, pumped.pump.inner_fd(), 0);
  pumped.pump.Close();
  gone_.splice(gone_.end(), pumped_, pumped.place);
}

Gate::Gate(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Gate::~Gate() = default;

absl::StatusOr<std::unique_ptr<Gate>> Gate::Open(GateOptions options, const Limits& limits,
                                                 Guests& guests, const HttpMetrics& metrics) {
  MERGANSER_ASSIGN_OR_RETURN(front::Listener listener, front::Listen(options.listen, "--http"));
  return std::unique_ptr<Gate>(new Gate(
      std::make_unique<Loop>(std::move(options), limits, guests, metrics, std::move(listener))));
}

uint16_t Gate::port() const { return loop_->port(); }

absl::Status Gate::Serve(HandOver hand_over) { return loop_->Serve(std::move(hand_over)); }

void Gate::StopAccepting() { loop_->StopAccepting(); }

void Gate::Stop() { loop_->Stop(); }

}  // namespace merganser::http

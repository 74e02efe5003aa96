#include "coordinator/front/front.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "coordinator/front/connection.h"
#include "coordinator/front/descriptor.h"
#include "coordinator/front/doorstep.h"
#include "coordinator/front/listener.h"
#include "coordinator/front/peer.h"
#include "coordinator/front/probe.h"
#include "coordinator/front/socket_owner.h"
#include "coordinator/front/tally.h"
#include "coordinator/front/transport.h"
#include "coordinator/front/watched.h"

namespace merganser::front {
namespace {

// How long accepting rests when the system is out of what a connection needs.
constexpr std::chrono::milliseconds kRest(100);
constexpr int kAcceptsAtATime = 64;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

class Front::Loop {
 public:
  Loop(FrontOptions options, Listener listener)
      : options_(std::move(options)),
        listener_(std::move(listener)),
        tally_(options_.log),
        all_(Shared::OfAll(options_.limits.frames)),
        doorstep_(
            [this](Descriptor client, const Endpoints& ends) { Take(std::move(client), ends); },
            [this](std::string_view why, const Endpoints& proxy) {
              tally_.Add(why, Whose(proxy), Now());
            }) {
    socklen_t size = sizeof(bound_);
    ::getsockname(listener_.sockets.front().get(), reinterpret_cast<sockaddr*>(&bound_), &size);
  }
  ~Loop() { Stop(); }

  uint16_t port() const { return listener_.port; }
  const sockaddr_storage& bound() const { return bound_; }
  absl::Status Serve(HandOver hand_over, Admit admit);
  void StopAccepting() {
    {
      MutexLock lock(joining_);
      accepting_ = false;
    }
    Wake();
  }
  void Stop() {
    if (!thread_.joinable()) return;
    StopAccepting();
    running_ = false;
    Wake();
    thread_.Join().IgnoreError();
  }

 private:
  struct Entry;
  // What epoll tells about.
  struct Watched {
    Entry* entry = nullptr;  // none: a listening socket, or wake_
    int fd = -1;
    uint32_t events = 0;
  };
  struct Peer {
    explicit Peer(const Limits& limits)
        : shared(Shared::OfPeer(limits.frames)), joins(limits.joins_of_peer) {}
    bool Quiet(MonotonicTime now) {
      return open == 0 && pending.empty() && joins.Full(now) && shared.Full(now);
    }
    size_t open = 0;
    std::list<Entry*> pending;  // the oldest first
    Shared shared;
    Bucket joins;
  };
  struct Entry {
    Entry(Loop& loop, Descriptor fd, std::unique_ptr<Transport> transport, Peer& peer_in,
          const PeerKey& key_in)
        : peer(peer_in),
          key(key_in),
          connection(
              std::move(fd), std::move(transport), loop.options_.tls != nullptr,
              loop.options_.limits,
              Relay(Conduct(loop.options_.limits.frames, peer_in.shared, loop.all_), loop.admit_),
              [this](MonotonicTime now) {
                const MonotonicTime when = peer.joins.When(1, now);
                if (when <= now) peer.joins.Charge(1, now);
                return when;
              },
              [this, &loop](MonotonicTime now) { return loop.Join(*this, now); }, Now()) {
      client.entry = server.entry = this;
    }
    Peer& peer;
    const PeerKey key;
    Connection connection;
    Watched client, server;
    std::list<std::unique_ptr<Entry>>::iterator place;
    std::list<Entry*>::iterator pending;
    std::multimap<MonotonicTime, Entry*>::iterator timer;
    bool open = false;     // joined to the server, not pending any more
    bool counted = false;  // in open_ and its peer's
    bool gone = false;
  };

  void Wake() {
    const uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) return;  // it is awake
  }
  void Run();
  void Turn();
  void Accept(Watched& listening);
  // Null where there is no certificate just now.
  std::unique_ptr<Transport> Over(int fd);
  PeerKey Whose(const Endpoints& ends) {
    return KeyOf(ends.from,
                 IsSameHost(ends.from, ends.to) ? owners_.Find(ends.from, ends.to) : std::nullopt);
  }
  void Greet(Descriptor client, const sockaddr_storage& from);
  void Take(Descriptor client, const Endpoints& ends);
  // A way to the server, for a client that has greeted.
  Joined Join(Entry& entry, MonotonicTime now);
  // After everything that may have changed the connection.
  void Settle(Entry& entry);
  void Uncount(Entry& entry);
  void Remove(Entry& entry);
  void Step(Entry& entry);
  void Want(Watched& watched, int fd, uint32_t events) {
    WatchFor(epoll_.get(), watched, fd, events);
  }
  void EvictPending();
  // Sends away who is missed least, of one peer or of any: of those who have shown no token, or
  // else of those without a call in progress, the longest silent. False where there is none.
  bool MakeRoom(const Peer* of, MonotonicTime now);
  void Listening(bool on);
  int TimeToWait() const;

  const FrontOptions options_;
  Listener listener_;
  sockaddr_storage bound_{};  // one of its addresses
  HandOver hand_over_;
  Admit admit_;
  Thread thread_;
  Descriptor epoll_, wake_;
  Descriptor spare_;  // given up for a moment when there are no more
  Mutex joining_;     // held while accepting_ becomes false, and while a connection is handed over
  std::atomic<bool> accepting_{true}, running_{true};

  // The thread's own.
  SocketOwners owners_;
  Tally tally_;
  Shared all_;
  Doorstep doorstep_;
  std::vector<Watched> listening_;
  Watched waking_, entering_;
  std::map<PeerKey, Peer> peers_;
  std::list<std::unique_ptr<Entry>> entries_;
  std::list<std::unique_ptr<Entry>> gone_;  // told of, perhaps, by events still to be looked at
  std::multimap<MonotonicTime, Entry*> timers_;
  size_t pending_ = 0, open_ = 0;
  MonotonicTime rests_until_ = MonotonicTime::min(), tidy_at_ = MonotonicTime::min();
  bool listens_ = false;
};

absl::Status Front::Loop::Serve(HandOver hand_over, Admit admit) {
  hand_over_ = std::move(hand_over);
  admit_ = std::move(admit);
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!epoll_.valid() || !wake_.valid() || !spare_.valid()) {
    return ErrnoStatus(errno, "begin to accept connections");
  }
  if (options_.behind_proxy) {
    MERGANSER_RETURN_IF_ERROR(doorstep_.Open());
    Want(entering_, doorstep_.fd(), EPOLLIN);
  }
  Want(waking_, wake_.get(), EPOLLIN);
  listening_.resize(listener_.sockets.size());
  Listening(true);
  MERGANSER_ASSIGN_OR_RETURN(thread_, Thread::Start([this] { Run(); }));
  return absl::OkStatus();
}

void Front::Loop::Run() {
  while (running_) {
    // Where memory ran out: what was begun waits for the next turn, or is cut off by its deadline.
    if (!Guarded([this] { Turn(); }).ok()) ::usleep(10'000);
  }
  // The server is gone, and what it wrote is on its way.
  const MonotonicTime end = Now() + options_.limits.farewell;
  while (!entries_.empty() && Now() < end) {
    if (!Guarded([this] { Turn(); }).ok()) break;
  }
  while (!entries_.empty()) Remove(*entries_.front());
}

int Front::Loop::TimeToWait() const {
  Duration wait = std::chrono::seconds(1);
  const MonotonicTime now = Now();
  if (!timers_.empty()) wait = std::min(wait, timers_.begin()->first - now);
  if (!listens_ && accepting_) wait = std::min(wait, rests_until_ - now);
  if (wait <= Duration::zero()) return 0;
  return 1 + static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(wait).count());
}

void Front::Loop::Turn() {
  std::array<epoll_event, 128> events;
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeToWait());
  for (int i = 0; i < count; ++i) {
    auto& watched = *static_cast<Watched*>(events[i].data.ptr);
    if (watched.entry != nullptr) {
      Entry& entry = *watched.entry;
      if (entry.gone) continue;
      // What a client said before it left without waiting for its turn is nobody's any more.
      const bool left = (events[i].events & EPOLLRDHUP) != 0 && &watched == &entry.client;
      left ? Remove(entry) : Step(entry);
    } else if (watched.fd == wake_.get()) {
      uint64_t told;
      while (::read(wake_.get(), &told, sizeof(told)) > 0) continue;
    } else if (watched.fd == doorstep_.fd()) {
      doorstep_.Turn();
    } else if (listens_) {
      Accept(watched);
    }
  }
  gone_.clear();
  if (!accepting_ && !listener_.sockets.empty()) {
    Listening(false);
    listener_.sockets.clear();
    doorstep_.Clear();
  }
  const MonotonicTime now = Now();
  if (!listens_ && accepting_ && now >= rests_until_) {
    // What became free is the spare's before anybody's.
    if (!spare_.valid()) spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Listening(true);
  }
  while (!timers_.empty() && timers_.begin()->first <= now) Step(*timers_.begin()->second);
  doorstep_.Expire(now);
  gone_.clear();
  if (now >= tidy_at_) {
    tidy_at_ = now + std::chrono::seconds(1);
    for (auto at = peers_.begin(); at != peers_.end();) {
      at = at->second.Quiet(now) ? peers_.erase(at) : std::next(at);
    }
    for (const auto& entry : entries_) entry->connection.Tidy(now);
    tally_.Tell(now);
  }
}

void Front::Loop::Listening(bool on) {
  for (size_t i = 0; i < listener_.sockets.size(); ++i) {
    Want(listening_[i], listener_.sockets[i].get(), on ? uint32_t{EPOLLIN} : 0);
  }
  listens_ = on;
}

void Front::Loop::Accept(Watched& listening) {
  for (int i = 0; i < kAcceptsAtATime; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    Descriptor client(::accept4(listening.fd, reinterpret_cast<sockaddr*>(&peer), &size,
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
        // Whoever waits longest is sent away with the spare descriptor's help: left in the
        // queue he would have the loop spin, and all others wait behind him.
        spare_.Reset();
        Descriptor(::accept4(listening.fd, nullptr, nullptr, SOCK_CLOEXEC)).Reset();
        spare_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (spare_.valid()) continue;
        [[fallthrough]];
      case ENOBUFS:
      case ENOMEM:
        rests_until_ = Now() + kRest;
        Listening(false);
        return;
      default:
        continue;  // that connection is gone before it was taken
    }
  }
}

std::unique_ptr<Transport> Front::Loop::Over(int fd) {
  if (options_.tls == nullptr) return std::make_unique<PlainTransport>(fd);
  const std::shared_ptr<const TlsContext> context = options_.tls->Current();
  return context == nullptr ? nullptr : context->Accept(fd);
}

void Front::Loop::Greet(Descriptor client, const sockaddr_storage& from) {
  Endpoints ends;
  ends.from = from;
  socklen_t size = sizeof(ends.to);
  ::getsockname(client.get(), reinterpret_cast<sockaddr*>(&ends.to), &size);
  if (doorstep_.size() + pending_ >= options_.limits.pending) {
    doorstep_.size() > 0 ? doorstep_.DropOldest() : EvictPending();
  }
  SetConnectionOptions(client.get());
  if (!options_.behind_proxy) return Take(std::move(client), ends);
  doorstep_.Add(std::move(client), ends, Now() + options_.limits.greeting);
}

void Front::Loop::Take(Descriptor client, const Endpoints& ends) {
  const PeerKey key = Whose(ends);
  std::unique_ptr<Transport> transport = Over(client.get());
  if (transport == nullptr) return;  // it is closed
  Peer& peer = peers_.try_emplace(key, options_.limits).first->second;
  std::list<std::unique_ptr<Entry>> one;
  Entry& entry = *one.emplace_back(
      std::make_unique<Entry>(*this, std::move(client), std::move(transport), peer, key));
  std::list<Entry*> waiting{&entry};
  entry.timer = timers_.emplace(entry.connection.NextTime(), &entry);
  // Nothing throws from here on.
  entry.place = one.begin();
  entry.pending = waiting.begin();
  entries_.splice(entries_.end(), one);
  peer.pending.splice(peer.pending.end(), waiting);
  ++pending_;
  Step(entry);  // much of what clients begin with is there already
}

void Front::Loop::EvictPending() {
  Peer* most = nullptr;
  for (auto& [key, peer] : peers_) {
    if (most == nullptr || peer.pending.size() > most->pending.size()) most = &peer;
  }
  if (most != nullptr && !most->pending.empty()) Remove(*most->pending.front());
}

void Front::Loop::Step(Entry& entry) {
  // Where memory runs out the connection that asked for it ends.
  if (!Guarded([&] {
         entry.connection.Step(Now());
         Settle(entry);
       }).ok()) {
    Remove(entry);
  }
}

bool Front::Loop::MakeRoom(const Peer* of, MonotonicTime now) {
  // The lower, the less it is missed.
  const auto rank = [](const Entry& entry) {
    return std::make_tuple(entry.connection.known(), !entry.connection.idle(),
                           entry.connection.heard());
  };
  Entry* least = nullptr;
  for (const auto& entry : entries_) {
    if ((of != nullptr && &entry->peer != of) || !entry->counted) continue;
    if (entry->connection.known() && !entry->connection.idle()) continue;
    if (least == nullptr || rank(*entry) < rank(*least)) least = entry.get();
  }
  if (least == nullptr) return false;
  least->connection.SendAway(Http2Error::kNone, "room is needed for others", now);
  Uncount(*least);
  Settle(*least);
  return true;
}

Joined Front::Loop::Join(Entry& entry, MonotonicTime now) {
  Joined joined;
  if ((entry.peer.open >= options_.limits.connections_of_peer && !MakeRoom(&entry.peer, now)) ||
      (open_ >= options_.limits.connections && !MakeRoom(nullptr, now))) {
    joined.why = "too many connections";
    return joined;
  }
  MutexLock lock(joining_);
  if (!accepting_) {
    joined.why = "the coordinator stops";
    return joined;
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    joined.why = "out of descriptors";
    return joined;
  }
  joined.server.Reset(ends[0]);
  hand_over_(ends[1]);
  entry.peer.pending.erase(entry.pending);
  --pending_;
  entry.open = entry.counted = true;
  ++entry.peer.open;
  ++open_;
  return joined;
}

void Front::Loop::Uncount(Entry& entry) {
  if (!entry.counted) return;
  entry.counted = false;
  --entry.peer.open;
  --open_;
}

void Front::Loop::Settle(Entry& entry) {
  Connection& connection = entry.connection;
  if (connection.state() == Connection::State::kDone) return Remove(entry);
  Want(entry.client, connection.client_fd(), connection.WantedOfClient());
  if (connection.server_fd() >= 0) {
    Want(entry.server, connection.server_fd(), connection.WantedOfServer());
  }
  if (entry.timer->first != connection.NextTime()) {
    auto node = timers_.extract(entry.timer);
    node.key() = connection.NextTime();
    entry.timer = timers_.insert(std::move(node));
  }
}

void Front::Loop::Remove(Entry& entry) {
  if (entry.open) {
    Uncount(entry);
  } else {
    entry.peer.pending.erase(entry.pending);
    --pending_;
  }
  timers_.erase(entry.timer);
  entry.gone = true;
  // Closed at once, and forgotten when no event can tell of it any more.
  entry.connection.Close(Now());
  gone_.splice(gone_.end(), entries_, entry.place);
  tally_.Add(entry.connection.why(), entry.key, Now());
}

Front::Front(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Front::~Front() = default;

absl::StatusOr<std::unique_ptr<Front>> Front::Open(FrontOptions options) {
  MERGANSER_ASSIGN_OR_RETURN(Listener listener, Listen(options.listen));
  return std::unique_ptr<Front>(
      new Front(std::make_unique<Loop>(std::move(options), std::move(listener))));
}

absl::Status Front::Check(Duration patience) const { return Probe(loop_->bound(), patience); }

uint16_t Front::port() const { return loop_->port(); }

absl::Status Front::Serve(HandOver hand_over, Admit admit) {
  return loop_->Serve(std::move(hand_over), std::move(admit));
}

void Front::StopAccepting() { loop_->StopAccepting(); }

void Front::Stop() { loop_->Stop(); }

}  // namespace merganser::front

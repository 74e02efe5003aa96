// A number of seats that many share, and that none of them can take whole.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_FAIR_SEATS_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_FAIR_SEATS_H_

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace merganser {

// Who has fewer seats than are free gets one more. So one alone gets half of them, of two
// that take what they can each a third, and whoever comes new finds one, until there are
// nearly as many who sit as there are seats. Thread-safe.
class FairSeats {
 public:
  // Left when it is destroyed; movable. The seats must outlive it.
  class Seat {
   public:
    Seat() = default;
    Seat(Seat&& other) noexcept
        : seats_(std::exchange(other.seats_, nullptr)), place_(other.place_) {}
    Seat& operator=(Seat&& other) noexcept;
    ~Seat() { Leave(); }

   private:
    friend class FairSeats;
    using Place = std::map<std::string, int>::iterator;
    Seat(FairSeats* seats, Place place) : seats_(seats), place_(place) {}
    void Leave();

    FairSeats* seats_ = nullptr;
    Place place_;
  };

  explicit FairSeats(int seats, const Clock& clock = SystemClock());

  // None where `who` must not have another one now.
  std::optional<Seat> Take(const std::string& who);
  // None where no seat is free.
  std::optional<Seat> TakeAny(const std::string& who);
  // For how long none has been free; zero where one is.
  Duration FullFor() const;

 private:
  std::optional<Seat> TakeOf(const std::string& who, bool fair);

  const Clock& clock_;
  mutable Mutex mutex_;
  int free_ MERGANSER_GUARDED_BY(mutex_);
  MonotonicTime full_since_ MERGANSER_GUARDED_BY(mutex_);          // while none is free
  std::map<std::string, int> taken_ MERGANSER_GUARDED_BY(mutex_);  // by those who have any
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_FAIR_SEATS_H_

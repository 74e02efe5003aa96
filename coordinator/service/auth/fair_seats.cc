#include "coordinator/service/auth/fair_seats.h"

namespace merganser {

FairSeats::FairSeats(int seats, const Clock& clock)
    : clock_(clock), free_(seats), full_since_(clock.Now()) {}

FairSeats::Seat& FairSeats::Seat::operator=(Seat&& other) noexcept {
  if (this != &other) {
    Leave();
    seats_ = std::exchange(other.seats_, nullptr);
    place_ = other.place_;
  }
  return *this;
}

void FairSeats::Seat::Leave() {
  if (seats_ == nullptr) return;
  MutexLock lock(seats_->mutex_);
  ++seats_->free_;
  if (--place_->second == 0) seats_->taken_.erase(place_);
  seats_ = nullptr;
}

std::optional<FairSeats::Seat> FairSeats::Take(const std::string& who) {
  return TakeOf(who, /*fair=*/true);
}

std::optional<FairSeats::Seat> FairSeats::TakeAny(const std::string& who) {
  return TakeOf(who, /*fair=*/false);
}

std::optional<FairSeats::Seat> FairSeats::TakeOf(const std::string& who, bool fair) {
  MutexLock lock(mutex_);
  const auto known = taken_.find(who);
  const int has = known == taken_.end() ? 0 : known->second;
  if (free_ <= (fair ? has : 0)) return std::nullopt;
  const auto place = known == taken_.end() ? taken_.emplace(who, 0).first : known;
  ++place->second;
  if (--free_ == 0) full_since_ = clock_.Now();
  return Seat(this, place);
}

Duration FairSeats::FullFor() const {
  MutexLock lock(mutex_);
  return free_ > 0 ? Duration::zero() : clock_.Now() - full_since_;
}

}  // namespace merganser

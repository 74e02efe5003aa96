// A file descriptor with an owner.
#ifndef MERGANSER_COORDINATOR_FRONT_DESCRIPTOR_H_
#define MERGANSER_COORDINATOR_FRONT_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace merganser::front {

// A descriptor, or none; closed with its owner. Movable; not thread-safe.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~Descriptor() { Reset(); }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  // Gives it away.
  int Release() { return std::exchange(number_, -1); }
  void Reset(int number = -1) {
    if (number_ >= 0) ::close(number_);
    number_ = number;
  }

 private:
  int number_ = -1;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_DESCRIPTOR_H_

// Elementary functions that give the same bits on every machine. libm's are
// dispatched to variants of the CPU at hand, which differ in the last place.
#ifndef MERGANSER_COMMON_METHODS_DETERMINISTIC_MATH_H_
#define MERGANSER_COMMON_METHODS_DETERMINISTIC_MATH_H_

namespace merganser {

// Natural logarithm of a finite x > 0; relative error below 1e-15 away from
// x = 1, absolute error below 1e-16 near it.
double DeterministicLog(double x);

// exp(x) for |x| <= 700; relative error below 1e-15.
double DeterministicExp(double x);

// x^y for x in [0, 1] and y >= 0 (0^0 = 1); relative error below
// 1e-15 * max(1, |y log x|).
double DeterministicPow(double x, double y);

// sin(x) and cos(x), x in radians, |x| <= 1e6; relative error below 1e-15, near
// the zeros too.
double DeterministicSin(double x);
double DeterministicCos(double x);

// The angle in [0, pi] whose cosine is x, for x in [-1, 1]; relative error below
// 1e-15. Exactly 0 at 1.
double DeterministicAcos(double x);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_DETERMINISTIC_MATH_H_

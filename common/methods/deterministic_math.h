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

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_DETERMINISTIC_MATH_H_

// From a number to one of a few colours. Classes instead of a gradient: seven or nine can be told
// apart and matched with the legend.
import { isDark } from './dom.js';

// Low to high; more is always further from the ground, so dark has a ramp of its own.
const SEQUENTIAL = {
  light: ['#e3f3db', '#a1dbb6', '#4dc2aa', '#059fa3', '#077a93', '#2b5572', '#2c3648'],
  dark: ['#162a4f', '#014d72', '#017186', '#039896', '#4abd9b', '#9fd9a6', '#e2f3c6'],
};
// Below to above the middle.
const DIVERGING = {
  light: ['#772e02', '#a16033', '#c6956b', '#ebcba7', '#e8e9e3', '#add7f4', '#75a6d1', '#4375ad', '#1a448a'],
  dark: ['#ffbb70', '#c98e5b', '#916547', '#5c4032', '#2a302f', '#374960', '#517399', '#6aa1d7', '#9cd1ff'],
};

export function palette(scale) {
  return (scale.middle === undefined ? SEQUENTIAL : DIVERGING)[isDark() ? 'dark' : 'light'];
}

export function classOf(scale, value) {
  let at = 0;
  while (at < scale.edges.length && value >= scale.edges[at]) at += 1;
  return at;
}

// Round the middle, in the least step that leaves at most 2 % of the values in the open ends.
export function diverging(middle, values) {
  const steps = [0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2];
  const step = steps.find((each) => {
    let beyond = 0;
    for (const value of values) beyond += Math.abs(value - middle) >= 3.5 * each ? 1 : 0;
    return beyond <= 0.02 * values.length;
  }) || steps[steps.length - 1];
  return { middle, edges: [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5].map((k) => middle + k * step) };
}

// Round nothing, whatever size the values have: at most 2 % of them lie in the open ends.
export function roundZero(values) {
  const sizes = Float64Array.from(values, Math.abs).sort();
  const most = sizes.length === 0 ? 0 : sizes[Math.floor((sizes.length - 1) * 0.98)] || sizes[sizes.length - 1];
  const step = most > 0 ? roundStep(most / 3.5) : 1;
  return { middle: 0, edges: [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5].map((k) => k * step) };
}

function bounds(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

// A round number, at least `value`.
function roundStep(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => each * power >= value * (1 - 1e-9));
}

// The wider of two scales: while measurements come in, bounds only widen, so that colours stay.
export function widened(old, next) {
  const ends = (scale) => [scale.edges[0], scale.edges[scale.edges.length - 1]];
  const [from, to] = ends(old);
  const [low, high] = ends(next);
  return (low < from || high > to) && high - low >= to - from ? next : old;
}

// Seven equal steps between round bounds.
export function sequential(values) {
  const [low, high] = bounds(values);
  let step = roundStep((high - low) / 7 || Math.abs(high) / 7 || 1);
  let start = Math.floor(low / step) * step;
  if (start + 7 * step < high) {
    step = roundStep(step * 1.01);
    start = Math.floor(low / step) * step;
  }
  return { edges: [1, 2, 3, 4, 5, 6].map((k) => start + k * step) };
}

// Each step twice the one before, for what spans decades.
export function doubling(values) {
  const sorted = Float64Array.from(values).sort();
  const high = sorted.length === 0 ? 1 : sorted[Math.floor((sorted.length - 1) * 0.98)];
  const start = roundStep((high > 0 ? high : 1) / 48);
  return { edges: [0, 1, 2, 3, 4, 5].map((k) => start * 2 ** k) };
}

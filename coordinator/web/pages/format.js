// Numbers, times and names as the pages show them. No other module knows how.

const NO_BREAK = '\u00a0';
export const DASH = '\u2013';

function digits(value, count) {
  const size = Math.abs(value);
  if (size >= 10 ** (count - 1)) return value.toFixed(0);
  return value.toFixed(Math.max(0, count - 1 - Math.floor(Math.log10(size || 1))));
}

// 18.1 MiB: by 1,024, three digits, as the program prints them.
export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  while (value >= 1023.5 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return (unit === 0 ? String(value) : digits(value, 3)) + NO_BREAK + units[unit];
}

// 50 ms, 0.25 s, 48 s, 2 min 31 s, 1 h 10 min.
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return DASH;
  const parts = (...words) => words.join(NO_BREAK);
  if (seconds === 0) return parts('0', 's');
  if (seconds < 0.0995) return parts(digits(seconds * 1e3, 2), 'ms');
  if (seconds < 9.95) return parts(digits(seconds, 2), 's');
  if (seconds < 99.5) return parts(seconds.toFixed(0), 's');
  const whole = Math.round(seconds);
  if (whole < 3600) return parts(Math.floor(whole / 60), 'min', whole % 60, 's');
  return parts(Math.floor(whole / 3600), 'h', Math.floor(whole % 3600 / 60), 'min');
}

export function rate(bytesPerSecond) {
  return `${bytes(bytesPerSecond >= 10 ? Math.round(bytesPerSecond) : 0)}/s`;
}

// "about 65 s": rounded so that it does not jump, and never more exact than it is.
export function about(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return 'not known yet';
  if (seconds < 10) return 'a few seconds';
  const text = (number, unit) => `about${NO_BREAK}${number}${NO_BREAK}${unit}`;
  if (seconds < 120) return text(Math.round(seconds / 5) * 5, 's');
  if (seconds < 3570) return text(Math.round(seconds / 60), 'min');
  const minutes = Math.round(seconds / 300) * 5;
  return text(Math.floor(minutes / 60), 'h') + (minutes % 60 > 0 ? `${NO_BREAK}${minutes % 60}${NO_BREAK}min` : '');
}

// How long something lasts that is still going on: 36 s, 4 min, 1 h 10 min, 3 days.
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${NO_BREAK}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${NO_BREAK}min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}${NO_BREAK}h` + (whole % 3600 >= 60 ? `${NO_BREAK}${Math.floor(whole % 3600 / 60)}${NO_BREAK}min` : '');
  return `${Math.floor(whole / 86400)}${NO_BREAK}${whole < 172800 ? 'day' : 'days'}`;
}

// 10,432
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

// 2.38 M: three digits, by thousands.
export function shortCount(value) {
  const units = ['', 'K', 'M', 'B', 'T'];
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? String(value) : digits(value, 3) + NO_BREAK + units[unit];
}

export function plural(number, word) {
  return count(number) + ' ' + word + (number === 1 ? '' : 's');
}

export function percent(share) {
  if (!Number.isFinite(share)) return DASH;
  return (share > 0 && share < 0.01 ? '<1' : Math.round(share * 100)) + NO_BREAK + '%';
}

// Fixed decimals with a true minus; a dash for what was not measured.
export function fixed(value, decimals) {
  if (!Number.isFinite(value)) return DASH;
  const text = Math.abs(value).toFixed(decimals);
  return (value < 0 && Number(text) !== 0 ? '\u2212' : '') + text;
}

export function signed(value, decimals) {
  return (value > 0 && Number(value.toFixed(decimals)) !== 0 ? '+' : '') + fixed(value, decimals);
}

// Four significant digits, whatever the size: for measures of which nothing is known.
export function general(value) {
  if (!Number.isFinite(value)) return DASH;
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return (value < 0 ? '\u2212' : '') + count(Math.abs(value));
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e6 ? size.toExponential(3) : digits(size, 4);
  return (value < 0 ? '\u2212' : '') + text;
}

export function shape(sides) {
  return sides.length === 0 ? 'one value' : sides.join(NO_BREAK + '\u00d7' + NO_BREAK);
}

// 29 Nov 2026, 02:41 UTC, from RFC 3339; the text itself where it is none.
export function time(text) {
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)(:\d\d(\.\d+)?)?Z$/.exec(text);
  if (match === null) return shown(text);
  return `${Number(match[3])} ${months[Number(match[2]) - 1]} ${match[1]}, ${match[4]} UTC`;
}

// Controls, marks of direction and what has no width, as \u{202e}: a name shows what it holds. The
// two joiners stay, since words of some languages and many signs are written with them.
export function shown(text) {
  return String(text).replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu,
    (c) => c === '\u200c' || c === '\u200d' ? c : `\\u{${c.codePointAt(0).toString(16)}}`);
}

// What tells names apart: the beginning and the end that all share become dots, where they are long.
export function distinctParts(names) {
  if (names.length < 2) return names.map(shown);
  const first = names[0];
  const least = Math.min(...names.map((name) => name.length));
  let from = 0;
  while (from < least && names.every((name) => name[from] === first[from])) from += 1;
  let behind = 0;
  const end = (name, back) => name[name.length - 1 - back];
  while (behind < least - from && names.every((name) => end(name, behind) === end(first, behind))) behind += 1;
  if (from < 8) from = 0;
  if (behind < 8) behind = 0;
  return names.map((name) => shown((from > 0 ? '\u2026' : '') + name.slice(from, name.length - behind) + (behind > 0 ? '\u2026' : '')));
}

// The program's own sentences, with no line break between a number and its sign.
export function sentence(text) {
  return shown(text).replace(/(\d) %/g, '$1' + NO_BREAK + '%').replace(/'/g, '\u2019');
}

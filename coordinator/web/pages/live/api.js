// The coordinator's JSON API: calls, errors as values that can be shown, and its numbers and times.

export class ApiError extends Error {
  constructor(code, status, message, detail, retry) {
    super(message);
    this.code = code;
    this.status = status;
    this.reason = detail && detail.reason || '';
    this.metadata = detail && detail.metadata || {};
    this.retry = retry;
  }
}

// How far the server's clock is from ours; the pages tell ages by its clock.
let clockOffset = 0;

export function serverNow() {
  return Date.now() + clockOffset;
}

export function noteClock(response) {
  const date = Date.parse(response.headers.get('Date') || '');
  if (!Number.isFinite(date)) return;
  const offset = date - Date.now();
  // The header has whole seconds, and answers take a while.
  clockOffset = Math.abs(offset) < 2000 ? 0 : Math.abs(offset - clockOffset) < 2000 ? clockOffset : offset;
}

export function signIn() {
  if (location.pathname === '/login') return;
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

async function answerError(response) {
  let error = {};
  try {
    error = (await response.json()).error || {};
  } catch {
    // A proxy's page: the number says enough.
  }
  const detail = (error.details || []).find((each) => each.reason || each.metadata);
  return new ApiError(response.status, error.status || '', error.message || `The server answered ${response.status}.`,
    detail, seconds(error.retry_delay));
}

// `path` below /api/v1. Throws ApiError; its code is 0 where nobody answered. Whoever is signed out
// is sent to sign in.
export async function call(method, path, body, signal) {
  const headers = method === 'GET' ? {} : { 'X-Merganser': '1' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/api/v1${path}`, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    throw new ApiError(0, 'UNAVAILABLE', 'The coordinator does not answer.');
  }
  noteClock(response);
  if (response.ok) return response.json();
  const error = await answerError(response);
  if (response.status === 401 && path !== '/session') signIn();
  throw error;
}

export function get(path, signal) {
  return call('GET', path, undefined, signal);
}

// Numbers of 64 bits come as text.
export function num(value) {
  const number = Number(value);
  return Number.isFinite(number) ? number : 0;
}

// "65s" or "1.5s"; NaN where there is none.
export function seconds(text) {
  return typeof text === 'string' && /^-?[0-9.]+s$/.test(text) ? Number(text.slice(0, -1)) : NaN;
}

// Milliseconds of an RFC 3339 time; NaN where there is none. Zero is "none" too.
export function when(text) {
  const at = text ? Date.parse(text) : NaN;
  return at > 0 ? at : NaN;
}

export function query(parameters) {
  const text = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '')).toString();
  return text === '' ? '' : `?${text}`;
}

// What a job's state, its trouble and the feed are called. Diagnoses, events and their advice come
// from the coordinator, so that a terminal says the same.
import { about, age, bytes, count, DASH, duration, percent, plural, rate, sentence, shown } from '../format.js';
import { num, seconds, when } from './api.js';

export const STATES = {
  QUEUED: 'Queued', PLANNING: 'Planning', RUNNING: 'Running', PUBLISHING: 'Publishing',
  SUCCEEDED: 'Succeeded', FAILED: 'Failed', CANCELLED: 'Cancelled',
};

export function isEnded(job) {
  return job.state === 'SUCCEEDED' || job.state === 'FAILED' || job.state === 'CANCELLED';
}

// Diagnoses of a job that does not go on by itself.
const WAITS = ['NO_WORKER', 'UNIT_TOO_LARGE', 'STORAGE', 'NOT_RECORDED', 'STALLED'];

export function diagnosis(job) {
  const found = job.pace && job.pace.diagnosis;
  return found && found.text ? found : null;
}

export function waits(job) {
  const found = diagnosis(job);
  return job.state === 'RUNNING' && found !== null && WAITS.includes(found.kind);
}

export function jobTitle(job) {
  // Clients tell the whole path of a recipe.
  const file = String(job.recipe_source || '').split('/').filter(Boolean).pop();
  return shown(job.display_name || file || job.name.replace(/^jobs\//, ''));
}

export function ownerFilter(owner) {
  return `owner = ${JSON.stringify(owner)}`;
}

// "rl-math, rl-code on base": models as the recipe gives them, without their folders.
export function modelNames(job) {
  const names = (job.models || []).map((model) => shown(String(model).split('/').filter(Boolean).pop() || model));
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${count(names.length - 2)} more`;
}

export function fraction(job) {
  const total = num(job.progress && job.progress.bytes_total);
  return total > 0 ? Math.min(1, num(job.progress.bytes_done) / total) : 0;
}

export function failure(job) {
  const error = job.error || {};
  const message = sentence(error.message || '');
  if (error.reason === 'REQUEST_WRONG') return `Request wrong: ${message}`;
  if (error.reason === 'RUN_FAILED') return `Failed while running: ${message}`;
  return message || 'Failed';
}

// What to do first about a failed job.
export function remedy(job) {
  const reason = job.error && job.error.reason;
  if (reason === 'REQUEST_WRONG') return 'Submitting it again unchanged will fail again: correct the recipe first.';
  if (reason === 'RETRY_MAY_HELP') return 'When that is mended, submit it again: finished units are kept.';
  return 'What happened below says more; a job submitted again goes on from finished units where they are still there.';
}

export function took(job) {
  const from = when(job.start_time);
  const to = when(job.finish_time);
  return Number.isNaN(from) || Number.isNaN(to) ? NaN : Math.max(0, to - from) / 1000;
}

function moved(job) {
  return num(job.bytes_read) + num(job.bytes_written) === 0 ? '' : `${bytes(num(job.bytes_read))} read, ${bytes(num(job.bytes_written))} written`;
}

// What a row says: the most useful thing of its state.
export function rowWords(job) {
  const progress = job.progress || {};
  const detail = sentence(progress.detail || '');
  const ended = (word) => Number.isNaN(took(job)) ? DASH : `${word}\u00a0${duration(took(job))}`;
  if (job.cancelling && !isEnded(job)) return { main: 'Cancelling\u2026', second: 'units in flight are let go', left: DASH };
  switch (job.state) {
    case 'QUEUED': return { main: detail || 'Waits for its turn', second: `priority ${job.priority || 0}`, left: DASH };
    case 'PLANNING': return { main: detail || `Reads the headers of ${(job.models || []).length > 0 ? plural(job.models.length, 'model') : 'the models'}`, second: '', left: DASH };
    case 'RUNNING': {
      const pace = job.pace || {};
      const many = `${percent(fraction(job))} \u00b7 ${plural(num(progress.workers), 'worker')}`;
      if (waits(job)) return { main: sentence(diagnosis(job).text), tone: 'warn', second: `${percent(fraction(job))} \u00b7 ${count(num(progress.units_done))} of ${count(num(progress.units_total))} units are kept`, left: DASH, bar: true };
      const rates = `${rate(num(pace.bytes_read_per_second))} read \u00b7 ${rate(num(pace.bytes_written_per_second))} written`;
      return { main: detail || rates, second: many, left: leftText(job), bar: true };
    }
    case 'PUBLISHING': return { main: 'The output becomes visible', second: `all ${plural(num(progress.units_total), 'unit')} written`, left: DASH };
    case 'SUCCEEDED': return { main: sentence(job.verdict || String(job.report_summary || '').split('\n')[0] || 'Done'), second: moved(job), left: ended('in') };
    case 'FAILED': return { main: failure(job), tone: 'bad', second: '', left: ended('after') };
    case 'CANCELLED': return { main: 'Cancelled', second: moved(job), left: ended('after') };
    default: return { main: shown(job.state), second: '', left: DASH };
  }
}

export function leftText(job) {
  return about(seconds(job.pace && job.pace.time_left));
}

export function stateWord(job) {
  if (waits(job)) return 'Running, waits';
  return STATES[job.state] || shown(job.state);
}

// Kinds of events, and whether they tell of trouble. What they mean comes with them.
const EVENTS = {
  CREATED: ['Submitted', false], PLANNING: ['Planning began', false], PLANNED: ['Planned and started', false],
  GOES_ON: ['Goes on', false], RESTARTED: ['The coordinator was started again', false], PRIORITY: ['The priority changed', false],
  CANCELLED: ['Cancelled', false], FINISHED: ['Finished', false], FAILED: ['Failed', true],
  UNIT_FAILED: ['A unit failed and was given out again', true], LEASE_LOST: ['A unit was lost by a silent worker', true],
  STORAGE: ['Waits for storage', true], WAITS: ['Waits for another process', true],
  UPLOADS_GONE: ['The store ended uploads', true], REDONE: ['Units are done again', true], OTHER: ['Other events', false],
};

// What is not known here yet is called by its name: "TOO_HOT" is "Too hot".
export function eventTitle(kind) {
  if (Object.hasOwn(EVENTS, kind)) return EVENTS[kind][0];
  const words = shown(kind).replace(/_/g, ' ').toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function isCalm(kind) {
  return Object.hasOwn(EVENTS, kind) && !EVENTS[kind][1];
}

export function times(number) {
  return number === 1 ? 'once' : `${count(number)}\u00a0times`;
}

export function agoText(ms, now) {
  return Number.isNaN(ms) ? DASH : `${age((now - ms) / 1000)} ago`;
}

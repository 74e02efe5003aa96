// How far a job is: time left, rates, units, a bar of its rounds, and one sentence of what limits it.
import { h } from '../dom.js';
import { bytes, count, percent, plural, rate, sentence } from '../format.js';
import { num, seconds, serverNow } from './api.js';
import { glyph } from './glyph.js';
import { attribute, exchangeChildren, LiveFigures, mark, Meter, say, show } from './parts.js';
import { diagnosis, fraction, leftText, rowWords, waits } from './state_words.js';

// A sentence stays for a while before it may become another.
const DIAGNOSIS_STAYS = 10000;

function roundWord(round, alone) {
  const what = round.analyzes ? 'measure' : 'write';
  const done = num(round.units_total) > 0 && num(round.units_done) === num(round.units_total);
  const part = num(round.bytes_total) > 0 ? num(round.bytes_done) / num(round.bytes_total) : 0;
  return `${alone ? '' : `Round ${num(round.number) + 1}: `}${what}, ${done ? 'done' : part > 0 ? percent(part) : 'not begun'}`;
}

export class Progress {
  constructor() {
    this.figures = new LiveFigures([['left', 'Time left'], ['read', 'Reading'], ['write', 'Writing'], ['units', 'Units']]);
    this.meter = new Meter('tall');
    this.bar = h('div', { role: 'progressbar', 'aria-label': 'Merge', 'aria-valuemin': '0', 'aria-valuemax': '100', class: 'meter-host' }, this.meter.element);
    this.rounds = h('div', { class: 'rounds' });
    this.sign = h('span');
    this.what = h('b');
    this.advice = h('p');
    this.note = h('div', { class: 'note', hidden: true }, this.sign, h('div', {}, h('p', {}, this.what), this.advice));
    this.element = h('section', { class: 'panel', 'aria-label': 'Progress' }, this.figures.element, this.bar, this.rounds, this.note);
    this.spoken = 0;
    this.of = null;
  }

  set(job, activity) {
    this.job = job;
    this.activity = activity || this.activity;
    const { progress = {}, pace = {} } = job;
    const running = job.state === 'RUNNING';
    const units = num(progress.units_total);
    const words = rowWords(job);
    this.figures.set('left', running && !waits(job) ? leftText(job) : running ? 'waits' : words.main,
      running ? (Number.isNaN(seconds(pace.time_left)) ? 'told after the first units' : 'at the rate of the last minute; time in the queue does not count') : words.second);
    const total = num(progress.bytes_total);
    this.figures.set('read', running ? rate(num(pace.bytes_read_per_second)) : bytes(num(job.bytes_read)), running ? `${bytes(num(job.bytes_read))} so far` : 'so far');
    this.figures.set('write', running ? rate(num(pace.bytes_written_per_second)) : bytes(num(job.bytes_written)), running ? `${bytes(num(job.bytes_written))} so far` : 'so far');
    const held = num(progress.units_leased);
    this.figures.set('units', units === 0 ? 'not planned yet' : `${count(num(progress.units_done))} of ${count(units)}`,
      [held > 0 ? `${count(held)} with ${plural(num(progress.workers), 'worker')}` : '', num(progress.retries) > 0 ? `${count(num(progress.retries))} repeated` : ''].filter(Boolean).join(', '));
    show(this.bar, total > 0);
    show(this.rounds, total > 0);
    const rounds = (this.activity && this.activity.rounds || []).filter((round) => num(round.bytes_total) > 0);
    const sum = rounds.reduce((all, round) => all + num(round.bytes_total), 0);
    this.meter.set(rounds.length === 0 ? [[1, fraction(job)]] : rounds.map((round) => [num(round.bytes_total) / sum, num(round.bytes_done) / num(round.bytes_total)]));
    mark(this.meter.element, 'halted', waits(job));
    exchangeChildren(this.rounds, String(rounds.length), () => rounds.map((round) => {
      const span = h('span', { class: 'cut' });
      span.style.setProperty('flex-grow', Math.max(num(round.bytes_total) / sum, 0.02));
      return span;
    }));
    rounds.forEach((round, i) => {
      say(this.rounds.children[i], roundWord(round, rounds.length === 1));
      attribute(this.rounds.children[i], 'title', roundWord(round, false));
    });
    this.speak(job);
    this.diagnose(job);
  }

  // Announced at most once a minute.
  speak(job) {
    attribute(this.bar, 'aria-valuenow', Math.round(fraction(job) * 100));
    if (serverNow() - this.spoken < 60000) return;
    this.spoken = serverNow();
    attribute(this.bar, 'aria-valuetext', `${Math.round(fraction(job) * 100)} percent, ${leftText(job)} left`.replace('not known yet left', 'time left not known yet'));
  }

  diagnose(job) {
    const found = diagnosis(job);
    const key = found === null ? '' : String(found.kind);
    if (key !== this.shownKind && this.shownKind && this.shownKind !== 'STARTING' && serverNow() - this.since < DIAGNOSIS_STAYS && job.state === 'RUNNING') return;
    if (key !== this.shownKind) this.since = serverNow();
    this.shownKind = key;
    show(this.note, found !== null);
    if (found === null) return;
    exchangeChildren(this.sign, String(waits(job)), () => glyph(waits(job) ? 'WAITING' : 'LIMIT'));
    mark(this.note, 'warn-note', waits(job));
    say(this.what, sentence(found.text));
    say(this.advice, sentence(found.advice || ''));
  }

  // Nothing was heard since `at` (null: all is well): figures stay, and the time left says of when it is.
  stale(at) {
    if (this.job === undefined || this.job.state !== 'RUNNING' || at === this.of) return;
    this.of = at;
    if (at === null) this.set(this.job);
    else this.figures.set('left', leftText(this.job), `as of ${new Date(at).toLocaleTimeString()}`);
  }
}

// One axis of time since submission: states as a band, throughput as two lines, events as triangles.
// Left and Right move a cursor; a line of text below reads its values.
import { button, h, svg } from '../dom.js';
import { age, count, duration, rate } from '../format.js';
import { num, seconds, serverNow, when } from './api.js';
import { attribute, say, show } from './parts.js';
import { eventTitle, isCalm, isEnded, STATES, times } from './state_words.js';

const HEIGHT = 248;
const TOP = 64;
const BOTTOM = 208;
// Triangles closer than this share a label.
const NEAR = 48;
// From one line of text to the next, and the least room between two words on one.
const LINE = 16;
const WORD_ROOM = 10;

// A round number of bytes per second, at least `value`: 1, 2 or 5 times a power of two's unit.
function roundRate(value) {
  let unit = 1;
  while (value / unit >= 1024) unit *= 1024;
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024];
  return unit * steps.find((step) => step * unit >= value);
}

// Steps of an axis of seconds: about five to the whole.
function axisStep(whole) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  return steps.find((step) => whole / step <= 5) || Math.ceil(whole / 86400 / 5) * 86400;
}

// Names at the ends of two lines that end at these heights: a line of text apart, and above the axis.
function apart(one, other) {
  let [high, low] = one <= other ? [one, other] : [other, one];
  if (low - high < LINE) {
    high = (high + low - LINE) / 2;
    low = high + LINE;
  }
  low = Math.max(TOP + LINE, Math.min(low, BOTTOM - 2));
  high = Math.max(TOP, Math.min(high, low - LINE));
  return one <= other ? [high, low] : [low, high];
}

export class OverTime {
  constructor() {
    this.pen = h('canvas').getContext('2d');
    this.note = h('p');
    this.host = h('div', { class: 'chart-host' });
    this.read = h('p', { class: 'small soft chart-read', 'aria-live': 'off' });
    this.cursor = null;
    this.slider = h('div', { class: 'chart', role: 'slider', tabindex: '0', 'aria-label': 'Throughput over time; Left and Right move a cursor', 'aria-valuemin': '0',
      onkeydown: (event) => this.key(event), onpointermove: (event) => this.point(event),
      onpointerleave: () => this.move(null), onblur: () => this.move(null) }, this.host);
    this.table = h('div', { class: 'behind', hidden: true });
    this.switch = button('Show as table', () => this.showTable(this.table.hidden), { class: 'button small', 'aria-expanded': 'false' });
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Over time'), this.note, h('span', { class: 'grow' }), this.switch),
      this.slider, this.read, this.table);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.host);
  }

  set(job, activity) {
    this.job = job;
    this.activity = activity;
    this.draw();
    if (!this.table.hidden) this.fillTable();
  }

  // Throughput between two points: [seconds since submission, read, written].
  samples() {
    const history = this.activity.history || {};
    const points = history.points || [];
    const step = num(history.step_seconds) || 2;
    const begin = (when(history.begin) - this.start) / 1000;
    const out = [];
    for (let i = 1; i < points.length; i += 1) {
      const of = (name) => Math.max(0, num(points[i][name]) - num(points[i - 1][name])) / step;
      out.push({ at: begin + i * step, read: of('bytes_read'), write: of('bytes_written'), units: num(points[i].units_done) });
    }
    return out;
  }

  prepare() {
    const { job } = this;
    this.start = when(job.create_time);
    const end = isEnded(job) ? when(job.finish_time) : serverNow();
    this.now = Math.max(0.001, (end - this.start) / 1000);
    this.list = Number.isNaN(this.start) ? [] : this.samples().filter((each) => each.at <= this.now + 5).map((each) => ({ ...each, at: Math.min(each.at, this.now) }));
    const left = job.state === 'RUNNING' ? seconds(job.pace && job.pace.time_left) : NaN;
    this.whole = this.now + (Number.isFinite(left) ? left : 0);
    this.phases = (this.activity.phases || []).map((phase) => ({
      state: phase.state, begin: (when(phase.begin) - this.start) / 1000,
      end: phase.end ? (when(phase.end) - this.start) / 1000 : this.now,
    })).filter((phase) => STATES[phase.state] && !['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(phase.state) && phase.end >= phase.begin);
    // A long wait is drawn as a quarter.
    const queued = this.phases.find((phase) => phase.state === 'QUEUED');
    const rest = this.whole - (queued ? queued.end : 0);
    this.folded = queued !== undefined && queued.end > this.whole / 4 && rest > 0 ? queued.end : 0;
    this.width = Math.max(240, Math.floor(this.host.clientWidth));
    this.pen.font = `12px ${getComputedStyle(this.host).fontFamily}`;
    this.top = roundRate(Math.max(1024, ...this.list.map((each) => Math.max(each.read, each.write))));
    this.left = Math.max(72, 12 + this.wide(rate(this.top)), 12 + this.wide(rate(this.top / 2)));
    // Room for the names of the lines, where what is to come does not give it.
    this.names = Math.max(this.wide('read'), this.wide('written'));
    this.right = 8;
    if (this.x(this.whole) - this.x(this.now) < this.names + WORD_ROOM) this.right = this.names + WORD_ROOM;
  }

  // Of words in the chart.
  wide(words) {
    return Math.ceil(this.pen.measureText(words).width) + 1;
  }

  x(at) {
    const room = this.width - this.left - this.right;
    if (this.folded === 0) return this.left + at / this.whole * room;
    return at <= this.folded ? this.left + at / this.folded * room / 4
      : this.left + room / 4 + (at - this.folded) / (this.whole - this.folded) * room * 0.75;
  }

  draw() {
    if (this.activity === undefined || this.host.clientWidth === 0) return;
    this.prepare();
    say(this.note, isEnded(this.job) ? `from submission to end ${duration(this.now)}` : `submitted ${age(this.now)} ago`);
    const drawing = svg('svg', { viewBox: `0 0 ${this.width} ${HEIGHT}`, width: this.width, height: HEIGHT, role: 'img', 'aria-label': 'Throughput over time' },
      this.grid(this.top), this.band(), this.lines(), this.axis(), this.triangles());
    this.line = svg('path', { class: 'cursor-line' });
    drawing.append(this.line);
    this.host.replaceChildren(drawing);
    attribute(this.slider, 'aria-valuemax', Math.max(0, this.list.length - 1));
    this.showCursor();
  }

  text(x, y, words, anchor, name) {
    return svg('text', { x, y, 'text-anchor': anchor || 'start', class: name || null }, words);
  }

  grid(top) {
    return [0, 0.5, 1].map((part) => {
      const y = BOTTOM - part * (BOTTOM - TOP);
      return [svg('path', { d: `M${this.left} ${y + 0.5}H${this.width - this.right}`, class: 'grid-line' }),
        this.text(this.left - 8, y + 4, part === 0 ? '0' : rate(top * part), 'end')];
    });
  }

  band() {
    const out = [];
    for (const phase of this.phases) {
      const from = this.x(phase.begin);
      const width = Math.max(1, this.x(phase.end) - from - 1);
      out.push(svg('rect', { x: from, y: 4, width, height: 22, rx: 3, class: `phase phase-${phase.state.toLowerCase()}` }));
      const word = STATES[phase.state];
      if (width > this.wide(word) + (phase.state === 'QUEUED' && this.folded > 0 ? 32 : 16)) out.push(this.text(from + 8, 19, word));
      if (phase.state === 'QUEUED' && this.folded > 0) out.push(svg('path', { d: `M${from + width - 10} 2l-4 13h6l-4 13`, class: 'break-mark' }));
    }
    if (this.whole > this.now) {
      const from = this.x(this.now);
      const width = Math.max(2, this.x(this.whole) - from);
      out.push(svg('rect', { x: from + 0.5, y: 4.5, width, height: 21, rx: 3, class: 'to-come' }));
      if (width > this.wide('to come') + 16) out.push(this.text(from + 8, 19, 'to come'));
    }
    return out;
  }

  lines() {
    if (this.list.length < 2) return this.text((this.left + this.width - this.right) / 2, (TOP + BOTTOM) / 2, 'Nothing was moved yet', 'middle');
    const y = (value) => (BOTTOM - value / this.top * (BOTTOM - TOP)).toFixed(1);
    const path = (name) => this.list.map((each, i) => `${i === 0 ? 'M' : 'L'}${this.x(each.at).toFixed(1)} ${y(each[name])}`).join('');
    const read = path('read');
    const last = this.list[this.list.length - 1];
    const end = this.x(last.at);
    const out = [svg('path', { d: `${read}L${end.toFixed(1)} ${BOTTOM}L${this.x(this.list[0].at).toFixed(1)} ${BOTTOM}Z`, class: 'read-area' }),
      svg('path', { d: read, class: 'read-line' }), svg('path', { d: path('write'), class: 'write-line' })];
    // Lines are named at their ends.
    const [readY, writeY] = apart(Number(y(last.read)), Number(y(last.write)));
    const near = Math.min(Math.max(end, isEnded(this.job) ? 0 : this.x(this.now)) + 6, this.width - this.names - 2);
    out.push(this.text(near, readY + 4, 'read', 'start', 'read-word'), this.text(near, writeY + 4, 'written', 'start'));
    return out;
  }

  axis() {
    const step = axisStep(this.whole - this.folded) * (this.width < 480 ? 2 : 1);
    const out = [this.text(this.left, BOTTOM + 18, 'submitted')];
    let free = this.left + this.wide('submitted') + WORD_ROOM;
    for (let at = Math.ceil((this.folded + step / 4) / step) * step; at < this.whole; at += step) {
      const x = this.x(at);
      const words = duration(at).replace(/\u00a00\u00a0(s|min)$/, '');
      const half = this.wide(words) / 2;
      if (x - half < free || x + half > this.width) continue;
      free = x + half + WORD_ROOM;
      out.push(this.text(x, BOTTOM + 18, words, 'middle'));
    }
    if (!isEnded(this.job)) {
      const x = this.x(this.now);
      out.push(svg('path', { d: `M${x + 0.5} 30V${BOTTOM}`, class: 'now-line' }),
        this.text(Math.min(x, this.width - this.wide('now') / 2), BOTTOM + 18 + LINE, 'now', 'middle'));
    }
    return out;
  }

  // Kinds that tell of trouble, at their last time. What stands close together has one label.
  triangles() {
    const kinds = (this.activity.event_kinds || []).filter((kind) => !isCalm(kind.kind) && when(kind.last) >= this.start)
      .map((kind) => ({ x: this.x(Math.min(this.now, (when(kind.last) - this.start) / 1000)), words: `${eventTitle(kind.kind)}, ${times(num(kind.count))}` }))
      .sort((a, b) => a.x - b.x);
    const groups = [];
    for (const kind of kinds) {
      const last = groups[groups.length - 1];
      if (last !== undefined && kind.x - last[last.length - 1].x < NEAR) last.push(kind);
      else groups.push([kind]);
    }
    let free = this.left;
    return groups.flatMap((group) => {
      const from = group[0].x - 9;
      const fits = [group.map((kind) => kind.words).join('; '), group.length > 1 ? `${group.length} kinds of events` : '', ''].find((words) => this.wide(words) <= from - free);
      free = group[group.length - 1].x + 12;
      return [...group.map(({ x }) => svg('path', { d: `M${x - 5} 32h10l-5 8z`, class: 'fill-warn' })), fits ? this.text(from, 40, fits, 'end', 'warn-word') : null];
    });
  }

  key(event) {
    const far = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6 }[event.key];
    if (event.key === 'Escape') return this.move(null);
    if (far === undefined || this.list.length === 0) return undefined;
    event.preventDefault();
    const from = this.cursor === null ? (far < 0 ? this.list.length : -1) : this.cursor;
    return this.move(Math.max(0, Math.min(this.list.length - 1, from + far)));
  }

  point(event) {
    if (!this.list || this.list.length === 0) return;
    const x = event.clientX - this.host.getBoundingClientRect().left;
    let best = 0;
    this.list.forEach((each, i) => { if (Math.abs(this.x(each.at) - x) < Math.abs(this.x(this.list[best].at) - x)) best = i; });
    this.move(best);
  }

  move(at) {
    this.cursor = at;
    this.showCursor();
  }

  showCursor() {
    const each = this.list[this.cursor === null ? this.list.length - 1 : Math.min(this.cursor, this.list.length - 1)];
    if (!this.line || each === undefined) {
      say(this.read, '');
      attribute(this.slider, 'aria-valuenow', 0);
      attribute(this.slider, 'aria-valuetext', 'nothing was moved yet');
      return;
    }
    this.line.setAttribute('d', this.cursor === null ? '' : `M${this.x(each.at).toFixed(1)} ${TOP - 10}V${BOTTOM}`);
    const words = `${this.cursor === null ? 'The last, at' : 'At'} ${duration(each.at)}: read ${rate(each.read)}, written ${rate(each.write)}, ${count(each.units)} units done`;
    say(this.read, words);
    attribute(this.slider, 'aria-valuenow', this.list.indexOf(each));
    attribute(this.slider, 'aria-valuetext', words);
  }

  showTable(on) {
    show(this.table, on);
    say(this.switch, on ? 'Hide the table' : 'Show as table');
    attribute(this.switch, 'aria-expanded', on);
    if (on) this.fillTable();
  }

  // By minute, or by as much as makes sixty rows.
  fillTable() {
    this.prepare();
    const each = Math.max(60, Math.ceil(this.now / 60 / 60) * 60);
    const rows = new Map();
    for (const sample of this.list) {
      const at = Math.floor(sample.at / each) * each;
      const row = rows.get(at) || { read: 0, write: 0, samples: 0, units: 0 };
      rows.set(at, { read: row.read + sample.read, write: row.write + sample.write, samples: row.samples + 1, units: sample.units });
    }
    this.table.replaceChildren(h('div', { class: 'wide' }, h('table', {}, h('caption', { class: 'unseen' }, 'Throughput by time'),
      h('thead', {}, h('tr', {}, ['From', 'Read', 'Written', 'Units done'].map((label, i) => h('th', { scope: 'col', class: i > 0 ? 'number' : null }, label)))),
      h('tbody', {}, [...rows].map(([at, row]) => h('tr', {}, h('td', {}, at === 0 ? 'submission' : age(at)), h('td', { class: 'number' }, rate(row.read / row.samples)),
        h('td', { class: 'number' }, rate(row.write / row.samples)), h('td', { class: 'number' }, count(row.units))))))));
  }

  close() {
    this.watch.disconnect();
  }
}

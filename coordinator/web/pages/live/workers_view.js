// Who works: a table by name, of which only changed cells are touched; a row opens to its history.
import { button, h, svg } from '../dom.js';
import { age, bytes, count, DASH, plural, rate, sentence, shown } from '../format.js';
import { readState, writeState } from '../view_state.js';
import { get, num, query, serverNow, when } from './api.js';
import { Spark, sparkPath } from './glyph.js';
import { shortTensor } from './job_workers.js';
import { attribute, empty, exchangeChildren, mark, moment, Rows, say, show, trouble } from './parts.js';
import { jobPath } from './place.js';

const WORKERS_PAGE = 200;
const WIDE = 600;

// Who is gone moves nothing, whatever the last minute was.
function movedBy(worker) {
  return worker.state === 'GONE' ? 0 : num(worker.bytes_read_per_second) + num(worker.bytes_written_per_second);
}

function holdsText(worker) {
  const holds = worker.holds || [];
  if (holds.length === 0) return 'nothing';
  return `${plural(holds.length, 'unit')} of ${plural(new Set(holds.map((each) => each.job)).size, 'job')}`;
}

// "2026-11-29T02:41:00Z" -> seconds since then.
function sinceSeconds(text) {
  return (serverNow() - when(text)) / 1000;
}

class Details {
  constructor() {
    this.lines = [svg('path', { class: 'read-line' }), svg('path', { class: 'write-line' })];
    this.most = h('span', { class: 'small soft' });
    this.holds = h('ul');
    this.failure = h('p');
    this.facts = h('dl', { class: 'terms' });
    this.element = h('div', { class: 'worker-details' },
      h('div', {}, h('h3', {}, 'Last ten minutes'), svg('svg', { viewBox: `0 0 ${WIDE} 72`, preserveAspectRatio: 'none', class: 'history', 'aria-hidden': 'true' }, this.lines), this.most),
      h('div', {}, h('h3', {}, 'Holds'), this.holds, h('h3', {}, 'Last failure'), this.failure), this.facts);
  }

  update(worker) {
    const points = (worker.rates && worker.rates.points) || [];
    const step = num(worker.rates && worker.rates.step_seconds) || 10;
    const series = ['bytes_read', 'bytes_written'].map((name) => points.map((point) => num(point[name]) / step));
    const top = Math.max(1, ...series[0], ...series[1]);
    series.forEach((values, i) => attribute(this.lines[i], 'd', sparkPath(values, top, WIDE, 72)));
    say(this.most, points.length < 2 ? 'nothing on record yet' : `read (line) and written (dashed), at most ${rate(top)}`);
    exchangeChildren(this.holds, JSON.stringify(worker.holds || []), () => (worker.holds || []).length === 0 ? [h('li', { class: 'soft' }, 'nothing')]
      : worker.holds.map((each) => h('li', {}, h('a', { href: jobPath(each.job) }, shown(each.job)), ` unit ${each.unit}, round ${num(each.round) + 1} `, h('span', { class: 'soft' }, shortTensor(each.tensor)), `, for ${age(sinceSeconds(each.since))}`)));
    const failure = worker.last_trouble && worker.last_trouble.message ? worker.last_trouble : null;
    exchangeChildren(this.failure, JSON.stringify(failure), () => failure === null ? ['none']
      : [`${age(sinceSeconds(failure.time))} ago, unit ${failure.unit} of `, h('a', { href: jobPath(failure.job) }, shown(failure.job)), `: ${sentence(failure.message)}`]);
    const facts = [['Version', worker.version], ['Host', worker.host], ['Threads', count(num(worker.threads))], ['Memory', bytes(num(worker.memory_bytes))], ['SIMD', worker.simd],
      ['Units done', count(num(worker.units_done))], ['Units failed', count(num(worker.units_failed))], ['Here since', Number.isNaN(when(worker.first_seen)) ? DASH : age(sinceSeconds(worker.first_seen))]];
    exchangeChildren(this.facts, JSON.stringify(facts), () => facts.map(([term, value]) => [h('dt', {}, term), h('dd', {}, shown(value || DASH))]));
  }
}

class Row {
  constructor(worker, toggle) {
    this.open = h('button', { type: 'button', class: 'open-row', 'aria-expanded': 'false', onclick: () => toggle(this.worker.name) });
    this.dot = h('span', { class: 'dot' });
    this.state = h('span');
    this.threads = h('td', { class: 'number minor', 'data-label': 'Threads' });
    this.memory = h('td', { class: 'number minor', 'data-label': 'Memory' });
    this.simd = h('td', { class: 'minor', 'data-label': 'SIMD' });
    this.holds = h('td', { 'data-label': 'Holds' });
    this.rate = h('td', { class: 'number', 'data-label': 'Rate' });
    this.spark = new Spark(96, 20);
    this.failed = h('td', { class: 'number', 'data-label': 'Failed' });
    this.line = h('tr', { class: 'worker-line' }, h('td', {}, this.open), h('td', { 'data-label': 'State' }, h('span', { class: 'worker-state' }, this.dot, this.state)), this.threads, this.memory, this.simd, this.holds,
      this.rate, h('td', { class: 'minor' }, this.spark.element), this.failed);
    this.element = h('tbody', {}, this.line);
  }

  update(worker) {
    this.worker = worker;
    const gone = worker.state === 'GONE';
    say(this.open, shown(worker.name));
    mark(this.dot, 'stale', worker.state === 'DRAINING');
    mark(this.dot, 'lost', gone);
    mark(this.state, 'warn', worker.state !== 'ALIVE');
    say(this.threads, count(num(worker.threads)));
    say(this.memory, bytes(num(worker.memory_bytes)));
    say(this.simd, shown(worker.simd || DASH));
    say(this.holds, holdsText(worker));
    say(this.rate, movedBy(worker) > 0 ? rate(movedBy(worker)) : DASH);
    mark(this.rate, 'nothing', movedBy(worker) <= 0);
    const points = (worker.rates && worker.rates.points) || [];
    // Ten minutes of lines are drawn anew when a step was added, which is rarer than rates change.
    const last = points[points.length - 1] || {};
    const key = `${worker.rates && worker.rates.begin} ${points.length} ${last.bytes_read} ${last.bytes_written}`;
    if (key !== this.drawn) this.spark.set(points.map((point) => num(point.bytes_read) + num(point.bytes_written)));
    this.drawn = key;
    say(this.failed, count(num(worker.units_failed)));
    mark(this.failed, 'warn', num(worker.units_failed) > 0);
    this.tick();
    if (this.details) this.details.update(worker);
  }

  tick() {
    const { worker } = this;
    const silent = sinceSeconds(worker.last_seen);
    say(this.state, worker.state === 'GONE' ? `silent for ${age(silent)}` : worker.state === 'DRAINING' ? 'takes no more units' : 'answers');
    moment(this.state, worker.last_seen);
  }

  expand(on) {
    attribute(this.open, 'aria-expanded', on);
    if (on && !this.details) {
      this.details = new Details();
      this.details.update(this.worker);
      this.more = h('tr', { class: 'worker-more' }, h('td', { colspan: '9' }, this.details.element));
      this.element.append(this.more);
    } else if (!on && this.details) {
      this.more.remove();
      this.details = undefined;
    }
  }
}

export class WorkersView {
  constructor() {
    this.title = 'Workers';
    this.feed = 'view=workers';
    this.workers = new Map();
    this.facts = h('p', { class: 'facts' });
    this.search = h('input', { type: 'search', class: 'find', size: '30', placeholder: 'Name, host, version or job', 'aria-label': 'Find workers', oninput: () => { writeState({ find: this.search.value }); this.arrange(); } });
    this.mixed = h('p', { class: 'warn', hidden: true });
    const heads = [['Worker'], ['State'], ['Threads', 1], ['Memory', 1], ['SIMD'], ['Holds'], ['Rate', 1], ['Last 10 min'], ['Failed', 1]];
    this.table = h('table', { class: 'cards workers' }, h('caption', { class: 'unseen' }, 'Workers'),
      h('thead', {}, h('tr', {}, heads.map(([label, number]) => h('th', { scope: 'col', class: number ? 'number' : null }, label)))));
    this.host = h('div', { class: 'wide' }, this.table);
    this.rows = new Rows(this.table, (worker) => worker.name, (worker) => new Row(worker, (name) => this.toggle(name)));
    // The head stays before the rows.
    const { rows } = this;
    rows.set = (items) => { const head = this.table.tHead; const caption = this.table.caption; head.remove(); caption.remove(); Rows.prototype.set.call(rows, items); this.table.prepend(caption, head); };
    this.nothing = h('div', { hidden: true });
    this.more = button('More workers', () => this.page(), { class: 'button small below-table', hidden: true });
    this.panel = h('section', { class: 'panel' }, h('h2', { class: 'unseen' }, 'List of workers'), this.mixed, this.host, this.nothing, this.more);
    this.element = h('div', { class: 'view' }, h('div', { class: 'page-head' }, h('div', {}, h('h1', {}, 'Workers'), this.facts), h('div', { class: 'actions' }, this.search)), this.panel);
  }

  async load() {
    const answer = await get(`/workers${query({ page_size: WORKERS_PAGE })}`);
    this.workers = new Map();
    this.take(answer.workers || [], []);
    this.next = answer.next_page_token || '';
    this.search.value = readState().find || '';
    show(this.more, this.next !== '');
    this.arrange();
  }

  async page() {
    const answer = await get(`/workers${query({ page_size: WORKERS_PAGE, page_token: this.next })}`);
    this.take(answer.workers || [], []);
    this.next = answer.next_page_token || '';
    show(this.more, this.next !== '');
    this.arrange();
  }

  take(changed, removed) {
    for (const worker of changed) this.workers.set(worker.name, worker);
    for (const name of removed) this.workers.delete(name);
    this.busy = [...this.workers.values()].some((worker) => movedBy(worker) > 0);
  }

  arrange() {
    const part = this.search.value.trim().toLowerCase();
    const matches = (worker) => part === '' || [worker.name, worker.host, worker.version, ...(worker.holds || []).map((each) => each.job)].some((text) => String(text).toLowerCase().includes(part));
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    const list = [...this.workers.values()].filter(matches).sort((a, b) => compare(a.name, b.name));
    this.rows.set(list);
    show(this.host, list.length > 0);
    show(this.nothing, list.length === 0);
    if (list.length === 0) this.nothing.replaceChildren(part === '' ? empty('No worker is known', 'Start one: merganser worker --coordinator HOST:7470') : empty(`No worker matches \u201c${shown(part)}\u201d`, `${plural(this.workers.size, 'worker')} are known.`));
    const open = readState().worker;
    for (const [name, row] of this.rows.rows) row.expand(name === open);
    this.summary();
  }

  summary() {
    const all = [...this.workers.values()];
    const alive = all.filter((worker) => worker.state !== 'GONE');
    const versions = [...new Set(alive.map((worker) => worker.version))];
    const sum = (name) => alive.reduce((total, worker) => total + num(worker[name]), 0);
    const words = [`${count(alive.length)} of ${count(all.length)} answer`, plural(sum('threads'), 'thread'), `${bytes(sum('memory_bytes'))} of memory`,
      versions.length === 1 ? `all of version ${shown(versions[0])}` : ''];
    exchangeChildren(this.facts, words.join(), () => words.filter(Boolean).map((text) => h('span', {}, text)));
    show(this.mixed, versions.length > 1);
    say(this.mixed, versions.length > 1 ? `Workers of ${plural(versions.length, 'version')} are here: ${versions.map((version) => `${shown(version)} (${count(alive.filter((worker) => worker.version === version).length)})`).join(', ')}.` : '');
  }

  toggle(name) {
    const open = readState().worker === name ? undefined : name;
    writeState({ worker: open });
    for (const [each, row] of this.rows.rows) row.expand(each === open);
  }

  moved() {
    this.arrange();
    return Promise.resolve();
  }

  apply(events) {
    let other = false;
    for (const [name, data] of events) {
      if (name !== 'workers') continue;
      this.take(data.workers || [], data.removed || []);
      for (const worker of data.workers || []) other = this.rows.update(worker) === null || other;
      other = other || (data.removed || []).length > 0;
    }
    if (other) this.arrange();
    else this.summary();
  }

  tick() {
    for (const row of this.rows.rows.values()) row.tick();
  }

  failed(error, again) {
    return trouble(error, again);
  }

  close() {}
}

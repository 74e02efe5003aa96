// Workers on a job, the slowest first, and the units that took longest.
import { breakable, button, h } from '../dom.js';
import { age, count, DASH, duration, plural, rate, sentence, shown } from '../format.js';
import { num, serverNow, when } from './api.js';
import { exchangeChildren, mark, Rows, say, show } from './parts.js';

const FEW = 50;
const RESORT_EVERY = 10000;

// "model.layers.15.mlp.down_proj.weight" as short as it is still clear.
export function shortTensor(name) {
  return shown(String(name || '').replace(/^(model\.)+/, '').replace(/\.weight$/, ''));
}

function speed(worker) {
  return num(worker.bytes_per_second);
}

class WorkerRow {
  constructor() {
    this.name = h('b');
    this.unit = h('span');
    this.tensor = h('span', { class: 'soft small' });
    this.since = h('td', { class: 'number minor', 'data-label': 'Since' });
    this.rate = h('td', { class: 'number', 'data-label': 'Rate' });
    this.fill = h('i');
    this.relative = h('div', { class: 'relative', 'aria-hidden': 'true' }, this.fill);
    this.times = h('span', { class: 'small soft' });
    this.done = h('td', { class: 'number minor', 'data-label': 'Units done' });
    this.failure = h('td', { 'data-label': 'Last failure' });
    this.element = h('tr', {}, h('td', {}, this.name), h('td', { 'data-label': 'Does now' }, h('span', {}, this.unit, ' ', this.tensor)), this.since, this.rate,
      h('td', { 'data-label': 'Against the median' }, h('span', { class: 'relative-row' }, this.relative, this.times)), this.done, this.failure);
  }

  update({ worker, median }) {
    say(this.name, shown(worker.name));
    const holds = worker.holds || [];
    [this.oldest] = holds;
    say(this.unit, holds.length === 0 ? 'has no unit' : `unit ${holds[0].unit}${holds.length > 1 ? ` and ${count(holds.length - 1)} more` : ''}`);
    say(this.tensor, holds.length === 0 ? '' : shortTensor(holds[0].tensor));
    say(this.rate, speed(worker) > 0 ? rate(speed(worker)) : DASH);
    const part = median > 0 && speed(worker) > 0 ? speed(worker) / median : NaN;
    const slow = worker.straggles === true;
    show(this.relative, !Number.isNaN(part));
    const width = `${Math.round(Math.min(2, part || 0) * 50)}%`;
    if (this.fill.style.width !== width) this.fill.style.setProperty('width', width);
    mark(this.relative, 'slow', slow);
    mark(this.times, 'warn', slow);
    say(this.times, Number.isNaN(part) ? (slow ? 'slow' : '') : part < 0.67 ? `${(1 / part).toFixed(1)}\u00a0\u00d7 slower` : `\u00d7\u00a0${part.toFixed(2)}`);
    say(this.done, count(num(worker.units_done)));
    const failure = worker.last_trouble && worker.last_trouble.message ? worker.last_trouble : null;
    mark(this.failure, 'warn', failure !== null);
    mark(this.failure, 'nothing', failure === null);
    this.failed = failure;
    this.tick();
  }

  tick() {
    const now = serverNow();
    const since = this.oldest ? when(this.oldest.since) : NaN;
    say(this.since, Number.isNaN(since) ? DASH : age((now - since) / 1000));
    const failure = this.failed;
    say(this.failure, failure === null ? 'none' : `${sentence(failure.message)}, ${age((now - when(failure.time)) / 1000)} ago`);
  }
}

export class JobWorkers {
  constructor() {
    this.note = h('p');
    this.body = h('tbody');
    this.rows = new Rows(this.body, ({ worker }) => worker.name, () => new WorkerRow());
    this.more = button('', () => { this.all = true; this.set(this.workers); }, { class: 'button small below-table', hidden: true });
    const heads = [['Worker'], ['Does now'], ['Since', 1], ['Rate', 1], ['Against the median'], ['Units done', 1], ['Last failure']];
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Workers on this job'), this.note),
      h('div', { class: 'wide' }, h('table', { class: 'cards workers-now' }, h('caption', { class: 'unseen' }, 'Workers on this job'),
        h('thead', {}, h('tr', {}, heads.map(([label, number]) => h('th', { scope: 'col', class: number ? 'number' : null }, label)))), this.body)),
      this.more);
    this.sorted = 0;
    this.rank = new Map();
  }

  set(workers) {
    this.workers = workers;
    const moving = workers.map(speed).filter((value) => value > 0).sort((a, b) => a - b);
    const median = moving.length >= 2 ? moving[(moving.length - 1) >> 1] : NaN;
    // Sorted anew only now and then, and never under the pointer.
    const now = serverNow();
    if (now - this.sorted > RESORT_EVERY && !this.body.matches(':hover, :focus-within')) {
      this.sorted = now;
      this.rank = new Map([...workers].sort((a, b) => Number(Boolean(b.straggles)) - Number(Boolean(a.straggles)) || speed(a) - speed(b) || (a.name < b.name ? -1 : 1)).map((worker, i) => [worker.name, i]));
    }
    const place = (worker) => this.rank.has(worker.name) ? this.rank.get(worker.name) : 1e9;
    const list = [...workers].sort((a, b) => place(a) - place(b));
    const few = this.all ? list : list.slice(0, FEW);
    this.rows.set(few.map((worker) => ({ worker, median })));
    say(this.note, workers.length === 0 ? 'none now' : `${count(workers.length)} now, slowest first`);
    show(this.more, list.length > few.length);
    say(this.more, `${plural(list.length - few.length, 'worker')} more ${list.length - few.length === 1 ? 'keeps' : 'keep'} pace`);
  }

  tick() {
    for (const row of this.rows.rows.values()) row.tick();
  }
}

export class Slowest {
  constructor() {
    this.body = h('tbody');
    this.note = h('p');
    this.element = h('section', { class: 'panel', hidden: true }, h('div', { class: 'head' }, h('h2', {}, 'Slowest units'), this.note),
      h('div', { class: 'wide' }, h('table', {}, h('caption', { class: 'unseen' }, 'Slowest units'), h('thead', {}, h('tr', {},
        [['Unit'], ['Worker'], ['Took', 1]].map(([label, number]) => h('th', { scope: 'col', class: number ? 'number' : null }, label)))), this.body)));
  }

  set(list, rounds) {
    show(this.element, list.length > 0);
    exchangeChildren(this.body, JSON.stringify(list), () => list.slice(0, 5).map((unit) => h('tr', {},
      h('td', {}, `${unit.unit}${rounds > 1 ? `, round ${num(unit.round) + 1}` : ''}`, unit.tensor ? [' ', h('span', { class: 'soft small' }, breakable(shortTensor(unit.tensor)))] : null),
      h('td', {}, shown(unit.worker)), h('td', { class: 'number' }, duration(num(unit.seconds))))));
  }
}

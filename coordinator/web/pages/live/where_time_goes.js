// Where the workers' time goes: one bar and a list, in the order of the work and never sorted.
import { h } from '../dom.js';
import { duration, percent } from '../format.js';
import { num } from './api.js';
import { say, show } from './parts.js';

const STAGES = [['wait', 'Waiting for a unit'], ['read', 'Reading'], ['compute', 'Computing'], ['write', 'Writing'], ['flush', 'Flushing to disk']];

export class WhereTimeGoes {
  constructor() {
    this.bar = h('div', { class: 'split', 'aria-hidden': 'true' }, STAGES.map(([key]) => h('i', { class: `stage-${key}` })));
    this.rows = STAGES.map(([key, label]) => ({ share: h('b'), took: h('span'), key, element: null, label }));
    this.list = h('ul', { class: 'keys' }, this.rows.map((row) => h('li', {}, h('i', { class: `stage-${row.key}`, 'aria-hidden': 'true' }), h('span', {}, row.label), row.share, row.took)));
    this.last = h('p', { class: 'small soft last' });
    this.none = h('p', { class: 'soft' }, 'Told after the first unit.');
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Where the time goes'), h('p', {}, 'of all workers\u2019 time')),
      this.bar, this.list, this.last, this.none);
  }

  set(activity) {
    const stages = activity.stages || {};
    const sum = STAGES.reduce((all, [key]) => all + num(stages[key]), 0);
    const any = sum > 0;
    for (const element of [this.bar, this.list, this.last]) show(element, any);
    show(this.none, !any);
    if (!any) return;
    this.rows.forEach((row, i) => {
      const value = num(stages[row.key]);
      const key = (value / sum).toFixed(3);
      say(row.share, percent(value / sum));
      say(row.took, duration(value));
      const piece = this.bar.children[i];
      show(piece, value / sum >= 0.002);
      if (piece.dataset.key !== key) {
        piece.dataset.key = key;
        piece.style.setProperty('flex-grow', key);
      }
    });
    const minute = activity.stages_last_minute || {};
    const all = STAGES.reduce((total, [key]) => total + num(minute[key]), 0);
    const parts = STAGES.filter(([key]) => all > 0 && num(minute[key]) / all >= 0.05).map(([key, label]) => `${label.toLowerCase()} ${percent(num(minute[key]) / all)}`);
    say(this.last, parts.length === 0 ? '' : `In the last minute: ${parts.join(', ')}.`);
    show(this.last, parts.length > 0);
  }
}

// What a recipe would do: bytes, memory, rounds, warnings, and what happens to the tensors. An error
// replaces the figures.
import { button, figures, h } from '../dom.js';
import { about, bytes, count, DASH, plural, sentence, shown } from '../format.js';
import { num } from './api.js';
import { glyph } from './glyph.js';
import { mark, say } from './parts.js';

function table(heads, rows) {
  return h('div', { class: 'wide' }, h('table', {}, h('thead', {}, h('tr', {}, heads.map(([label, number]) => h('th', { scope: 'col', class: number ? 'number' : null }, label)))),
    h('tbody', {}, rows.map((row) => h('tr', {}, row.map((cell, i) => h('td', { class: heads[i][1] ? 'number' : null }, cell)))))));
}

export class PlanPanel {
  // `select(line)`: shows a line of the recipe.
  constructor(select) {
    this.select = select;
    this.state = h('p', { role: 'status' });
    this.body = h('div', { class: 'plan-body' });
    this.foot = h('div', { class: 'pager plan-foot' });
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Plan'), this.state), this.body, this.foot);
    this.nothing();
  }

  nothing() {
    say(this.state, '');
    mark(this.body, 'old', false);
    this.body.replaceChildren(h('p', { class: 'soft' }, 'The plan appears here as soon as there is a recipe and a place for the output: what would be read and written, memory, warnings.'));
  }

  // The old one is dimmed while a new one is made.
  working() {
    say(this.state, 'planning\u2026');
    mark(this.body, 'old', true);
  }

  lineButton(line, words) {
    return num(line) > 0 ? button(words, () => this.select(num(line)), { class: 'line-link' }) : null;
  }

  error(error) {
    say(this.state, 'cannot be planned');
    mark(this.body, 'old', false);
    const { line, key } = error.metadata || {};
    const busy = error.code === 429 || error.code === 503 || error.code === 0;
    this.body.replaceChildren(h('div', { class: `note ${busy ? 'warn-note' : 'bad-note'}`, role: 'alert' }, glyph(busy ? 'WAITING' : 'FAILED'), h('div', {},
      h('p', {}, this.lineButton(line, `Line ${line}${key ? `, ${shown(key)}` : ''}`), ' ', h('b', {}, sentence(error.message))),
      h('p', { class: 'soft' }, busy ? 'It is tried again shortly.' : 'Correct the recipe; it is planned again as you type.'))));
  }

  show(plan) {
    say(this.state, 'fits, nothing was written');
    mark(this.body, 'old', false);
    const rate = num(plan.read_rate);
    const warnings = plan.warnings || [];
    const modes = plan.modes || [];
    const based = (plan.models || []).some((model) => model.base);
    const models = [...plan.models || []].sort((a, b) => Number(Boolean(b.base)) - Number(Boolean(a.base)));
    this.body.replaceChildren(figures([
      ['Reads', bytes(num(plan.bytes_read)), `${plural(num(plan.rounds), 'pass').replace(/passs$/, 'passes')} over ${plural(models.length, 'model')}`],
      ['Writes', bytes(num(plan.bytes_written)), plural(num(plan.shards), 'file')],
      ['Memory', bytes(num(plan.memory_bytes)), 'least of a worker'],
      ['Takes', rate > 0 ? about(num(plan.bytes_read) / rate) : 'no estimate', rate > 0 ? 'at this storage\u2019s rate today' : 'nothing was read from this storage yet'],
      ['Tensors', count(num(plan.tensors_total)), plural(num(plan.parameters), 'parameter')],
      ['Units', count(num(plan.units)), `in ${plural(num(plan.rounds), 'round')}`]]),
    ...warnings.map((warning) => h('div', { class: 'note warn-note' }, glyph('WAITING'), h('p', {},
      this.lineButton(warning.line, `Line ${warning.line}${warning.key ? `, ${shown(warning.key)}` : ''}`), ' ', sentence(warning.text)))),
    ...(plan.notes || []).map((text) => h('p', { class: 'soft' }, sentence(text))),
    h('h3', {}, 'What happens to the tensors'),
    table([['Treated as'], ['Family'], ['Tensors', 1], ['Parameters', 1]], modes.map((mode) =>
      [shown(mode.mode), shown(mode.family === 'ffn' ? 'feed-forward' : mode.family || ''), count(num(mode.tensors)), count(num(mode.parameters))])),
    h('h3', {}, 'Models'),
    table([['Role'], ['Model'], ['Files', 1], ['Size', 1]], models.map((model, i) => [model.base ? 'base' : `${based ? 'expert' : 'model'} ${i + (based ? 0 : 1)}`, [h('span', { class: 'wrap', title: shown(model.uri) }, shown(model.given)), model.origin ? h('div', { class: 'small soft wrap' }, shown(model.origin)) : null], count(num(model.shards)), num(model.bytes) > 0 ? bytes(num(model.bytes)) : DASH])));
  }
}

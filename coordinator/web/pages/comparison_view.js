// The page of two reports side by side.
import { byExpertPairs } from './bars.js';
import { DifferenceTable } from './comparison_table.js';
import { h, panel } from './dom.js';
import { count, plural, sentence, shown } from './format.js';
import { Grid, Places } from './grid.js';
import { HeatMap } from './heat_map.js';
import { legend } from './legend.js';
import { diverging, roundZero } from './scales.js';
import { readState, writeState } from './view_state.js';
import { aggregate, differenceText, isOfUnitSize, measuresOf } from './words.js';

function place(report) {
  return shown(report.summary.output.split('/').filter(Boolean).pop() || report.summary.output);
}

function differences(list) {
  if (list.length === 0) return h('p', { class: 'soft' }, 'Nothing that is on record differs.');
  return h('div', { class: 'wide' }, h('table', {}, h('caption', { class: 'unseen' }, 'What differs'),
    h('thead', {}, h('tr', {}, ['What differs', 'A', 'B', 'Difference'].map((label, i) => h('th', { scope: 'col', class: i > 0 ? 'number' : null }, label)))),
    h('tbody', {}, list.map((each) => h('tr', {}, h('td', {}, shown(each.what)), h('td', { class: 'number wrap' }, sentence(each.a)),
      h('td', { class: 'number wrap' }, sentence(each.b)), h('td', { class: 'number wrap' }, sentence(each.difference).replace(/^-/, '\u2212').replace(/^x /, '\u00d7\u00a0')))))));
}

function onlyIn(side, list) {
  if (list.count === 0) return null;
  return h('details', {}, h('summary', {}, `Only in ${side}: ${plural(list.count, 'tensor')}`),
    h('ul', {}, list.names.map((name) => h('li', {}, h('code', {}, shown(name))))),
    list.count > list.names.length ? h('p', { class: 'small soft' }, `and ${count(list.count - list.names.length)} more`) : null);
}

// Rows and columns that both have, or one of them: by pattern and by number.
function together(a, b) {
  const key = (report, module) => `${report.patterns[module.pattern].parts.join('\u0000')} ${module.key < 0}`;
  const rows = new Map();
  for (const [side, grid] of [[0, a], [1, b]]) {
    for (const module of grid.modules) {
      const name = key(grid.places.report, module);
      if (!rows.has(name)) rows.set(name, { label: module.label, rank: module.rank, sides: [null, null] });
      rows.get(name).sides[side] = module;
    }
  }
  const columns = [...new Set([...a.columns, ...b.columns])].sort((x, y) => x - y);
  const at = [a, b].map((grid) => new Map(grid.columns.map((layer, i) => [layer, i])));
  const list = [...rows.values()].sort((x, y) => x.rank - y.rank);
  const cell = (side, row, column) => {
    const module = list[row].sides[side];
    const place = at[side].get(columns[column]);
    return module === null || place === undefined ? null : module.cells[place];
  };
  return { rows: list, columns, cell };
}

class Maps {
  constructor(a, b, pairs) {
    this.reports = [a, b];
    this.places = [new Places(a), new Places(b)];
    this.lists = [measuresOf(a), measuresOf(b)];
    // A share is of one expert: of others it is another measure.
    const sameExperts = a.experts.join('\n') === b.experts.join('\n');
    this.common = this.lists[0].filter((measure) => (sameExperts || !/^share\.\d+$/.test(measure.key)) && this.lists[1].some((other) => other.key === measure.key));
    this.table = null;
    if (this.common.length === 0) {
      this.element = panel('Tensor by tensor', '', h('p', { class: 'soft' }, 'No measure is in both reports, so there is no picture.'));
      return;
    }
    this.hosts = ['A', 'B', 'B \u2212 A'].map((title, i) => {
      const host = h('div', { class: 'map-host' });
      const below = h('div');
      return { host, below, map: new HeatMap(host), element: h('div', {}, h('h3', {}, i < 2 ? `${title}: ${place(this.reports[i])}` : title), host, below) };
    });
    this.buttons = new Map(this.common.filter((measure) => measure.main).map((measure) => [measure.key,
      h('button', { type: 'button', onclick: () => this.choose(measure.key) }, measure.label)]));
    const rest = this.common.filter((measure) => !measure.main);
    this.more = rest.length === 0 ? null : h('select', { 'aria-label': 'Other measures', onchange: (event) => { if (event.target.value) this.choose(event.target.value); } },
      h('option', { value: '' }, 'Other measures'), rest.map((measure) => h('option', { value: measure.key }, measure.label)));
    this.table = new DifferenceTable(a, b, pairs, (of, other) => this.pin(of, other));
    this.read = h('p', { class: 'sentence', 'aria-live': 'polite' });
    this.note = h('p');
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Tensor by tensor'), this.note),
      h('div', { class: 'tools' }, h('div', { class: 'choices', role: 'group', 'aria-label': 'Measure' }, [...this.buttons.values()]), this.more),
      this.read, h('div', { class: 'side-by-side' }, this.hosts.map((each) => each.element)));
    const state = readState();
    this.choose(this.common.some((measure) => measure.key === state.measure) ? state.measure : this.common[0].key, true);
  }

  choose(key, keep) {
    for (const [each, element] of this.buttons) element.setAttribute('aria-pressed', String(each === key));
    if (this.more !== null) this.more.value = this.buttons.has(key) ? '' : key;
    if (!keep) writeState({ measure: key });
    const measures = this.lists.map((list) => list.find((measure) => measure.key === key));
    const grids = measures.map((measure, i) => new Grid(this.places[i], measure));
    const union = together(grids[0], grids[1]);
    const value = (side, row, column) => {
      const cell = union.cell(side, row, column);
      return cell === null ? NaN : cell.value;
    };
    const changes = [];
    union.rows.forEach((_, row) => union.columns.forEach((__, column) => {
      const change = value(1, row, column) - value(0, row, column);
      if (!Number.isNaN(change)) changes.push(change);
    }));
    const values = [...grids[0].values(), ...grids[1].values()];
    const scales = [measures[0].scale(values), null, isOfUnitSize(measures[0]) ? diverging(0, changes) : roundZero(changes)];
    scales[1] = scales[0];
    // What changed most is what one looks for first.
    let most = [0, 0];
    union.rows.forEach((_, row) => union.columns.forEach((__, column) => {
      const size = (at) => {
        const change = Math.abs(value(1, ...at) - value(0, ...at));
        return Number.isNaN(change) ? -1 : change;
      };
      if (size([row, column]) > size(most)) most = [row, column];
    }));
    this.note.textContent = `${plural(union.rows.length, 'module')} by ${plural(union.columns.length, 'layer')}; A and B have one scale`;
    const show = (row, column) => {
      const [from, to] = [value(0, row, column), value(1, row, column)];
      const words = `layer ${union.columns[column]} \u00b7 ${shown(union.rows[row].label)}: A ${measures[0].exact(from)}, B ${measures[0].exact(to)}`;
      this.read.textContent = Number.isNaN(to - from) ? words : `${words}, difference ${differenceText(measures[0], to - from, 4)}`;
      return this.read.textContent;
    };
    this.hosts.forEach(({ map, below }, side) => {
      const of = (row, column) => side < 2 ? value(side, row, column) : value(1, row, column) - value(0, row, column);
      const brief = side < 2 ? measures[0].brief : (change) => differenceText(measures[0], change, 3);
      map.set({
        title: `${measures[0].label}, ${['A', 'B', 'B minus A'][side]}`, rows: union.rows.map((row) => shown(row.label)), columns: union.columns,
        scale: scales[side], medians: union.rows.map((_, row) => {
          const list = union.columns.map((__, column) => of(row, column)).filter((each) => !Number.isNaN(each));
          return list.length === 0 ? '\u2013' : brief(aggregate(list, 'median'));
        }),
        at: (row, column) => ({
          value: of(row, column),
          missing: side < 2 ? union.cell(side, row, column) === null : union.cell(0, row, column) === null || union.cell(1, row, column) === null,
          mark: side < 2 && union.cell(side, row, column) !== null && union.cell(side, row, column).fell > 0,
        }),
        words: (row, column) => `layer ${union.columns[column]} ${shown(union.rows[row].label)} ${brief(of(row, column))}`,
        onshow: show, onpick: (row, column) => this.hosts.forEach((other) => { if (other.map !== map) other.map.point([row, column]); }),
      }, keep ? most : undefined);
      const words = side < 2 ? measures[0] : { ...measures[0], brief: (change) => differenceText(measures[0], change, 3), middle: 'equal', ends: ['B has less', 'B has more'] };
      const drawn = side === 0 ? grids[0].values() : side === 1 ? grids[1].values() : changes;
      below.replaceChildren(legend(words, scales[side], drawn, side < 2 && measures[0].key === 'coherence' ? [['fell', 'fell back to the mean']] : []));
    });
    this.key = key;
    this.find = (row) => {
      for (const [at, module] of union.rows.entries()) {
        for (const side of [0, 1]) {
          if (module.sides[side] === null) continue;
          const column = module.sides[side].cells.findIndex((cell) => cell !== null && cell.rows.includes(row[side]));
          if (column >= 0) return [at, union.columns.indexOf(grids[side].columns[column])];
        }
      }
      return null;
    };
    this.say = (row) => {
      const [from, to] = [0, 1].map((side) => measures[side].read(row[side]));
      this.read.textContent = `${shown(this.reports[0].shortName(row[0]))}: A ${measures[0].exact(from)}, B ${measures[0].exact(to)}, difference ${differenceText(measures[0], to - from, 4)}`;
    };
    // Colours alone change nothing in it.
    if (this.listed !== key) this.table.set(measures);
    this.listed = key;
  }

  // Shows one tensor, of the table, in all three maps; one outside of the layers in words alone.
  pin(...row) {
    const at = this.find(row);
    if (at !== null) for (const { map } of this.hosts) map.point(at);
    this.say(row);
    this.element.scrollIntoView({ block: 'start' });
  }

  redraw() {
    if (this.common.length > 0) this.choose(this.key, true);
  }
}

// `page`: what the page carries of both, beside their reports.
export function comparisonView(a, b, page, tools) {
  const { comparison } = page;
  const title = a.summary.method.name === b.summary.method.name ? `${shown(a.summary.method.name)}: ${place(a)} and ${place(b)}`
    : `${shown(a.summary.method.name)} and ${shown(b.summary.method.name)}`;
  const maps = comparison.comparable ? new Maps(a, b, page.pairs) : null;
  const pairs = comparison.comparable ? byExpertPairs(a, b) : null;
  const [verdict, ...rest] = comparison.sentences.map(sentence);
  const elements = [
    h('div', { class: 'page-head' }, h('div', {}, h('p', { class: 'small soft' }, 'Two merge reports'), h('h1', {}, title),
      h('p', { class: 'facts' }, h('span', {}, 'A ', h('b', {}, shown(a.summary.output))), h('span', {}, 'B ', h('b', {}, shown(b.summary.output))))),
    h('div', { class: 'actions' }, tools)),
    h('section', { class: 'panel opening' }, h('div', {}, h('p', { class: 'sentence' }, h('b', {}, verdict), ' ', rest.join(' ')),
      [['A', a], ['B', b]].map(([side, report]) => h('p', { class: 'soft' }, `${side}: ${sentence(report.summary.verdict[0])}`)),
      onlyIn('A', comparison.only_a), onlyIn('B', comparison.only_b)), differences(comparison.differences)),
    maps ? maps.element : null,
    maps && maps.table ? maps.table.element : null,
    pairs ? panel(a.data.by_expert.kind === 'selected' ? 'Who contributes where' : 'How far each expert moved from the base', 'A pale, B strong', pairs) : null];
  return { elements, title, redraw: () => { if (maps) maps.redraw(); } };
}

// What the map says of one cell: a place beside it, which covers nothing and works by touch,
// keyboard and magnifier.
import { breakable, button, h, svg } from './dom.js';
import { count, distinctParts, fixed, percent, plural, shape, shown } from './format.js';
import { aggregateSentence, measureLabel, treatment } from './words.js';

// Lists of one value an expert, in the order in which they are shown where there is room.
const LISTS = ['head_energy', 'share', 'residual_norm'];

function expertBars(report, row) {
  const name = LISTS.find((each) => report.has(each) && !Number.isNaN(report.value(each, row, 0)));
  if (name === undefined || report.value('density_reached', row) === 0) return null;
  const names = distinctParts(report.experts);
  const order = report.experts.map((_, i) => i);
  const values = order.map((i) => report.value(name, row, i));
  const top = name === 'residual_norm' ? Math.max(...values.filter(Number.isFinite), 1e-300) : 1;
  order.sort((a, b) => report.experts.length > 8 ? values[b] - values[a] : a - b);
  return [h('h3', {}, measureLabel(name)), h('div', { class: 'parts' }, order.slice(0, 8).map((i) => [
    h('span', { class: 'cut', title: shown(report.experts[i]) }, names[i]),
    svg('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      svg('rect', { x: 0, y: 0, width: 100, height: 8, class: 'sunk' }),
      svg('rect', { x: 0, y: 0, width: Math.max(0, Math.min(100, values[i] / top * 100 || 0)), height: 8, class: 'bar' })),
    h('span', { class: 'number' }, fixed(values[i], 3))])),
  report.experts.length > 8 ? h('p', { class: 'small soft' }, `and ${plural(report.experts.length - 8, 'expert')} more, each less`) : null];
}

function others(report, row, measures, chosen) {
  const kind = report.kindOf(row);
  const list = measures.filter((measure) => measure.main && measure.key !== chosen.key && !measure.key.startsWith('share.'))
    .map((measure) => [measure.key === 'seconds' ? 'Computing' : measure.label, measure.exact(measure.read(row)), measure.read(row)])
    .filter(([, , value]) => !Number.isNaN(value)).map(([label, text]) => [label, text]);
  list.push(['Treated as', treatment(report, row)], ['Shape', `${shape(kind.shape)}, ${shown(kind.dtype)}`]);
  if (kind.tied) list.push(['Tied', 'stands for another name too']);
  if (report.gate[row] !== row) {
    const group = report.data.groups[report.rowLeaf[report.gate[row]]];
    list.push(['Gate', `${shown(group.key)}, of ${plural(group.tensors, 'tensor')}`]);
  }
  return h('dl', {}, list.map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)]));
}

// One row of the report. Returns what a screen reader is told after it.
export function readRow(host, report, row, measure, measures) {
  const value = measure.read(row);
  const said = Number.isNaN(value) ? 'Not measured of this tensor.' : measure.say(row, value);
  host.replaceChildren(
    h('h3', {}, shown(report.shortName(row))),
    h('code', {}, breakable(shown(report.rowName(row)))),
    h('p', { class: 'big' }, measure.brief(value), h('small', {}, measure.label.toLowerCase())),
    said ? h('p', {}, said) : '',
    others(report, row, measures, measure), ...[expertBars(report, row)].flat().filter(Boolean));
  return said;
}

// One cell of many experts.
export function readMany(host, report, cell, title, measure, open, stat) {
  const values = cell.rows.map((row) => measure.read(row)).filter((value) => !Number.isNaN(value));
  const said = aggregateSentence(measure, values, cell.fell);
  host.replaceChildren(
    h('h3', {}, shown(title)),
    h('p', { class: 'big' }, stat === 'fell' ? percent(cell.value) : measure.brief(cell.value),
      h('small', {}, stat === 'fell' ? 'fell back' : `${measure.label.toLowerCase()}, ${stat} of ${count(values.length)}`)),
    h('p', {}, said),
    open ? button(`Open the ${count(cell.rows.length)} experts`, open, { class: 'button small' }) : '');
  return said;
}

export function readNothing(host, title, why) {
  host.replaceChildren(h('h3', {}, shown(title)), h('p', { class: 'soft' }, why));
  return why;
}

// Rows are experts, columns the layers of the map above. Experts are named, not coloured: two and
// sixty-four look alike.
import { h, svg } from './dom.js';
import { distinctParts, general, percent, plural, shown } from './format.js';

const HEIGHT = 34;
const MOST = 8;

function drawing(values, top, names, what) {
  const step = 1000 / values.length;
  const gap = Math.min(step * 0.12, 4);
  return svg('svg', { viewBox: `0 0 1000 ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `${what}: ${values.map((value, i) => `layer ${names[i]} ${general(value)}`).join(', ')}` },
    values.map((value, i) => {
      const height = value > 0 ? Math.max(1, value / top * HEIGHT) : 0;
      return svg('rect', { x: i * step, y: HEIGHT - height, width: step - gap, height, class: 'bar' });
    }));
}

// `by`: Report.data.by_expert. Others than the largest eight are counted.
export function byExpert(report) {
  const by = report.data.by_expert;
  if (by === null || by.layers.length === 0) return null;
  const taken = by.kind === 'selected';
  if (taken && report.experts.length < 2) return null;
  const order = report.experts.map((_, i) => i).sort((a, b) => by.totals[b] - by.totals[a]).slice(0, MOST);
  if (report.experts.length <= MOST) order.sort((a, b) => a - b);
  const top = Math.max(1e-300, ...order.flatMap((expert) => by.values[expert]));
  const names = distinctParts(report.experts);
  const all = by.totals.reduce((sum, value) => sum + value, 0);
  const total = (expert) => taken ? percent(all > 0 ? by.totals[expert] / all : NaN) : general(by.totals[expert]);
  const more = report.experts.length - order.length;
  return h('div', { class: 'by-expert' },
    h('h3', {}, taken ? 'Who contributes where' : 'How far each expert moved from the base'),
    h('p', { class: 'small soft' }, taken
      ? 'Coordinates taken from each expert, by layer; on the right its part of all that was taken.'
      : 'Length of its difference to the base (Frobenius norm) in the measured tensors, by layer; on the right over all of them.'),
    order.map((expert) => h('div', { class: 'expert' },
      h('span', { class: 'cut', title: shown(report.experts[expert]) }, names[expert]),
      drawing(by.values[expert], top, by.layers, shown(report.experts[expert])),
      h('span', { class: 'number' }, total(expert)))),
    more > 0 ? h('p', { class: 'small soft' }, `and ${plural(more, 'expert')} more, each less`) : null);
}

// Two reports: pairs of bars a layer, A pale and B strong.
export function byExpertPairs(a, b) {
  const of = [a.data.by_expert, b.data.by_expert];
  if (of.some((by) => by === null) || of[0].kind !== of[1].kind || of[0].layers.join() !== of[1].layers.join()) return null;
  if (a.experts.join('\n') !== b.experts.join('\n') || of[0].layers.length === 0) return null;
  const order = a.experts.map((_, i) => i).sort((x, y) => of[0].totals[y] - of[0].totals[x]).slice(0, MOST).sort((x, y) => x - y);
  const top = Math.max(1e-300, ...order.flatMap((expert) => [...of[0].values[expert], ...of[1].values[expert]]));
  const names = distinctParts(a.experts);
  const step = 1000 / of[0].layers.length;
  const bar = (value, x, name) => {
    const height = value > 0 ? Math.max(1, value / top * HEIGHT) : 0;
    return svg('rect', { x, y: HEIGHT - height, width: step * 0.4, height, class: name });
  };
  return h('div', { class: 'pairs' }, order.map((expert) => h('div', { class: 'expert' },
    h('span', { class: 'cut', title: shown(a.experts[expert]) }, names[expert]),
    svg('svg', { viewBox: `0 0 1000 ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${shown(a.experts[expert])}: ${of[0].layers.map((layer, i) => `layer ${layer} A ${general(of[0].values[expert][i])} B ${general(of[1].values[expert][i])}`).join(', ')}` },
      of[0].layers.map((_, i) => [bar(of[0].values[expert][i], i * step, 'bar pale'), bar(of[1].values[expert][i], (i + 0.44) * step, 'bar')])))),
    h('div', { class: 'expert axis' }, h('span', {}, 'layer'), h('div', { class: 'layers' }, of[0].layers.length <= 40 ? of[0].layers.map((layer) => h('span', {}, String(layer))) : null)));
}

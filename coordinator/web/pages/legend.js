// The colours of a scale, how many cells each has, and the marks.
import { h, svg } from './dom.js';
import { classOf, palette } from './scales.js';

const WIDTH = 360;
const HISTOGRAM = 26;

function scaleDrawing(scale, values, brief, middle) {
  const colours = palette(scale);
  const step = WIDTH / colours.length;
  const counts = colours.map(() => 0);
  for (const value of values) counts[classOf(scale, value)] += 1;
  const most = Math.max(1, ...counts);
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HISTOGRAM + 30}`, role: 'img', 'aria-label': counts.map((n, i) => {
    const from = i === 0 ? `below ${brief(scale.edges[0])}` : `from ${brief(scale.edges[i - 1])}`;
    return `${from}: ${n}`;
  }).join(', ') });
  colours.forEach((colour, i) => {
    const height = counts[i] === 0 ? 0 : Math.max(1.5, counts[i] / most * (HISTOGRAM - 4));
    drawing.append(
      svg('rect', { x: i * step + 0.5, y: HISTOGRAM - 2 - height, width: step - 1, height, class: 'counted' }),
      svg('rect', { x: i * step + 0.5, y: HISTOGRAM, width: step - 1, height: 12, fill: colour, class: 'swatch' }));
  });
  // Every second edge has its number, and the middle of a diverging scale its name.
  const label = (x, text) => drawing.append(svg('text', { x, y: HISTOGRAM + 26, 'text-anchor': 'middle' }, text));
  scale.edges.forEach((edge, i) => {
    const shown = scale.middle === undefined ? i % 2 === 0 || colours.length < 6 : i === 0 || i === 2 || i === 5 || i === 7;
    if (shown) label((i + 1) * step, brief(edge));
  });
  if (scale.middle !== undefined) label(WIDTH / 2, `${middle || ''} ${brief(scale.middle)}`.trim());
  return drawing;
}

export function legend(measure, scale, values, marks) {
  return h('div', { class: 'legend' },
    h('div', { class: 'scale' }, scaleDrawing(scale, values, measure.brief, measure.middle),
      h('div', { class: 'ends' }, h('span', {}, measure.ends[0]), h('span', {}, measure.ends[1]))),
    h('div', { class: 'marks' }, marks.map(([kind, text]) => h('span', {}, mark(kind), text))));
}

function mark(kind) {
  const box = svg('rect', { x: 0.5, y: 0.5, width: 15, height: 11, class: 'box' });
  if (kind === 'fell') return svg('svg', { class: 'mark', viewBox: '0 0 16 12', 'aria-hidden': 'true' }, box, svg('circle', { cx: 8, cy: 6, r: 3, class: 'dot' }));
  if (kind === 'fell-line') return svg('svg', { class: 'mark', viewBox: '0 0 16 12', 'aria-hidden': 'true' }, box, svg('path', { d: 'M1 10h14', class: 'stroke' }));
  if (kind === 'busy' || kind === 'todo') return svg('svg', { class: 'mark', viewBox: '0 0 16 12', 'aria-hidden': 'true' }, svg('rect', { x: 1, y: 1, width: 14, height: 10, class: `mark-${kind}` }));
  if (kind === 'none') return svg('svg', { class: 'mark', viewBox: '0 0 16 12', 'aria-hidden': 'true' }, box, svg('path', { d: 'M5 6h6', class: 'stroke' }));
  return svg('svg', { class: 'mark', viewBox: '0 0 16 12', 'aria-hidden': 'true' }, box, svg('path', { d: 'M2 11 12 1M7 11 15 3M1 7 7 1', class: 'stroke' }));
}

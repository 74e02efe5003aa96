// Signs of states, which differ in shape and not only in colour; and small lines of rates.
import { svg } from '../dom.js';

const RING = 37.7;
const disc = (colour, path) => [svg('circle', { cx: 9, cy: 9, r: 7, class: `fill-${colour}` }), svg('path', { d: path, class: 'on-disc' })];

const DRAWINGS = {
  QUEUED: () => svg('circle', { cx: 9, cy: 9, r: 6, class: 'line-ink3' }),
  PLANNING: () => svg('circle', { cx: 9, cy: 9, r: 6, class: 'line-run', 'stroke-dasharray': '2.4 2.3' }),
  RUNNING: (part) => [svg('circle', { cx: 9, cy: 9, r: 6, class: 'ground' }),
    svg('circle', { cx: 9, cy: 9, r: 6, class: 'line-run thick', 'stroke-dasharray': `${part * RING} ${RING}`, transform: 'rotate(-90 9 9)' })],
  PUBLISHING: () => disc('run', 'M9 13V6M6 8.6 9 5.6l3 3'),
  SUCCEEDED: () => disc('ok', 'm5.8 9.2 2.2 2.3 4.2-4.7'),
  FAILED: () => disc('bad', 'm6.4 6.4 5.2 5.2m0-5.2-5.2 5.2'),
  CANCELLED: () => [svg('circle', { cx: 9, cy: 9, r: 6, class: 'line-ink3' }), svg('path', { d: 'M5 13 13 5', class: 'line-ink3' })],
  WAITING: () => [svg('path', { d: 'M9 2.5 16.5 15.5h-15z', class: 'fill-warn' }), svg('path', { d: 'M9 7v4.2m0 1.4v1.4', class: 'on-disc' })],
  LIMIT: () => svg('path', { d: 'M3 15.5V9m4 6.5V2.5m4 13V7m4 8.5v-4', class: 'line-run thick' }),
};

// `part` of one: how full the ring of a running job is.
export function glyph(state, part) {
  const draw = DRAWINGS[state] || DRAWINGS.QUEUED;
  return svg('svg', { class: 'glyph', viewBox: '0 0 18 18', 'aria-hidden': 'true' }, draw(part || 0));
}

// A line through values; `top`: what its height stands for.
export function sparkPath(values, top, width, height) {
  if (values.length < 2) return '';
  const y = (value) => (height - 1 - value / Math.max(top, 1e-9) * (height - 3)).toFixed(1);
  return values.map((value, i) => `${i === 0 ? 'M' : 'L'}${(i / (values.length - 1) * width).toFixed(1)} ${y(value)}`).join('');
}

export class Spark {
  constructor(width, height) {
    this.size = [width, height];
    this.area = svg('path', { class: 'spark-area' });
    this.line = svg('path', { class: 'spark-line' });
    this.element = svg('svg', { class: 'spark', width, height, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' }, this.area, this.line);
    this.drawn = '';
  }

  set(values) {
    const [width, height] = this.size;
    const path = sparkPath(values, Math.max(...values, 0), width, height);
    if (path === this.drawn) return;
    this.drawn = path;
    this.line.setAttribute('d', path);
    this.area.setAttribute('d', path === '' ? '' : `${path}L${width} ${height}L0 ${height}Z`);
  }
}

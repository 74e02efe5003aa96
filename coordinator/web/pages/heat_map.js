// A heat map: cells on one canvas, so that the page does not grow with the model, and over it a grid
// of one focusable place. Hover shows, a click or Enter pins, the arrow keys move.
import { h, isNarrow, isPrinting, token } from './dom.js';
import { DASH } from './format.js';
import { classOf, palette } from './scales.js';

const TOP = 22;
const LABEL = '12px ';

function sans() {
  return LABEL + getComputedStyle(document.body).fontFamily;
}

let maps = 0;

// model: {
//   title, rows: [label], columns: [label], scale, brief(value),
//   at(row, column) -> { value, missing, mark, busy, todo }, medians: [text] or null,
//   small: rows of few pixels, names: what else stands as wide as labels, words(row, column) -> what is spoken,
//   onshow(row, column), onpick(row, column), onopen(row, column) or undefined, onclose(),
//   onarrange(left, right, turned): room beside the cells, in pixels,
//   room() -> [left, right], where another map says it
// }
export class HeatMap {
  constructor(host) {
    this.host = host;
    maps += 1;
    this.id = `map-${maps}`;
    this.canvas = h('canvas', { 'aria-hidden': 'true' });
    this.cells = [0, 1].map((i) => h('div', { role: 'gridcell', id: `${this.id}-${i}`, class: 'ring' }));
    this.line = h('div', { role: 'row' }, this.cells);
    this.grid = h('div', {
      role: 'grid', tabindex: '0', class: 'cells', onkeydown: (event) => this.key(event),
      onpointermove: (event) => { if (event.pointerType !== 'touch') this.hover(event); },
      onpointerleave: () => { if (this.picked) this.show(this.picked, false); },
      onclick: (event) => this.pick(this.hit(event)),
    }, this.line);
    this.spoken = h('div', { class: 'unseen', 'aria-live': 'polite' });
    this.steppers = h('div', { class: 'steppers' },
      this.stepper('Layer', 0, 1), this.stepper('Module', 1, 0));
    host.append(h('div', { class: 'map' }, this.canvas, this.grid), this.spoken, this.steppers);
    this.turn = 0;
    this.current = [0, 0];
    this.picked = null;
    new ResizeObserver(() => this.draw()).observe(host);
  }

  stepper(word, down, across) {
    const step = (sign) => () => this.move(sign * down, sign * across);
    return h('span', {}, h('button', { type: 'button', onclick: step(-1), 'aria-label': `${word} before` }, '\u2212'),
      h('span', {}, word), h('button', { type: 'button', onclick: step(1), 'aria-label': `${word} after` }, '+'));
  }

  set(model, picked) {
    this.model = model;
    this.picked = picked || this.picked || [0, 0];
    this.picked = this.within(this.picked);
    this.grid.setAttribute('aria-label', `${model.title}: ${model.rows.length} by ${model.columns.length}. Arrow keys move; the table holds the same values.`);
    this.grid.setAttribute('aria-rowcount', model.rows.length);
    this.grid.setAttribute('aria-colcount', model.columns.length);
    this.draw();
  }

  within([row, column]) {
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
    return [clamp(row, this.model.rows.length), clamp(column, this.model.columns.length)];
  }

  // Where things are. On a phone layers of a deep model go down and modules across.
  arrange(width) {
    const { model } = this;
    this.turned = isNarrow() && model.columns.length > 12 && !model.small;
    const across = this.turned ? model.rows.length : model.columns.length;
    const down = this.turned ? model.columns.length : model.rows.length;
    const context = this.canvas.getContext('2d');
    context.font = sans();
    const widest = (texts) => texts.reduce((most, text) => Math.max(most, context.measureText(text).width), 0);
    const labels = this.turned ? model.columns.map(String) : [...model.rows, ...(model.names || [])];
    this.left = Math.ceil(Math.min(Math.max(28, widest(labels)) + 12, this.turned ? width : Math.max(width * 0.28, 72)));
    this.right = model.medians && !this.turned && width > 420 ? 60 : 2;
    if (model.room) [this.left, this.right] = model.room();
    const room = (width - this.left - this.right) / across;
    this.cellWidth = Math.max(room, model.small ? 1 : 4);
    this.cellHeight = this.turned ? 15 : model.small ? (down > 64 ? 2 : 6) : 26;
    this.gapX = this.cellWidth >= 8 ? 2 : this.cellWidth >= 4 && !model.small ? 0.75 : 0;
    this.gapY = this.cellHeight >= 8 ? 2 : 0;
    this.width = Math.max(width, this.left + across * this.cellWidth + this.right);
    this.height = TOP + down * this.cellHeight + 2;
    if (model.onarrange) model.onarrange(this.left, this.right, this.turned);
  }

  draw() {
    const width = Math.floor(this.host.clientWidth);
    if (this.model === undefined || width === 0) return;
    this.arrange(width);
    const ratio = devicePixelRatio || 1;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.canvas.style.setProperty('width', `${this.width}px`);
    this.canvas.style.setProperty('height', `${this.height}px`);
    this.grid.style.setProperty('width', `${this.width}px`);
    const context = this.canvas.getContext('2d');
    context.scale(ratio, ratio);
    context.font = sans();
    context.textBaseline = 'middle';
    this.ink = Object.fromEntries(['ink', 'ink2', 'ink3', 'edge', 'line', 'surface', 'run'].map((name) => [name, token(name)]));
    this.signs = matchMedia('(prefers-contrast: more)').matches || isPrinting();
    this.drawLabels(context);
    const colours = palette(this.model.scale);
    for (let row = 0; row < this.model.rows.length; row += 1) {
      for (let column = 0; column < this.model.columns.length; column += 1) this.drawCell(context, colours, row, column);
    }
    this.show(this.picked, false);
  }

  // Only cells that changed, where the model is as large as it was and has the scale it had.
  redrawCells(places) {
    if (this.model === undefined || this.ink === undefined) return;
    const context = this.canvas.getContext('2d');
    const colours = palette(this.model.scale);
    for (const [row, column] of places) {
      const [x, y, width, height] = this.box(row, column);
      const rim = this.gapX >= 2 ? 0.5 : 0;
      context.clearRect(x - rim, y - rim, width + 2 * rim, height + 2 * rim);
      this.drawCell(context, colours, row, column);
    }
  }

  // Medians, where they are drawn beside the cells.
  redrawMedians() {
    if (this.model === undefined || !this.model.medians || this.right < 10) return;
    const context = this.canvas.getContext('2d');
    context.clearRect(this.width - this.right + 2, TOP, this.right, this.height - TOP);
    this.model.medians.forEach((text, i) => this.text(context, text, this.width, TOP + (i + 0.5) * this.cellHeight, 'right', this.ink.ink2));
  }

  text(context, text, x, y, align, colour, most) {
    let cut = text;
    while (most && cut.length > 2 && context.measureText(cut).width > most) cut = cut.slice(0, -2) + '\u2026';
    context.textAlign = align;
    context.fillStyle = colour;
    context.fillText(cut, x, y);
  }

  drawLabels(context) {
    const { model, left, cellWidth, cellHeight, ink } = this;
    const middle = (at) => TOP + (at + 0.5) * cellHeight;
    if (this.turned) {
      // "experts gate" would be cut to what all experts begin with.
      const brief = (label) => context.measureText(label).width < cellWidth - 2 ? label : label.replace(/(\S)\S* (?=\S)/g, '$1 ');
      model.rows.forEach((label, i) => this.text(context, brief(label), left + (i + 0.5) * cellWidth, 9, 'center', ink.ink2, cellWidth - 2));
      model.columns.forEach((label, i) => {
        if (i % 2 === 0) this.text(context, String(label), left - 8, middle(i), 'right', ink.ink2);
      });
      return;
    }
    const every = model.small ? Math.ceil(16 / cellHeight) : 1;
    model.rows.forEach((label, i) => {
      if (i % every === 0) this.text(context, label, 0, middle(i) + (model.small ? 4 : 0), 'left', ink.ink2, left - 8);
    });
    this.text(context, 'layer', 0, 9, 'left', ink.ink3);
    const step = cellWidth >= 22 ? 1 : cellWidth >= 11 ? 4 : cellWidth > 6.5 ? 5 : 10;
    model.columns.forEach((label, i) => {
      if (i % step === 0) this.text(context, String(label), left + (i + 0.5) * cellWidth, 9, 'center', ink.ink2);
    });
    if (!model.medians || this.right < 10) return;
    this.text(context, 'median', this.width, 9, 'right', ink.ink3);
    model.medians.forEach((text, i) => this.text(context, text, this.width, middle(i), 'right', ink.ink2));
  }

  box(row, column) {
    const [x, y] = this.turned ? [row, column] : [column, row];
    return [this.left + x * this.cellWidth, TOP + y * this.cellHeight, this.cellWidth - this.gapX, this.cellHeight - this.gapY];
  }

  drawCell(context, colours, row, column) {
    const { value, missing, mark, busy, todo } = this.model.at(row, column);
    const [x, y, width, height] = this.box(row, column);
    if (missing) {
      context.strokeStyle = this.ink.edge;
      context.globalAlpha = 0.45;
      context.beginPath();
      for (let k = 4; k < width + height; k += 5) {
        context.moveTo(x + Math.min(k, width), y + Math.max(0, k - width));
        context.lineTo(x + Math.max(0, k - height), y + Math.min(k, height));
      }
      context.stroke();
      context.globalAlpha = 1;
      return;
    }
    const frame = (colour, line) => {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(x + line / 2, y + line / 2, Math.max(0.5, width - line), Math.max(0.5, height - line));
      context.lineWidth = 1;
    };
    if (Number.isNaN(value) && (busy || todo)) {
      frame(busy ? this.ink.run : this.ink.line, busy && width > 6 ? 2 : 1);
      return;
    }
    if (Number.isNaN(value)) {
      if (width >= 8 && height >= 8) this.text(context, DASH, x + width / 2, y + height / 2, 'center', this.ink.ink3);
      return;
    }
    const at = classOf(this.model.scale, value);
    context.fillStyle = colours[at];
    context.fillRect(x, y, width, height);
    if (this.signs && this.model.scale.middle !== undefined && at < 4 && width > 10 && height > 10) {
      this.text(context, '\u2212', x + 7, y + height / 2, 'center', at < 2 ? this.ink.surface : this.ink.ink);
    }
    if (busy) frame(this.ink.run, width > 6 ? 2 : 1);
    if (!mark) return;
    context.fillStyle = this.ink.ink;
    if (width < 14 || height < 12) {
      context.fillRect(x, y + height - 2, width, 1.5);
      return;
    }
    // A ring of the ground keeps the dot seen on every colour.
    context.beginPath();
    context.arc(x + width / 2, y + height / 2, 4.5, 0, 7);
    context.fillStyle = this.ink.surface;
    context.fill();
    context.beginPath();
    context.arc(x + width / 2, y + height / 2, 3, 0, 7);
    context.fillStyle = this.ink.ink;
    context.fill();
  }

  hit(event) {
    const box = this.grid.getBoundingClientRect();
    const across = Math.floor((event.clientX - box.left - this.left) / this.cellWidth);
    const down = Math.floor((event.clientY - box.top - TOP) / this.cellHeight);
    const [row, column] = this.turned ? [across, down] : [down, across];
    const inside = row >= 0 && column >= 0 && row < this.model.rows.length && column < this.model.columns.length;
    return inside ? [row, column] : null;
  }

  hover(event) {
    const at = this.hit(event);
    if (at !== null) this.show(at, false);
  }

  pick(at) {
    if (at === null) return;
    this.picked = at;
    this.show(at, true);
    this.model.onpick(at[0], at[1]);
  }

  // Pins a place that was picked in a map beside this one.
  point(at) {
    this.picked = this.within(at);
    this.show(this.picked, false);
  }

  move(down, across) {
    this.pick(this.within([this.picked[0] + down, this.picked[1] + across]));
  }

  key(event) {
    const far = 1e6;
    const moves = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      Home: event.ctrlKey ? [-far, -far] : [0, -far], End: event.ctrlKey ? [far, far] : [0, far],
      PageUp: [-far, 0], PageDown: [far, 0],
    };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      // What is drawn across moves across, also where the map is turned.
      this.move(...(this.turned && event.key.startsWith('Arrow') ? [move[1], move[0]] : move));
    } else if (event.key === 'Enter' && this.model.onopen) {
      event.preventDefault();
      this.model.onopen(this.picked[0], this.picked[1]);
    } else if (event.key === 'Escape' && this.model.onclose) {
      this.model.onclose();
    }
  }

  // Two places take turns, so that a screen reader speaks each move.
  show(at, speak) {
    const [row, column] = this.within(at);
    this.current = [row, column];
    const [x, y, width, height] = this.box(row, column);
    if (speak) this.turn = 1 - this.turn;
    const cell = this.cells[this.turn];
    this.cells[1 - this.turn].hidden = true;
    cell.hidden = false;
    cell.setAttribute('aria-rowindex', row + 1);
    cell.setAttribute('aria-colindex', column + 1);
    cell.setAttribute('aria-label', this.model.words(row, column));
    const grow = height < 6 ? 4 : 2;
    for (const [name, value] of [['left', x - grow], ['top', y - grow], ['width', width + 2 * grow], ['height', height + 2 * grow]]) {
      cell.style.setProperty(name, `${value}px`);
    }
    this.grid.setAttribute('aria-activedescendant', cell.id);
    const said = this.model.onshow(row, column);
    clearTimeout(this.timer);
    if (speak && said) this.timer = setTimeout(() => { this.spoken.textContent = said; }, 400);
  }
}

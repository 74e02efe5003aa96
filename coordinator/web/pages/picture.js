// The picture of one report: measures to choose from, the map, its legend, the read-out, the table
// behind it, and experts unfolded below. State lies in the address.
import { button, h } from './dom.js';
import { DASH, distinctParts, plural, shown } from './format.js';
import { Grid, Places, unfold } from './grid.js';
import { HeatMap } from './heat_map.js';
import { legend } from './legend.js';
import { readMany, readNothing, readRow } from './read_out.js';
import { sequential, widened } from './scales.js';
import { PagedTable } from './table.js';
import { readState, writeState } from './view_state.js';
import { aggregate, measuresOf, STATS } from './words.js';

// While a merge goes on: the scale is looked at again no oftener, and is free until so many values are known.
const SCALE_EVERY = 5000;
const FREE_SCALE = 24;

export class Picture {
  // `goesOn`: of a merge that is still running, see `update`.
  constructor(report, title, goesOn) {
    this.goesOn = goesOn === true;
    this.busy = new Set();
    this.report = report;
    this.places = new Places(report);
    this.measures = measuresOf(report);
    const state = readState();
    this.measure = this.measures.find((each) => each.key === state.measure) || this.measures[0];
    this.stat = STATS.some(([key]) => key === state.stat) ? state.stat : 'median';
    this.sorted = state.sort === 'median';
    this.title = title;
    if (this.measure === undefined) {
      // Nothing was measured, and the sentences that open the page say so.
      this.element = null;
      return;
    }
    this.build();
    const row = state.tensor ? report.find(state.tensor) : -1;
    this.choose(this.measure.key, row, state.open);
  }

  build() {
    const seg = (keys) => h('div', { class: 'choices', role: 'group', 'aria-label': 'Measure' }, keys);
    this.buttons = new Map(this.measures.filter((measure) => measure.main).map((measure) => [measure.key,
      h('button', { type: 'button', onclick: () => this.choose(measure.key) }, measure.label)]));
    const rest = this.measures.filter((measure) => !measure.main);
    this.more = rest.length === 0 ? null : h('select', { 'aria-label': 'Other measures', onchange: (event) => { if (event.target.value) this.choose(event.target.value); } },
      h('option', { value: '' }, 'Other measures'), rest.map((measure) => h('option', { value: measure.key }, measure.label)));
    this.stats = h('select', { 'aria-label': 'Of the experts', onchange: (event) => { this.stat = event.target.value; writeState({ stat: this.stat }); this.choose(this.measure.key); } },
      STATS.filter(([key]) => key !== 'fell' || this.report.has('branch')).map(([key, label]) => h('option', { value: key, selected: key === this.stat }, `${label} of the experts`)));
    this.note = h('p');
    this.switch = button('Show as table', () => this.showTable(this.table.hidden), { class: 'button small', 'aria-expanded': 'false' });
    this.mapHost = h('div', { class: 'map-host' });
    this.map = new HeatMap(this.mapHost);
    this.outside = h('div', { class: 'outside' });
    this.legend = h('div');
    this.drill = h('div', { class: 'drill', hidden: true });
    this.drillHost = h('div', { class: 'map-host' });
    this.read = h('div', { class: 'read-out' });
    this.table = h('div', { class: 'behind', hidden: true });
    this.below = h('div', { class: 'below' });
    this.frame = h('div', { class: 'picture' },
      h('div', {}, this.mapHost, this.outside, this.legend, this.table, this.drill, this.below), this.read);
    this.element = h('section', { class: 'panel' },
      h('div', { class: 'head' }, h('h2', {}, this.title), this.note, h('span', { class: 'grow' }), this.switch),
      h('div', { class: 'tools' }, seg([...this.buttons.values()]), this.more, this.stats),
      this.frame);
  }

  // `row`: the row of the report to pin; else the cell that was pinned stays.
  choose(key, row, open) {
    this.measure = this.measures.find((each) => each.key === key);
    for (const [each, element] of this.buttons) element.setAttribute('aria-pressed', each === key ? 'true' : 'false');
    if (this.more !== null && this.buttons.has(key)) this.more.value = '';
    else if (this.more !== null) this.more.value = key;
    this.grid = this.makeGrid();
    this.stats.hidden = !this.grid.aggregates;
    this.scale = this.makeScale(this.grid.values());
    this.scaled = Date.now();
    if (row === undefined && key !== this.measures[0].key) writeState({ measure: key });
    else if (row === undefined) writeState({ measure: undefined });
    this.note.textContent = this.describe();
    let at = row >= 0 ? this.grid.find(row) : null;
    if (at === null && this.map.picked === null) at = this.first();
    this.pinned = row >= 0 ? row : this.pinned;
    this.showOutside();
    if (this.grid.modules.length === 0) {
      this.mapHost.hidden = true;
    } else {
      this.mapHost.hidden = false;
      this.map.set(this.model(), at);
    }
    if (row >= 0 && at === null) this.readOutside(row);
    this.showLegend();
    if (!this.table.hidden) this.fillTable();
    const pattern = open === undefined ? this.opened : Number(open);
    const module = this.grid.modules.find((each) => each.key === pattern && each.experts);
    if (module) this.open(module);
    else this.close(false);
  }

  makeGrid() {
    const { report } = this;
    const expected = this.goesOn ? (row) => !['mean', 'copy'].includes(report.kindOf(row).mode) : undefined;
    return new Grid(this.places, this.measure, this.stat, expected);
  }

  makeScale(values) {
    return this.grid.stat === 'fell' && this.grid.aggregates ? sequential([0, 1]) : this.measure.scale(values);
  }

  // More was measured of the same tensors: cells that changed are drawn anew. The scale only widens,
  // now and then, and says so. Returns whether this could be done with the picture as it stands.
  update(report, goesOn) {
    const names = (measures) => measures.map((measure) => measure.key).join();
    const list = measuresOf(report);
    if (this.element === null || names(list) !== names(this.measures) || report.rowCount !== this.report.rowCount || goesOn !== this.goesOn) return false;
    const before = this.grid;
    this.report = report;
    this.places.report = report;
    this.measures = list;
    this.measure = list.find((measure) => measure.key === this.measure.key);
    const grid = this.makeGrid();
    if (grid.modules.map((module) => module.key).join() !== before.modules.map((module) => module.key).join() || this.drillMap) {
      // Not chosen by anybody: the address stays.
      this.choose(this.measure.key, -1);
      return true;
    }
    this.grid = grid;
    const values = grid.values();
    const now = Date.now();
    let { scale } = this;
    if (values.length <= FREE_SCALE || now - this.scaled >= SCALE_EVERY) {
      const next = this.makeScale(values);
      scale = values.length <= FREE_SCALE ? next : widened(scale, next);
      this.scaled = now;
    }
    const wider = scale.edges.join() !== this.scale.edges.join();
    this.scale = scale;
    this.note.textContent = this.describe() + (wider && values.length > FREE_SCALE ? '; scale widened' : '');
    if (wider || this.mapHost.hidden) {
      this.mapHost.hidden = grid.modules.length === 0;
      if (!this.mapHost.hidden) this.map.set(this.model());
    } else {
      const same = (a, b) => a === b || (Number.isNaN(a) && Number.isNaN(b));
      const dirty = [];
      grid.modules.forEach((module, row) => module.cells.forEach((cell, column) => {
        const old = before.modules[row].cells[column];
        if (cell !== null && !(same(cell.value, old.value) && cell.fell === old.fell && cell.todo === old.todo)) dirty.push([row, column]);
      }));
      this.map.model = this.model();
      this.map.redrawCells(dirty);
      this.map.redrawMedians();
      // What is read out may have been measured by now.
      if (dirty.some(([row, column]) => row === this.map.current[0] && column === this.map.current[1])) this.map.show(this.map.current, false);
      this.dirty = dirty.length;
    }
    this.showOutside();
    this.showLegend();
    if (!this.table.hidden) this.fillTable();
    return true;
  }

  // Rows of the report that are with a worker now.
  setBusy(rows) {
    const before = this.busy;
    this.busy = new Set(rows);
    if (this.element === null || this.mapHost.hidden) return;
    const changed = (row) => before.has(row) !== this.busy.has(row);
    const dirty = [];
    this.grid.modules.forEach((module, row) => module.cells.forEach((cell, column) => {
      if (cell !== null && cell.rows.some(changed)) dirty.push([row, column]);
    }));
    this.map.redrawCells(dirty);
  }

  // The cell with the least value on a diverging scale, the greatest else: what one looks for first.
  first() {
    const low = this.scale.middle !== undefined;
    let best = null;
    let found = low ? Infinity : -Infinity;
    this.grid.modules.forEach((module, row) => module.cells.forEach((cell, column) => {
      if (cell === null || Number.isNaN(cell.value) || (low ? cell.value >= found : cell.value <= found)) return;
      found = cell.value;
      best = [row, column];
    }));
    return best;
  }

  describe() {
    const { grid } = this;
    const words = [`${plural(grid.tensors(), 'tensor')}, ${plural(grid.modules.length, 'module')} by ${plural(grid.columns.length, 'layer')}`];
    if (grid.unmeasured > 0) words.push(`${plural(grid.unmeasured, 'tensor')} of other modules, such as norms and biases, have no value`);
    if (grid.hidden > 0) words.push(`${plural(grid.hidden, 'module')} more in the table alone`);
    return words.join('; ');
  }

  marks() {
    const marks = [];
    const any = (test) => this.grid.modules.some((module) => module.cells.some(test));
    if (any((cell) => cell !== null && cell.fell > 0)) marks.push([this.map.cellWidth < 14 ? 'fell-line' : 'fell', this.grid.aggregates ? 'some fell back to the mean' : 'fell back to the mean']);
    if (this.goesOn) marks.push(['busy', 'with a worker']);
    if (any((cell) => cell !== null && cell.todo)) marks.push(['todo', 'not yet']);
    if (any((cell) => cell !== null && Number.isNaN(cell.value) && !cell.todo)) marks.push(['none', this.measure.key.startsWith('share.') ? 'nothing taken' : 'not measured']);
    if (any((cell) => cell === null)) marks.push(['missing', 'no such tensor']);
    return marks;
  }

  brief(value) {
    if (this.stat === 'fell' && this.grid.aggregates) return `${Math.round(value * 100)}\u00a0%`;
    return this.measure.brief(value);
  }

  model() {
    const { grid } = this;
    return {
      title: this.measure.label, rows: grid.modules.map((module) => shown(module.label)), columns: grid.columns, scale: this.scale,
      at: (row, column) => {
        const cell = grid.cell(row, column);
        return cell === null ? { value: NaN, missing: true }
          : { value: cell.value, mark: cell.fell > 0, todo: cell.todo, busy: this.busy.size > 0 && cell.rows.some((each) => this.busy.has(each)) };
      },
      medians: grid.modules.map((module) => {
        const values = module.cells.filter((cell) => cell !== null && !Number.isNaN(cell.value)).map((cell) => cell.value);
        return values.length === 0 ? DASH : this.brief(aggregate(values, 'median'));
      }),
      words: (row, column) => {
        const cell = grid.cell(row, column);
        const value = cell === null ? 'no such tensor' : !Number.isNaN(cell.value) ? this.brief(cell.value)
          : !cell.todo ? 'not measured' : cell.rows.some((each) => this.busy.has(each)) ? 'with a worker' : 'not yet';
        return `layer ${grid.columns[column]} ${shown(grid.modules[row].label)} ${value}`;
      },
      names: this.report.data.by_expert === null ? [] : distinctParts(this.report.experts),
      onarrange: (left, right, turned) => {
        // What stands below has the map's columns.
        this.below.style.setProperty('--left', turned ? '84px' : `${left}px`);
        this.below.style.setProperty('--right', `${turned ? 52 : right}px`);
        this.below.classList.toggle('aligned', !turned && right > 10);
        this.frame.classList.toggle('turned', turned);
        // How the marks look depends on how wide a cell is.
        this.showLegend();
      },
      onshow: (row, column) => this.readCell(row, column),
      onpick: (row, column) => {
        const cell = grid.cell(row, column);
        this.pinned = cell === null || cell.rows.length !== 1 ? undefined : cell.rows[0];
        writeState({ tensor: this.pinned === undefined ? undefined : this.report.rowName(this.pinned) });
      },
      onopen: (row) => { if (grid.modules[row].experts) this.open(grid.modules[row], true); },
      onclose: () => this.close(true),
    };
  }

  readCell(row, column) {
    const module = this.grid.modules[row];
    const cell = module.cells[column];
    const title = `layer ${this.grid.columns[column]} \u00b7 ${module.label}`;
    if (cell === null) return readNothing(this.read, title, 'This layer has no such tensor.');
    if (cell.todo) return readNothing(this.read, title, cell.rows.some((each) => this.busy.has(each)) ? 'Not measured yet: it is with a worker.' : 'Not measured yet.');
    // Of many experts the one that was pinned, from the list or by the address.
    const one = cell.rows.length === 1 ? cell.rows[0] : cell.rows.find((each) => each === this.pinned);
    if (one !== undefined) return readRow(this.read, this.report, one, this.measure, this.measures);
    return readMany(this.read, this.report, cell, title, this.measure, () => this.open(module, true), this.stat);
  }

  readOutside(row) {
    readRow(this.read, this.report, row, this.measure, this.measures);
    writeState({ tensor: this.report.rowName(row) });
  }

  showLegend() {
    this.legend.replaceChildren(legend({ ...this.measure, brief: (value) => this.brief(value) }, this.scale, this.grid.values(), this.marks()));
  }

  showOutside() {
    const { report } = this;
    const rows = this.grid.outside;
    this.outside.hidden = rows.length === 0;
    this.outside.replaceChildren(h('span', { class: 'soft' }, 'outside the layers'), ...rows.slice(0, 8).map((row) =>
      button(`${shown(report.patterns[report.pattern[report.rowTensor[row]]].label)} ${this.measure.brief(this.measure.read(row))}${report.fellBack(row) ? ' *' : ''}`,
        () => this.readOutside(row), { class: 'button small' })));
  }

  showTable(show) {
    this.table.hidden = !show;
    this.switch.textContent = show ? 'Hide the table' : 'Show as table';
    this.switch.setAttribute('aria-expanded', String(show));
    if (show) this.fillTable();
  }

  // Layers down, modules across: as many columns as the map has rows.
  fillTable() {
    const { grid } = this;
    const columns = [{ label: 'Layer', number: true, text: (column) => String(grid.columns[column]), value: (column) => grid.columns[column] }];
    grid.modules.forEach((module) => columns.push({
      label: shown(module.label), number: true,
      value: (column) => module.cells[column] === null ? NaN : module.cells[column].value,
      text: (column) => {
        const cell = module.cells[column];
        return cell === null || Number.isNaN(cell.value) ? DASH : this.brief(cell.value) + (cell.fell > 0 ? '\u00a0*' : '');
      },
    }));
    const table = new PagedTable(columns, { caption: this.measure.label });
    table.set(grid.columns.map((_, i) => i));
    this.table.replaceChildren(table.element, h('p', { class: 'small soft' }, this.report.has('branch') ? '* fell back to the mean' : ''));
  }

  open(module, scroll) {
    this.opened = module.key;
    writeState({ open: String(module.key) });
    const rows = unfold(this.grid, module, this.sorted);
    const sort = button(this.sorted ? 'Sort by number' : 'Sort by median', () => {
      this.sorted = !this.sorted;
      writeState({ sort: this.sorted ? 'median' : undefined });
      this.open(module);
    }, { class: 'button small' });
    this.drill.hidden = false;
    this.drillHost.replaceChildren();
    this.drill.replaceChildren(h('div', { class: 'head' }, h('h3', {}, `${shown(module.label)}: ${plural(rows.length, 'expert')}`),
      h('span', { class: 'grow' }), sort, button('Close', () => this.close(true), { class: 'button small' })), this.drillHost);
    const map = new HeatMap(this.drillHost);
    const { grid, report, measure } = this;
    map.set({
      title: `${measure.label}, experts of ${shown(module.label)}`, rows: rows.map((row) => `expert ${row.expert}`), columns: grid.columns,
      scale: grid.stat === 'fell' ? measure.scale(rows.flatMap((row) => row.values.filter((value) => !Number.isNaN(value)))) : this.scale,
      small: true, medians: null,
      room: this.map.turned || !this.map.left ? undefined : () => [this.map.left, this.map.right],
      at: (row, column) => ({ value: rows[row].values[column], missing: rows[row].cells[column] < 0, mark: false }),
      words: (row, column) => `expert ${rows[row].expert} layer ${grid.columns[column]} ${measure.brief(rows[row].values[column])}`,
      onshow: (row, column) => {
        // Until somebody is here the read-out stays the map's above.
        if (!this.drillHost.matches(':hover, :focus-within')) return '';
        const at = rows[row].cells[column];
        return at < 0 ? readNothing(this.read, `layer ${grid.columns[column]} \u00b7 expert ${rows[row].expert}`, 'No such tensor.')
          : readRow(this.read, report, at, measure, this.measures);
      },
      onpick: (row, column) => { if (rows[row].cells[column] >= 0) writeState({ tensor: report.rowName(rows[row].cells[column]) }); },
      onclose: () => this.close(true),
    });
    this.drillMap = map;
    if (scroll) this.drill.scrollIntoView({ block: 'nearest' });
  }

  close(forget) {
    this.drill.hidden = true;
    this.drillMap = undefined;
    if (!forget) return;
    this.opened = undefined;
    writeState({ open: undefined });
    this.map.grid.focus();
  }

  pin(row) {
    this.choose(this.measure.key, row);
    writeState({ tensor: this.report.rowName(row) });
    this.element.scrollIntoView({ block: 'start' });
  }

  redraw() {
    if (this.element === null) return;
    this.map.draw();
    if (this.drillMap) this.drillMap.draw();
    this.showLegend();
  }
}

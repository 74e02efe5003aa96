// Tensors as a grid: a row a module, a column a layer. Experts of one matrix are one row, which a
// second grid unfolds.
import { aggregate } from './words.js';

// A picture of more would be no picture: the rest is in the table.
const MOST_ROWS = 96;
const MOST_LAYERS = 1024;
const MOST_EXPERTS = 4096;

function sortedNumbers(values) {
  return [...new Set(values)].sort((a, b) => a - b);
}

// Where each row of the report stands: module, layer, expert. Made once a report.
export class Places {
  constructor(report) {
    this.report = report;
    const layers = sortedNumbers(report.layer.filter((layer) => layer >= 0)).slice(0, MOST_LAYERS);
    this.layers = layers;
    this.column = new Map(layers.map((layer, at) => [layer, at]));
    this.modules = new Map();
    this.outside = [];
    for (let row = 0; row < report.rowCount; row += 1) {
      const tensor = report.rowTensor[row];
      if (tensor < 0) continue;
      const column = this.column.get(report.layer[tensor]);
      if (column === undefined) {
        if (report.layer[tensor] < 0) this.outside.push(row);
        continue;
      }
      const pattern = report.pattern[tensor];
      const leaf = report.rowLeaf[row];
      // A stack of experts that was cut has a row for each, beside its own.
      const key = leaf < 0 ? pattern : -1 - pattern;
      let module = this.modules.get(key);
      if (module === undefined) {
        module = { key, pattern, label: report.patterns[pattern].label, rank: report.patterns[pattern].rank, cells: new Map() };
        this.modules.set(key, module);
      }
      const expert = leaf < 0 ? report.expert[tensor] : leaf;
      if (!module.cells.has(column)) module.cells.set(column, []);
      module.cells.get(column).push([expert, row]);
    }
  }
}

// What a picture of one measure shows.
export class Grid {
  // `expected(row)`: whether a value is still to come, of a merge that goes on.
  constructor(places, measure, stat, expected) {
    const { report } = places;
    this.places = places;
    this.measure = measure;
    this.stat = stat || 'median';
    this.columns = places.layers;
    this.modules = [];
    let left = 0;
    for (const module of places.modules.values()) {
      let any = false;
      const cells = new Array(this.columns.length).fill(null);
      let experts = false;
      for (const [column, members] of module.cells) {
        const cell = { rows: members.map((member) => member[1]), experts: members.map((member) => member[0]), value: NaN, fell: 0, measured: 0, todo: false };
        const values = [];
        for (const row of cell.rows) {
          const value = measure.read(row);
          if (Number.isNaN(value)) continue;
          values.push(value);
          if (report.fellBack(row)) cell.fell += 1;
        }
        cell.measured = values.length;
        cell.todo = expected !== undefined && values.length === 0 && cell.rows.some(expected);
        any = any || values.length > 0 || cell.todo;
        experts = experts || members.length > 1 || members[0][0] >= 0;
        cell.value = values.length <= 1 ? (values.length === 0 ? NaN : values[0])
          : this.stat === 'fell' ? cell.fell / values.length : aggregate(values, this.stat);
        cells[column] = cell;
      }
      if (any) this.modules.push({ ...module, cells, experts });
      else left += module.cells.size;
    }
    this.modules.sort((a, b) => a.rank - b.rank || a.pattern - b.pattern);
    this.hidden = Math.max(0, this.modules.length - MOST_ROWS);
    this.modules.length = Math.min(this.modules.length, MOST_ROWS);
    this.unmeasured = left;
    this.outside = places.outside.filter((row) => report.rowLeaf[row] < 0 && !Number.isNaN(measure.read(row)));
  }

  get aggregates() {
    return this.modules.some((module) => module.experts);
  }

  cell(row, column) {
    return this.modules[row].cells[column];
  }

  values() {
    const out = [];
    for (const module of this.modules) {
      for (const cell of module.cells) {
        if (cell !== null && !Number.isNaN(cell.value)) out.push(cell.value);
      }
    }
    for (const row of this.outside) out.push(this.measure.read(row));
    return out;
  }

  // Where a row of the report is drawn; null where it is not.
  find(row) {
    for (let at = 0; at < this.modules.length; at += 1) {
      for (let column = 0; column < this.columns.length; column += 1) {
        const cell = this.modules[at].cells[column];
        if (cell !== null && cell.rows.includes(row)) return [at, column];
      }
    }
    return null;
  }

  tensors() {
    let all = 0;
    for (const module of this.modules) {
      for (const cell of module.cells) all += cell === null ? 0 : cell.measured;
    }
    return all + this.outside.length;
  }
}

// Experts by layers of one module. `sorted`: by their median, else by number.
export function unfold(grid, module, sorted) {
  const { measure } = grid;
  const byExpert = new Map();
  module.cells.forEach((cell, column) => {
    if (cell === null) return;
    cell.rows.forEach((row, i) => {
      const expert = cell.experts[i];
      if (!byExpert.has(expert)) byExpert.set(expert, new Array(grid.columns.length).fill(-1));
      byExpert.get(expert)[column] = row;
    });
  });
  const rows = [...byExpert].map(([expert, cells]) => {
    const values = cells.map((row) => row < 0 ? NaN : measure.read(row));
    return { expert, cells, values, median: aggregate(values.filter((value) => !Number.isNaN(value)), 'median') };
  });
  rows.sort((a, b) => sorted ? b.median - a.median || a.expert - b.expert : a.expert - b.expert);
  return rows.slice(0, MOST_EXPERTS);
}

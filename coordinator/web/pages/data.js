// A report as the page carries it (page_data.cc): columns of base64, which are decoded when they are
// asked for, and names as patterns with numbers in them.
//
//   summary    what `merganser report --json` prints, without the list of gates that fell back
//   patterns   { parts, layer, expert, label, rank }: parts stand around the numbers of a name
//   kinds      { mode, family, dtype, shape, elements, tied, note }, what tensors share
//   tensors    count, and whole numbers of each: kind, pattern, layer, expert (-1: none)
//   rows       what measurements belong to, or null where every row is the tensor of its number:
//              tensor (-1: a gate of several), leaf (-1: the tensor itself; of a gate: which), and
//              gate, the row of the gate that a tensor shares
//   groups     { key, tensors, elements }, the gates that several tensors share
//   columns    { name, list, width, type, data }
//   by_expert  { kind, layers, values[expert][layer], totals[expert] } or null
//   left_out   names of measurements that only merge_report.json has
//
// Of two reports there is `pairs` beside them: count, left_out, and the rows of a and b that are the
// same tensor, as whole numbers; null where every row is that of its number.

function decode(text) {
  const binary = atob(text);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) out[i] = binary.charCodeAt(i);
  return out.buffer;
}

function numbers(type, text) {
  const buffer = decode(text);
  switch (type) {
    case 'u8': return new Uint8Array(buffer);
    case 'u16': return new Uint16Array(buffer);
    case 'u32': return new Uint32Array(buffer);
    default: return new Float32Array(buffer);
  }
}

// Whole numbers with an offset; -1 stands for none.
function whole(packed) {
  const values = numbers(packed.type, packed.data);
  return Int32Array.from(values, (value) => value + packed.offset);
}

// [row of a, row of b] of all that is in both.
export function pairedRows(packed, a) {
  if (packed === null) return Array.from({ length: a.rowCount }, (_, row) => [row, row]);
  const of = whole(packed.b);
  return Array.from(whole(packed.a), (row, i) => [row, of[i]]);
}

export class Report {
  constructor(data) {
    this.data = data;
    this.summary = data.summary;
    this.experts = data.summary.experts;
    this.patterns = data.patterns;
    this.count = data.tensors.count;
    this.kind = whole(data.tensors.kind);
    this.pattern = whole(data.tensors.pattern);
    this.layer = whole(data.tensors.layer);
    this.expert = whole(data.tensors.expert);
    this.rowCount = data.rows === null ? this.count : data.rows.count;
    this.rowTensor = data.rows === null ? Int32Array.from({ length: this.count }, (_, i) => i) : whole(data.rows.tensor);
    this.rowLeaf = data.rows === null ? new Int32Array(this.count).fill(-1) : whole(data.rows.leaf);
    this.gate = data.rows === null ? this.rowTensor : whole(data.rows.gate);
    this.rowOf = new Int32Array(this.count);
    for (let row = 0; row < this.rowCount; row += 1) {
      if (this.rowTensor[row] >= 0 && this.rowLeaf[row] < 0) this.rowOf[this.rowTensor[row]] = row;
    }
    this.packed = new Map(data.columns.map((column) => [column.name, column]));
    this.decoded = new Map();
    this.byName = null;
  }

  has(name) {
    return this.packed.has(name);
  }

  width(name) {
    return this.packed.get(name).width;
  }

  // The number at a row, of the expert `place`; NaN where nothing was measured.
  at(name, row, place) {
    const column = this.packed.get(name);
    if (column === undefined || place >= column.width) return NaN;
    let values = this.decoded.get(name);
    if (values === undefined) {
      values = numbers(column.type, column.data);
      this.decoded.set(name, values);
    }
    const value = values[row * column.width + (place || 0)];
    const none = column.type === 'u8' ? 0xff : column.type === 'u16' ? 0xffff : NaN;
    return value === none ? NaN : value;
  }

  // As `at`; of the gate that the tensor shares with others, where it has none of its own.
  value(name, row, place) {
    const own = this.at(name, row, place);
    return Number.isNaN(own) && this.gate[row] !== row ? this.at(name, this.gate[row], place) : own;
  }

  name(tensor) {
    const pattern = this.patterns[this.pattern[tensor]];
    let name = pattern.parts[0];
    let part = 1;
    if (pattern.layer) name += this.layer[tensor] + pattern.parts[part++];
    if (pattern.expert) name += this.expert[tensor] + pattern.parts[part++];
    return name;
  }

  rowName(row) {
    const tensor = this.rowTensor[row];
    if (tensor < 0) return this.data.groups[this.rowLeaf[row]].key;
    return this.rowLeaf[row] < 0 ? this.name(tensor) : `${this.name(tensor)}[${this.rowLeaf[row]}]`;
  }

  // "layer 4 · k"
  shortName(row) {
    const tensor = this.rowTensor[row];
    if (tensor < 0) return `gate of ${this.data.groups[this.rowLeaf[row]].tensors} tensors: ${this.rowName(row)}`;
    const words = [this.patterns[this.pattern[tensor]].label];
    if (this.layer[tensor] >= 0) words.unshift(`layer ${this.layer[tensor]}`);
    if (this.expert[tensor] >= 0) words.push(`expert ${this.expert[tensor]}`);
    if (this.rowLeaf[row] >= 0) words.push(`part ${this.rowLeaf[row]}`);
    return words.join(' \u00b7 ');
  }

  kindOf(row) {
    return this.data.kinds[this.kind[this.rowTensor[row]]];
  }

  // The row of a name that `rowName` gave; -1 where there is none.
  find(name) {
    if (this.byName === null) {
      this.byName = new Map();
      for (let row = 0; row < this.rowCount; row += 1) this.byName.set(this.rowName(row), row);
    }
    return this.byName.has(name) ? this.byName.get(name) : -1;
  }

  fellBack(row) {
    return this.value('branch', row) === 0;
  }
}

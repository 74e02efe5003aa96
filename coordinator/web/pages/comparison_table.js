// Which tensors lie furthest apart in two reports, by one measure: a table behind the maps.
import { pairedRows } from './data.js';
import { h, isNarrow, panel } from './dom.js';
import { count, DASH, plural, shown } from './format.js';
import { PagedTable } from './table.js';
import { readState, writeState } from './view_state.js';
import { differenceText } from './words.js';

// A page of more rows is sorted once it stands.
const SORTED_AT_ONCE = 4000;

// What a row has for its own: what a gate of several tensors has stands once, in the gate's row.
function own(report, measure, row) {
  const name = /^share\.\d+$/.test(measure.key) ? 'share' : measure.key;
  return report.gate[row] !== row && Number.isNaN(report.at(name, row, 0)) ? NaN : measure.read(row);
}

function fellIn(a, b) {
  if (a && b) return 'in both';
  return a ? 'in A alone' : b ? 'in B alone' : DASH;
}

export class DifferenceTable {
  // `packed`: pairs of rows as the page carries them. `onpick(row of a, row of b)`.
  constructor(a, b, packed, onpick) {
    this.reports = [a, b];
    this.pairs = pairedRows(packed, a);
    this.leftOut = packed === null ? 0 : packed.left_out;
    this.note = h('span');
    this.search = h('input', { type: 'search', placeholder: 'Part of a name', 'aria-label': 'Find tensors', value: readState().find || '',
      oninput: () => { writeState({ find: this.search.value }); this.fill(); } });
    const branches = a.has('branch') && b.has('branch');
    const exact = (value) => this.measure.exact(value);
    this.table = new PagedTable([
      { label: 'Tensor', code: true, text: (item) => shown(a.rowName(item.a)), value: (item) => a.rowName(item.a), link: (item) => onpick(item.a, item.b) },
      { label: 'A', number: true, text: (item) => exact(item.of[0]), value: (item) => item.of[0] },
      { label: 'B', number: true, text: (item) => exact(item.of[1]), value: (item) => item.of[1] },
      // In the order of its size: what B has less of lies as far apart.
      { label: 'Difference', number: true, text: (item) => differenceText(this.measure, item.of[1] - item.of[0], 4), value: (item) => Math.abs(item.of[1] - item.of[0]) },
      ...branches ? [{ label: 'Fell back', text: (item) => fellIn(a.fellBack(item.a), b.fellBack(item.b)), value: (item) => Number(a.fellBack(item.a)) + 2 * Number(b.fellBack(item.b)) }] : [],
    ], { cards: true, sorted: 3, down: true, few: isNarrow() ? 5 : 10, empty: 'No tensor has this in its name', caption: 'Tensors that differ most' });
    const missing = [...new Set([...a.data.left_out, ...b.data.left_out])];
    this.element = panel('Tensors that differ most', this.note, [this.table.element,
      missing.length > 0 ? h('p', { class: 'small soft' }, `Not on this page: ${missing.map(shown).join(', ')}. merganser report A B --json has the hundred that differ most in each.`) : null], this.search, { id: 'differ' });
  }

  // Shows the tensors by another measure: what A and B call by one name.
  set(measures) {
    [this.measure] = measures;
    clearTimeout(this.timer);
    const look = () => {
      this.items = [];
      let differ = 0;
      for (const [a, b] of this.pairs) {
        const of = [own(this.reports[0], measures[0], a), own(this.reports[1], measures[1], b)];
        if (Number.isNaN(of[0]) || Number.isNaN(of[1])) continue;
        differ += of[0] === of[1] ? 0 : 1;
        this.items.push({ a, b, of });
      }
      const words = [`${this.measure.label}: ${count(differ)} of ${plural(this.items.length, 'tensor')} differ; a click shows one in the maps`];
      if (this.leftOut > 0) words.push(`${count(this.leftOut)} more are in merge_report.json`);
      this.note.textContent = words.join('; ');
      this.fill();
    };
    if (this.pairs.length <= SORTED_AT_ONCE) look();
    else this.timer = setTimeout(look, 50);
  }

  fill() {
    const part = this.search.value;
    this.table.set(part === '' ? this.items : this.items.filter((item) => this.reports[0].rowName(item.a).includes(part)));
  }
}

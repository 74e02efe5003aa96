// Tables that show a hundred rows at a time, whatever they hold.
import { breakable, button, h } from './dom.js';
import { count, DASH } from './format.js';

const PAGE = 100;

// columns: { label, number, minor, text(item), value(item) for sorting, code }. `items` is any array;
// only those of the page become elements.
export class PagedTable {
  constructor(columns, options) {
    this.columns = columns;
    this.options = options || {};
    // A few rows first; whoever wants all turns pages of a hundred.
    this.few = this.options.few;
    this.page = 0;
    this.sorted = this.options.sorted === undefined ? null : { column: this.options.sorted, down: this.options.down === true };
    this.body = h('tbody');
    this.heads = columns.map((column, i) => h('th', { scope: 'col', class: column.number ? 'number' : null },
      column.value ? h('button', { type: 'button', onclick: () => this.sortBy(i) }, column.label) : column.label));
    this.status = h('span', { role: 'status' });
    this.before = button('Before', () => this.turn(-1), { class: 'button small' });
    this.after = button('Next', () => this.turn(1), { class: 'button small' });
    this.all = button('', () => { this.few = undefined; this.render(); }, { class: 'button small' });
    this.pager = h('div', { class: 'pager', hidden: true }, this.status, h('span', { class: 'grow' }), this.all, this.before, this.after);
    this.element = h('div', {}, h('div', { class: 'wide' },
      h('table', { class: this.options.cards ? 'cards' : null },
        this.options.caption ? h('caption', { class: 'unseen' }, this.options.caption) : null,
        h('thead', {}, h('tr', {}, this.heads)), this.body)), this.pager);
  }

  set(items) {
    this.items = items;
    this.page = 0;
    this.sort();
  }

  sortBy(column) {
    const same = this.sorted !== null && this.sorted.column === column;
    this.sorted = { column, down: same ? !this.sorted.down : this.columns[column].number === true };
    this.page = 0;
    this.sort();
  }

  sort() {
    this.order = this.items;
    if (this.sorted !== null) {
      const keys = this.items.map(this.columns[this.sorted.column].value);
      const sign = this.sorted.down ? -1 : 1;
      // What has no value stands last, in either direction.
      const none = (key) => typeof key === 'number' && Number.isNaN(key);
      const places = keys.map((_, i) => i).sort((a, b) => {
        const x = keys[a];
        const y = keys[b];
        if (none(x) || none(y)) return Number(none(x)) - Number(none(y)) || a - b;
        return x < y ? -sign : x > y ? sign : a - b;
      });
      this.order = places.map((place) => this.items[place]);
    }
    this.heads.forEach((head, i) => {
      if (this.sorted !== null && this.sorted.column === i) head.setAttribute('aria-sort', this.sorted.down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    this.render();
  }

  turn(by) {
    this.page += by;
    this.render();
    this.element.scrollIntoView({ block: 'nearest' });
  }

  render() {
    const size = this.few || PAGE;
    const from = this.page * size;
    const shown = this.order.slice(from, from + size);
    this.body.replaceChildren(...shown.map((item) => h('tr', {}, this.columns.map((column) => {
      const text = column.text(item);
      const content = column.code ? h('code', {}, breakable(text)) : text;
      return h('td', { class: [column.number ? 'number' : '', column.minor ? 'minor' : '', text === DASH ? 'nothing' : ''].join(' ').trim() || null, 'data-label': column.label },
        column.link ? h('a', { href: '#', onclick: (event) => { event.preventDefault(); column.link(item); } }, content) : content);
    }))));
    const last = Math.min(this.order.length, from + size);
    this.status.textContent = this.order.length === 0 ? this.options.empty || 'None' : `${count(from + 1)} to ${count(last)} of ${count(this.order.length)}`;
    this.pager.hidden = this.order.length > 0 && this.order.length <= size;
    this.all.textContent = `All ${count(this.order.length)}`;
    this.all.hidden = this.few === undefined || this.order.length <= size;
    this.before.hidden = this.after.hidden = this.few !== undefined || this.order.length <= size;
    this.before.disabled = this.page === 0;
    this.after.disabled = last >= this.order.length;
  }
}

// A recipe's text with the numbers of its lines, which carry the marks of warnings and errors.
import { h } from '../dom.js';

export class Editor {
  // `changed`: called at each change of the text.
  constructor(changed) {
    this.numbers = h('ol', { 'aria-hidden': 'true' });
    this.area = h('textarea', { id: 'recipe', 'aria-label': 'Recipe, YAML', spellcheck: 'false', autocapitalize: 'off', wrap: 'off', rows: '20', placeholder: 'merge_method: resmerge\nbase_model: \u2026' });
    this.area.addEventListener('input', () => { this.number(); changed(); });
    this.area.addEventListener('scroll', () => { this.numbers.style.setProperty('transform', `translateY(${-this.area.scrollTop}px)`); });
    this.element = h('div', { class: 'editor' }, h('div', { class: 'editor-numbers' }, this.numbers), this.area);
    for (const kind of ['dragover', 'drop']) {
      this.area.addEventListener(kind, (event) => {
        const file = event.dataTransfer && event.dataTransfer.files[0];
        if (kind === 'dragover') event.preventDefault();
        if (kind === 'drop' && file) {
          event.preventDefault();
          this.onfile(file);
        }
      });
    }
    this.marks = new Map();
    this.number();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.number();
  }

  number() {
    const lines = this.area.value.split('\n').length;
    while (this.numbers.children.length > lines) this.numbers.lastChild.remove();
    while (this.numbers.children.length < lines) this.numbers.append(h('li', {}, String(this.numbers.children.length + 1)));
  }

  // line -> 'warn' or 'bad'
  mark(marks) {
    for (const line of this.marks.keys()) {
      const item = this.numbers.children[line - 1];
      if (item) item.className = '';
    }
    this.marks = marks;
    for (const [line, kind] of marks) {
      const item = this.numbers.children[line - 1];
      if (item) item.className = `marked ${kind}`;
    }
  }

  select(line) {
    const lines = this.area.value.split('\n');
    if (line < 1 || line > lines.length) return;
    const from = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(from, from + lines[line - 1].length);
    this.area.scrollTop = Math.max(0, (line - 6) * 20);
  }
}

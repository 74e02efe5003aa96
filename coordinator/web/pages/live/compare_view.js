// Two merges side by side: which, and then what differs.
import { button, h } from '../dom.js';
import { shown } from '../format.js';
import { readState } from '../view_state.js';
import { get, query } from './api.js';
import { empty, say, trouble } from './parts.js';
import { visit } from './place.js';
import { jobTitle } from './state_words.js';

export class CompareView {
  constructor() {
    this.title = 'Compare';
    this.feed = null;
    this.heading = h('h1', {}, 'Compare two merges');
    this.choices = h('datalist', { id: 'ended-jobs' });
    const field = (label) => h('input', { type: 'text', list: 'ended-jobs', 'aria-label': label, placeholder: 'A job, or the output of one', spellcheck: 'false', autocomplete: 'off' });
    this.a = field('A');
    this.b = field('B');
    this.form = h('form', { class: 'panel compare-form', onsubmit: (event) => { event.preventDefault(); this.go(); } }, h('label', { class: 'field' }, 'A', this.a), h('label', { class: 'field' }, 'B', this.b),
      h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'button go' }, 'Compare'), button('Swap', () => { [this.a.value, this.b.value] = [this.b.value, this.a.value]; this.go(); })), this.choices);
    this.body = h('div', { class: 'view' });
    this.element = h('div', { class: 'view' }, h('div', { class: 'page-head' }, h('div', {}, this.heading)), this.form, this.body);
  }

  go() {
    visit(`/compare${query({ a: this.a.value.trim(), b: this.b.value.trim() })}`);
  }

  moved() {
    return this.load();
  }

  async load() {
    const { a = '', b = '' } = readState();
    this.a.value = a;
    this.b.value = b;
    this.view = null;
    this.offer();
    if (a === '' || b === '') {
      say(this.heading, 'Compare two merges');
      this.body.replaceChildren(h('section', { class: 'panel' }, empty('Choose two merges', 'Values that differ, maps of both and of their difference, and who contributes where. A job that succeeded has \u201cCompare with\u2026\u201d on its page.')));
      return;
    }
    // Jobs by their id alone, outputs by their path or URI.
    const name = (text) => /[/:]/.test(text) ? text : `jobs/${text}`;
    let answer;
    try {
      answer = await get(`/compare${query({ a: name(a), b: name(b) })}`);
    } catch (error) {
      this.body.replaceChildren(h('section', { class: 'panel' }, trouble(error, () => this.load())));
      return;
    }
    const { compared } = await import('./live_picture.js');
    this.view = compared(answer.page);
    say(this.heading, this.view.title);
    this.body.replaceChildren(...this.view.elements);
  }

  // The latest that succeeded, to choose from.
  async offer() {
    if (this.choices.children.length > 0) return;
    try {
      const { jobs = [] } = await get(`/jobs${query({ page_size: 50, filter: 'state = SUCCEEDED' })}`);
      this.choices.replaceChildren(...jobs.map((job) => h('option', { value: job.name.replace(/^jobs\//, ''), label: `${jobTitle(job)}${job.method ? `, ${shown(job.method)}` : ''}` })));
    } catch {
      // The fields take any name.
    }
  }

  redraw() {
    if (this.view) this.view.redraw();
  }

  failed(error, again) {
    return trouble(error, again);
  }

  close() {}
}

// A recipe, and beside it what it would do; then its start.
import { button, h } from '../dom.js';
import { shown } from '../format.js';
import { readState } from '../view_state.js';
import { call, get, num } from './api.js';
import { Editor } from './editor.js';
import { say, trouble } from './parts.js';
import { jobPath, visit } from './place.js';
import { PlanPanel } from './plan_panel.js';

const PLAN_AFTER = 600;
const LARGEST = 1 << 20;

// A double click, or an answer that was lost, makes one job.
function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// "sweep=7, night=1" -> { sweep: '7', night: '1' }
function labelsOf(text) {
  const out = {};
  for (const part of text.split(/[,\s]+/).filter(Boolean)) {
    const at = part.indexOf('=');
    out[at < 0 ? part : part.slice(0, at)] = at < 0 ? '' : part.slice(at + 1);
  }
  return out;
}

export class SubmitView {
  constructor(session) {
    this.title = 'Submit a merge';
    this.feed = null;
    this.session = session;
    this.request = requestId();
    this.source = h('p');
    this.file = h('input', { type: 'file', class: 'unseen', tabindex: '-1', 'aria-label': 'Recipe file', accept: '.yaml,.yml,.txt', onchange: () => { if (this.file.files[0]) this.open(this.file.files[0]); } });
    this.editor = new Editor(() => this.changed());
    this.editor.onfile = (file) => this.open(file);
    this.plan = new PlanPanel((line) => this.editor.select(line));
    const field = (name, label, attributes) => {
      this[name] = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...attributes, oninput: () => this.changed() });
      return h('label', { class: 'field' }, label, this[name]);
    };
    const form = h('div', { class: 'form' },
      field('output', 'Output folder or URI', { placeholder: '/shared/merged/name', name: 'output' }),
      field('priority', 'Priority', { type: 'number', value: '0', step: '1', min: '-1000', max: '1000', name: 'priority' }),
      field('name', 'Name', { maxlength: '128', name: 'name', placeholder: 'the recipe\u2019s file name' }),
      field('labels', 'Labels', { placeholder: 'sweep=7', name: 'labels' }),
      field('folders', 'Folders where relative model paths are looked for', { placeholder: 'none: paths are absolute', name: 'folders' }));
    this.replace = h('input', { type: 'checkbox', name: 'overwrite', onchange: () => this.changed() });
    form.append(h('label', { class: 'check' }, this.replace, 'Replace what is at the output'));
    this.why = h('p', { class: 'small soft', id: 'why-not' });
    this.start = h('button', { type: 'button', class: 'button go', 'aria-describedby': 'why-not', onclick: () => this.submit() }, 'Start the merge');
    this.plan.foot.append(this.why, h('span', { class: 'grow' }), this.start);
    this.element = h('div', { class: 'view' }, h('div', { class: 'page-head' }, h('div', {}, h('h1', {}, 'Submit a merge'), h('p', { class: 'facts' }, 'The recipe is planned while you type. Nothing is written until you start.'))),
      h('div', { class: 'submit-columns' }, h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Recipe'), this.source, h('span', { class: 'grow' }), this.file,
        button('Open a file\u2026', () => this.file.click(), { class: 'button small' }), h('a', { class: 'button small', href: '/jobs', title: 'A job\u2019s page has \u201cSubmit again\u201d' }, 'From a past job\u2026')),
      this.editor.element, form), this.plan.element));
    this.ready();
  }

  async load() {
    const { from } = readState();
    if (!from) return;
    const job = await get(jobPath(from.startsWith('jobs/') ? from : `jobs/${from}`));
    this.editor.text = job.recipe || '';
    this.output.value = job.output_uri || '';
    this.name.value = job.display_name || '';
    this.priority.value = String(job.priority || 0);
    this.folders.value = (job.directories || []).join(' ');
    this.labels.value = Object.entries(job.labels || {}).map(([key, value]) => `${key}=${value}`).join(', ');
    this.replace.checked = job.overwrite === true;
    say(this.source, shown(job.recipe_source || ''));
    this.recipeSource = job.recipe_source;
    this.changed();
  }

  async open(file) {
    if (file.size > LARGEST) return this.refuse('A recipe has at most 1 MiB.');
    this.editor.text = await file.text();
    this.recipeSource = file.name;
    say(this.source, shown(file.name));
    return this.changed();
  }

  refuse(words) {
    say(this.why, words);
  }

  body() {
    // One folder at least is asked for; of a recipe with absolute paths it does not matter which.
    const folders = this.folders.value.split(/\s+/).filter(Boolean);
    return {
      recipe: this.editor.text, recipe_source: this.recipeSource || '', directories: folders.length > 0 ? folders : ['/'],
      output_uri: this.output.value.trim(),
    };
  }

  changed() {
    clearTimeout(this.timer);
    this.planned = false;
    this.editor.mark(new Map());
    this.ready();
    if (this.editor.text.trim() === '') {
      this.plan.nothing();
      return;
    }
    this.timer = setTimeout(() => this.ask(), PLAN_AFTER);
  }

  // An older answer never stands over a newer one.
  async ask() {
    if (this.abort) this.abort.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.plan.working();
    this.ready();
    try {
      const plan = await call('POST', '/plan', { ...this.body(), page_size: 1 }, abort.signal);
      if (this.abort !== abort) return;
      this.plan.show(plan);
      this.editor.mark(new Map((plan.warnings || []).filter((each) => num(each.line) > 0).map((each) => [num(each.line), 'warn'])));
      this.planned = true;
    } catch (error) {
      if (error.name === 'AbortError' || this.abort !== abort) return;
      this.plan.error(error);
      if (num(error.metadata && error.metadata.line) > 0) this.editor.mark(new Map([[num(error.metadata.line), 'bad']]));
      if (error.code === 429 || error.code === 503 || error.code === 0) this.timer = setTimeout(() => this.ask(), (error.retry || 5) * 1000);
    }
    this.ready();
  }

  // Why it cannot be started stands beside the button.
  ready() {
    const roles = this.session && this.session.roles || [];
    const may = roles.length === 0 || roles.includes('submit') || roles.includes('admin');
    const why = this.sent ? 'It is on its way.' : !may ? 'This token may look, not submit. Ask for one with the role submit.' : this.editor.text.trim() === '' ? 'There is no recipe yet.'
      : this.output.value.trim() === '' ? 'Say where the output is to go.' : !this.planned ? 'The plan is not made yet, or has an error.' : '';
    this.start.disabled = why !== '';
    say(this.why, why);
  }

  async submit() {
    if (this.sent) return;
    this.sent = true;
    this.ready();
    try {
      const job = await call('POST', '/jobs', { ...this.body(), overwrite: this.replace.checked, request_id: this.request, priority: Number(this.priority.value) || 0,
        display_name: this.name.value.trim(), labels: labelsOf(this.labels.value) });
      visit(jobPath(job.name));
    } catch (error) {
      this.sent = false;
      // Refused: what is sent next may be another request. Unheard: the same one.
      if (error.code >= 400 && error.code < 500) this.request = requestId();
      this.ready();
      this.plan.error(error);
    }
  }

  failed(error, again) {
    return trouble(error, again);
  }

  moved() {
    return this.load();
  }

  close() {
    clearTimeout(this.timer);
    if (this.abort) this.abort.abort();
  }
}

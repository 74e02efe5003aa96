// The list of jobs: filtered, ordered and paged by the coordinator; what runs changes in place.
import { button, h } from '../dom.js';
import { count, plural, sentence } from '../format.js';
import { readState } from '../view_state.js';
import { get, num, query, serverNow, when } from './api.js';
import { JobRow } from './job_row.js';
import { attribute, empty, Rows, say, show, skeleton, trouble } from './parts.js';
import { exchange, visit } from './place.js';
import { Strip } from './strip.js';

const PAGE = 50;

// What a chip puts before the text of the filter.
const CHIPS = [
  ['All', '', null],
  ['Active', '(state = PLANNING OR state = RUNNING OR state = PUBLISHING)', ['PLANNING', 'RUNNING', 'PUBLISHING']],
  ['Queued', 'state = QUEUED', ['QUEUED']],
  ['Failed', 'state = FAILED', ['FAILED']],
  ['Ended', '(state = SUCCEEDED OR state = FAILED OR state = CANCELLED)', ['SUCCEEDED', 'FAILED', 'CANCELLED']],
];

const COLUMNS = [['Job', 'display_name'], ['Progress', null], ['Left or taken', null], ['Age', 'create_time'], ['By', 'owner']];

// The chip that a filter begins with, and the rest.
function taken(filter) {
  for (let i = CHIPS.length - 1; i > 0; i -= 1) {
    if (filter === CHIPS[i][1] || filter.startsWith(`${CHIPS[i][1]} `)) return [i, filter.slice(CHIPS[i][1].length).trim()];
  }
  return [0, filter];
}

export class JobsView {
  constructor() {
    this.title = 'Jobs';
    this.feed = 'view=jobs';
    this.strip = new Strip();
    this.chips = CHIPS.map(([label], i) => {
      const number = h('i');
      return { number, element: h('button', { type: 'button', onclick: () => this.chip(i) }, label, number) };
    });
    this.search = h('input', { type: 'search', class: 'find', size: '34', placeholder: 'Text, owner = "sweeps", labels.run = 7', 'aria-label': 'Find jobs', 'aria-describedby': 'find-problem' });
    this.problem = h('p', { class: 'bad small', id: 'find-problem', role: 'alert' });
    this.heads = COLUMNS.map(([label, key]) => h('th', { scope: 'col' }, key ? h('button', { type: 'button', onclick: () => this.order(key) }, label) : label));
    this.body = h('tbody');
    this.rows = new Rows(this.body, (job) => job.name, (job) => new JobRow(job));
    this.news = button('', () => this.newest(), { class: 'button small news', hidden: true });
    this.range = h('span', { role: 'status' });
    this.newer = button('Newer', () => history.back(), { class: 'button small' });
    this.older = button('Older', () => this.turn(), { class: 'button small' });
    this.table = h('div', {}, h('div', { class: 'wide' }, h('table', { class: 'jobs cards' }, h('caption', { class: 'unseen' }, 'Jobs'),
      h('thead', {}, h('tr', {}, this.heads)), this.body)),
    h('div', { class: 'pager' }, this.range, h('span', { class: 'grow' }), this.newer, this.older));
    this.nothing = h('div', { hidden: true });
    this.panel = h('section', { class: 'panel', 'aria-label': 'List of jobs' }, h('div', { class: 'head tools-head' },
      h('div', { class: 'choices', role: 'group', 'aria-label': 'Filter by state' }, this.chips.map((chip) => chip.element)), h('span', { class: 'grow' }),
      h('form', { class: 'find-form', role: 'search', onsubmit: (event) => { event.preventDefault(); this.find(); } }, this.search)),
    this.problem, this.table, this.nothing);
    this.search.addEventListener('input', () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.find(), 500);
    });
    this.waiting = skeleton(8, 'the jobs');
    this.panel.hidden = true;
    this.element = h('div', { class: 'view' },
      h('div', { class: 'page-head' }, h('div', {}, h('h1', {}, 'Jobs')), h('div', { class: 'actions' }, h('a', { class: 'button go', href: '/submit' }, 'Submit a merge'))),
      this.strip.element, this.panel, this.news);
    this.unseen = new Set();
  }

  // What the address asks for.
  get asked() {
    const { filter = '', order_by: order = '', page_token: token = '' } = readState();
    return { filter, order, token };
  }

  go(changes) {
    clearTimeout(this.typing);
    const asked = { filter: this.asked.filter, order_by: this.asked.order, ...changes };
    exchange(`/jobs${query(asked)}`);
  }

  chip(i) {
    this.go({ filter: [CHIPS[i][1], taken(this.asked.filter)[1]].filter(Boolean).join(' ') });
  }

  find() {
    const filter = [CHIPS[taken(this.asked.filter)[0]][1], this.search.value.trim()].filter(Boolean).join(' ');
    if (filter !== this.asked.filter) this.go({ filter });
  }

  order(key) {
    const down = this.asked.order === `${key} desc` || (this.asked.order === '' && key === 'create_time');
    const first = key.endsWith('_time') ? ` desc` : '';
    this.go({ order_by: this.asked.order === '' && key !== 'create_time' ? key + first : down ? key : `${key} desc` });
  }

  turn() {
    const from = (history.state && history.state.from) || 0;
    visit(`/jobs${query({ filter: this.asked.filter, order_by: this.asked.order, page_token: this.next })}`, { from: from + this.shown, before: true });
    scrollTo(0, 0);
  }

  newest() {
    scrollTo(0, 0);
    if (this.asked.token) this.go({});
    else this.load();
  }

  // The address changed, within this view.
  moved() {
    return this.load();
  }

  async load() {
    const asked = this.asked;
    const [chip, text] = taken(asked.filter);
    this.chips.forEach(({ element }, i) => attribute(element, 'aria-pressed', i === chip));
    if (document.activeElement !== this.search) this.search.value = text;
    this.heads.forEach((head, i) => {
      const key = COLUMNS[i][1];
      const order = asked.order || 'create_time desc';
      if (key && order.split(' ')[0] === key) head.setAttribute('aria-sort', order.endsWith(' desc') ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    if (this.abort) this.abort.abort();
    const abort = new AbortController();
    this.abort = abort;
    const cluster = this.cluster ? null : get('/cluster').then((each) => this.setCluster(each)).catch(() => {});
    try {
      const answer = await get(`/jobs${query({ page_size: PAGE, page_token: asked.token, filter: asked.filter, order_by: asked.order })}`, abort.signal);
      this.asOf = serverNow();
      this.showJobs(answer, asked);
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.code !== 400) throw error;
      // The filter: what the server says of it stands under the box, and the list stays.
      say(this.problem, sentence(error.message));
      show(this.panel, true);
    }
    await cluster;
  }

  showJobs(answer, asked) {
    const jobs = answer.jobs || [];
    say(this.problem, '');
    show(this.panel, true);
    this.rows.set(jobs);
    this.unseen.clear();
    show(this.news, false);
    this.next = answer.next_page_token || '';
    this.shown = jobs.length;
    const state = history.state || {};
    const from = asked.token ? state.from : 0;
    this.total = Math.max(num(answer.total_size), (from || 0) + jobs.length);
    const ordered = !asked.order || asked.order === 'create_time desc' ? ', newest first' : '';
    say(this.range, jobs.length === 0 ? 'None' : from === undefined ? `${count(jobs.length)} of ${count(this.total)}${ordered}`
      : `${count(from + 1)} to ${count(from + jobs.length)} of ${count(this.total)}${ordered}`);
    // Without a page before in this tab's history there is the first one to go to.
    this.newer.onclick = state.before ? null : () => this.go({});
    this.newer.disabled = !asked.token;
    this.older.disabled = this.next === '';
    show(this.table, jobs.length > 0);
    show(this.nothing, jobs.length === 0);
    if (jobs.length === 0) this.nothing.replaceChildren(this.whyNothing(asked));
  }

  whyNothing(asked) {
    if (asked.filter === '') {
      return empty('No merge yet', 'Submit one here, or from a terminal: merganser submit recipe.yaml OUT --watch', h('a', { class: 'button go', href: '/submit' }, 'Submit a merge'));
    }
    return empty(`No job matches \u201c${sentence(taken(asked.filter)[1] || CHIPS[taken(asked.filter)[0]][0].toLowerCase())}\u201d`,
      this.cluster ? `${plural(this.all, 'job')} ${this.all === 1 ? 'is' : 'are'} on record.` : '', button('Clear the filter', () => { this.search.value = ''; this.go({ filter: '' }); }));
  }

  setCluster(cluster) {
    this.cluster = cluster;
    this.strip.set(cluster);
    const jobs = cluster.jobs || {};
    const of = (states) => states.reduce((sum, state) => sum + num(jobs[state]), 0);
    this.all = of(Object.keys(jobs));
    this.chips.forEach(({ number }, i) => say(number, count(CHIPS[i][2] === null ? this.all : of(CHIPS[i][2]))));
    this.busy = num(cluster.bytes_read_per_second) + num(cluster.bytes_written_per_second) > 0;
  }

  apply(events) {
    let cluster = null;
    const changed = new Map();
    for (const [name, data] of events) {
      if (name === 'cluster') cluster = data;
      if (name !== 'jobs') continue;
      for (const job of data.jobs || []) changed.set(job.name, job);
      for (const gone of data.removed || []) {
        const row = this.rows.rows.get(gone);
        if (row) row.gone();
      }
      if (data.cluster) cluster = data.cluster;
    }
    for (const job of changed.values()) {
      if (this.rows.update(job) === null && when(job.create_time) > this.asOf - 5000) this.unseen.add(job.name);
    }
    if (cluster !== null) this.setCluster(cluster);
    if (this.unseen.size > 0) this.announce();
  }

  // New jobs come into the list only where nobody is reading it: at its top.
  announce() {
    const { order, token } = this.asked;
    const top = token === '' && scrollY < 120 && (order === '' || order === 'create_time desc') && !this.body.matches(':hover, :focus-within');
    say(this.news, `${count(this.unseen.size)} new ${this.unseen.size === 1 ? 'job' : 'jobs'}`);
    show(this.news, !top);
    if (!top || this.soon) return;
    this.soon = setTimeout(() => {
      this.soon = undefined;
      this.load().catch(() => {});
    }, 300);
  }

  tick() {
    for (const row of this.rows.rows.values()) row.tick();
  }

  failed(error, again) {
    this.panel.hidden = true;
    return trouble(error, again);
  }

  close() {
    clearTimeout(this.typing);
    clearTimeout(this.soon);
    if (this.abort) this.abort.abort();
  }
}

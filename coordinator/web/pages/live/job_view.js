// A job: while it runs how long still and why, the picture filling in, workers and events; ended, its
// report, and the way there folded below.
import { button, h } from '../dom.js';
import { count, plural, sentence, shown, time } from '../format.js';
import { call, get, num, query } from './api.js';
import { ask } from './dialogs.js';
import { glyph } from './glyph.js';
import { Happened } from './happened.js';
import { JobWorkers, Slowest } from './job_workers.js';
import { OverTime } from './over_time.js';
import { empty, exchangeChildren, say, trouble } from './parts.js';
import { jobPath, visit } from './place.js';
import { Progress } from './progress.js';
import { failure, fraction, isEnded, jobTitle, modelNames, ownerFilter, remedy, stateWord, waits } from './state_words.js';
import { WhereTimeGoes } from './where_time_goes.js';

// The least time between two requests for the same.
const ACTIVITY_EVERY = 2000;
const PICTURE_EVERY = 2000;

// Calls `ask` soon, never twice within `every` milliseconds or ten times what it takes, and never twice
// at once.
function paced(every, ask) {
  let last = 0;
  let pause = every;
  let timer;
  let running = false;
  let again = false;
  const run = async () => {
    timer = undefined;
    running = true;
    last = Date.now();
    try {
      await ask();
    } catch {
      // What is shown stays; the next event asks again.
    }
    running = false;
    pause = Math.max(every, 10 * (Date.now() - last));
    if (again) {
      again = false;
      soon();
    }
  };
  const soon = () => {
    if (running) again = true;
    else if (timer === undefined) timer = setTimeout(run, Math.max(0, last + pause - Date.now()));
  };
  return { soon, stop: () => clearTimeout(timer) };
}

export class JobView {
  // `session`: who looks; it may lack the role to change anything.
  constructor(name, session) {
    this.name = name;
    this.path = jobPath(name);
    this.title = name;
    this.feed = `view=job&name=${encodeURIComponent(name)}`;
    this.session = session;
    this.heading = h('h1', {}, shown(name));
    this.sign = h('span', { class: 'sign' });
    this.word = h('b');
    this.facts = h('p', { class: 'facts' });
    this.actions = h('div', { class: 'actions' });
    this.body = h('div', { class: 'view' });
    this.element = h('div', { class: 'view' }, h('div', { class: 'page-head' }, h('div', {}, h('p', { class: 'small' }, h('a', { href: '/jobs' }, 'Jobs')), this.heading, this.facts), this.actions), this.body);
    this.askActivity = paced(ACTIVITY_EVERY, () => this.loadActivity());
    this.askPicture = paced(PICTURE_EVERY, () => this.loadPicture());
  }

  async load() {
    const job = await get(this.path);
    this.job = { ...this.job, ...job };
    this.show();
    // What fails of these says so in its place, and the rest stands.
    await Promise.all([this.loadActivity().catch((error) => this.happened.fail(error, () => this.askActivity.soon())), this.loadPicture().catch(() => {})]);
  }

  poll() {
    return this.load();
  }

  failed(error, again) {
    if (error.code !== 404) return trouble(error, again);
    return h('section', { class: 'panel' }, empty('No job of this name', 'It never was, or it ended long ago and was removed. Its report, if the merge succeeded, still stands at its output.', h('a', { class: 'button', href: '/jobs' }, 'All jobs')));
  }

  async loadActivity() {
    this.activity = await get(`${this.path}/activity`);
    this.showActivity();
  }

  show() {
    const { job } = this;
    this.title = jobTitle(job);
    document.title = `${this.title} \u00b7 merganser`;
    say(this.heading, this.title);
    const kind = isEnded(job) ? job.state : 'GOING';
    if (kind !== this.kind) this.arrange(kind);
    this.showFacts();
    this.showActions();
    if (kind === 'GOING') this.progress.set(job, this.activity);
    if (this.activity && this.chart) this.chart.set(job, this.activity);
    this.busy = job.state === 'RUNNING' && num(job.pace && job.pace.bytes_read_per_second) + num(job.pace && job.pace.bytes_written_per_second) > 0;
  }

  showFacts() {
    const { job } = this;
    const sign = waits(job) ? 'WAITING' : job.state;
    const key = JSON.stringify([sign, Math.round(fraction(job) * 50), job.cancelling, job.priority, job.owner, job.labels, job.method, job.models, job.output_uri]);
    exchangeChildren(this.facts, key, () => [
      h('span', { class: `state state-${sign.toLowerCase()}` }, glyph(sign, fraction(job)), job.cancelling && !isEnded(job) ? 'Cancelling\u2026' : stateWord(job)),
      job.method ? h('span', {}, h('b', {}, shown(job.method))) : null,
      (job.models || []).length > 0 ? h('span', {}, `${plural(job.models.length, 'model')}: `, h('b', {}, modelNames(job))) : null,
      job.owner ? h('span', {}, 'by ', h('a', { href: `/jobs?filter=${encodeURIComponent(ownerFilter(job.owner))}` }, shown(job.owner))) : null,
      h('span', {}, 'priority ', h('b', {}, String(job.priority || 0))),
      Object.entries(job.labels || {}).map(([label, value]) => h('span', { class: 'tag' }, `${shown(label)}=${shown(value)}`)),
      h('span', {}, 'to ', h('b', {}, shown(job.output_uri))),
      h('code', {}, shown(job.name))]);
  }

  showActions() {
    const { job } = this;
    const may = !this.session || (this.session.roles || []).length === 0 || this.session.roles.some((role) => role === 'submit' || role === 'admin');
    exchangeChildren(this.actions, JSON.stringify([this.kind, job.cancelling, may]), () => {
      const id = job.name.replace(/^jobs\//, '');
      const again = h('a', { class: 'button', href: `/submit?from=${encodeURIComponent(id)}` }, 'Submit again');
      if (!may) return [h('p', { class: 'small soft' }, 'This token may look, not change.')];
      if (!isEnded(job)) {
        return [again, job.state === 'QUEUED' || job.state === 'RUNNING' ? button('Priority\u2026', () => this.prioritise()) : null,
          job.cancelling ? button('Cancelling\u2026', () => {}, { class: 'button no', disabled: true }) : button('Cancel\u2026', () => this.cancel(), { class: 'button no' })];
      }
      return [again, job.state === 'SUCCEEDED' ? [h('a', { class: 'button', href: `/compare?a=${encodeURIComponent(id)}` }, 'Compare with\u2026'),
        h('a', { class: 'button', href: `/api/v1${this.path}/report.html`, download: `${id}.html` }, 'Save as one file')] : null,
      button('Remove\u2026', () => this.remove(), { class: 'button' })];
    });
  }

  cancel() {
    const progress = this.job.progress || {};
    const written = num(progress.units_done);
    return ask({
      title: `Cancel ${jobTitle(this.job)}?`, does: 'Cancel the merge', keep: 'Let it run',
      words: written > 0 ? `${count(written)} of ${count(num(progress.units_total))} units are done. They are removed; nothing of the output was visible yet.` : 'Nothing was written yet.',
      act: async () => {
        const job = await call('POST', `${this.path}:cancel`, {});
        this.take({ ...job, cancelling: !isEnded(job) });
      },
    });
  }

  prioritise() {
    return ask({
      title: 'Priority', words: 'Of two jobs the one with the higher number goes first.', does: 'Set', keep: 'Leave it',
      body: h('p', {}, h('label', { class: 'field' }, 'Priority', h('input', { type: 'number', name: 'priority', step: '1', min: '-1000', max: '1000', value: String(this.job.priority || 0) }))),
      act: async (form) => this.take(await call('POST', `${this.path}:setPriority`, { priority: Number(form.get('priority')) })),
    });
  }

  async remove() {
    const done = await ask({
      title: `Remove ${jobTitle(this.job)} from the record?`, does: 'Remove', keep: 'Keep it',
      words: 'Its page, times and events are forgotten. What it wrote stays where it is, with its report.',
      act: () => call('DELETE', this.path),
    });
    if (done) visit('/jobs');
  }

  // What stands on the page, by whether the job goes on or how it ended.
  arrange(kind) {
    this.kind = kind;
    if (this.chart) this.chart.close();
    this.chart = new OverTime();
    this.where = new WhereTimeGoes();
    this.happened = new Happened();
    this.workers = null;
    this.picture = null;
    this.pictureHost = h('div', { class: 'view' });
    const times = h('div', { class: 'time-columns' }, this.chart.element, this.where.element);
    this.slowest = new Slowest();
    this.low = h('div', { hidden: true });
    this.models = h('div', { hidden: true });
    this.pair = h('div', { class: 'pair' }, this.low, this.slowest.element);
    if (kind === 'GOING') {
      this.progress = new Progress();
      this.workers = new JobWorkers();
      this.body.replaceChildren(this.progress.element, times, this.pictureHost, this.pair, this.workers.element, this.models, this.happened.element, this.recipe());
    } else if (kind === 'SUCCEEDED') {
      this.body.replaceChildren(this.pictureHost, h('details', { class: 'panel fold' }, h('summary', {}, h('h2', {}, 'Time and events'), h('span', { class: 'soft' }, 'how the merge went')),
        h('div', { class: 'view inner' }, times, this.slowest.element, this.happened.element)));
    } else {
      this.body.replaceChildren(this.ending(), times, this.pictureHost, this.pair, this.happened.element, this.recipe());
    }
    if (this.activity) this.showActivity();
  }

  ending() {
    const { job } = this;
    if (job.state === 'CANCELLED') {
      return h('div', { class: 'note' }, glyph('CANCELLED'), h('div', {}, h('p', {}, h('b', {}, 'Cancelled.'), ` ${time(job.finish_time)}. Nothing of the output became visible.`)));
    }
    return h('div', { class: 'note bad-note' }, glyph('FAILED'), h('div', {}, h('p', {}, h('b', {}, failure(job))), h('p', {}, remedy(job)),
      job.error && job.error.reason ? h('p', { class: 'small' }, `(${shown(job.error.reason)})`) : null));
  }

  recipe() {
    const { job } = this;
    const warnings = job.warnings || [];
    return h('details', { class: 'panel fold' }, h('summary', {}, h('h2', {}, 'Recipe and warnings'), h('span', { class: 'soft' }, `${shown(job.recipe_source || 'as it was given')}, ${plural(warnings.length, 'warning')}`)),
      h('div', {}, warnings.length > 0 ? h('ul', { class: 'warnings' }, warnings.map((text) => h('li', {}, sentence(text)))) : null,
        h('pre', {}, h('code', {}, String(job.recipe || '').split('\n').map(shown).join('\n')))));
  }

  showActivity() {
    const { activity, job } = this;
    const rounds = activity.rounds || [];
    this.chart.set(job, activity);
    this.where.set(activity);
    this.happened.set(activity.event_kinds || []);
    this.slowest.set(activity.slowest || [], rounds.length);
    if (this.workers) this.workers.set(activity.workers || []);
    if (this.kind === 'GOING') this.progress.set(job, activity);
    if (this.picture && this.kind === 'GOING') this.picture.setBusy(this.heldTensors());
  }

  heldTensors() {
    return (this.activity && this.activity.workers || []).flatMap((worker) => (worker.holds || []).map((held) => held.tensor)).filter(Boolean);
  }

  async loadPicture() {
    if (this.job.state === 'QUEUED' || this.job.state === 'PLANNING') return;
    const kind = this.kind;
    // Only a merge that succeeded has a report.
    if (kind !== 'GOING' && kind !== 'SUCCEEDED') return;
    let answer;
    try {
      answer = await get(`${this.path}/picture${query({ since: this.picture ? this.version : '' })}`);
    } catch (error) {
      if (kind !== this.kind) return;
      if (error.code === 404) {
        // Where it comes back it is shown anew.
        this.picture = null;
        this.pictureHost.replaceChildren(...kind === 'SUCCEEDED' ? [h('section', { class: 'panel' }, empty('The report is gone', `It stood with the output, ${shown(this.job.output_uri)}, which cannot be read any more. ${shown(error.message)}`))] : []);
        return;
      }
      this.pictureHost.replaceChildren(trouble(error, () => this.askPicture.soon()));
      throw error;
    }
    if (!answer.page || kind !== this.kind) return;
    const { LivePicture, ended } = await import('./live_picture.js');
    this.version = answer.version;
    if (kind === 'SUCCEEDED') {
      this.picture = ended(answer.page);
      this.pictureHost.replaceChildren(...this.picture.elements);
      this.picture.setBusy = () => {};
      return;
    }
    if (this.picture === null) {
      this.picture = new LivePicture();
      this.pictureHost.replaceChildren(this.picture.element);
      this.low.replaceWith(this.picture.low);
      this.low = this.picture.low;
      this.models.replaceWith(this.picture.models);
      this.models = this.picture.models;
      if (kind === 'GOING') this.picture.setBusy(this.heldTensors());
    }
    this.picture.update(answer.page, kind === 'GOING');
  }

  // A job as an answer or event has it: what it leaves out (the recipe) stays.
  take(job) {
    const before = this.job;
    this.job = { ...before, ...job, recipe: job.recipe || before.recipe };
    this.show();
    if (before.state !== this.job.state) {
      this.askActivity.soon();
      this.askPicture.soon();
    }
  }

  apply(events) {
    const newest = {};
    for (const [name, data] of events) newest[name] = data;
    if (newest.job) this.take(newest.job);
    if (newest.activity) this.askActivity.soon();
    if (newest.picture) this.askPicture.soon();
  }

  // Seconds of silence: "as of" beside the time left.
  stale(at) {
    if (this.kind === 'GOING' && this.progress) this.progress.stale(at);
  }

  tick() {
    if (this.happened) this.happened.tick();
    if (this.workers) this.workers.tick();
  }

  redraw() {
    if (this.picture) this.picture.redraw();
  }

  // The address changed within the view: another pinned tensor.
  moved() {
    return this.load();
  }

  close() {
    this.askActivity.stop();
    this.askPicture.stop();
    if (this.chart) this.chart.close();
  }
}

// One row of the list of jobs.
import { h } from '../dom.js';
import { age, DASH, shown, time } from '../format.js';
import { serverNow, when } from './api.js';
import { glyph } from './glyph.js';
import { attribute, exchangeChildren, mark, Meter, moment, say, show } from './parts.js';
import { jobPath } from './place.js';
import { fraction, jobTitle, modelNames, ownerFilter, rowWords, stateWord, waits } from './state_words.js';

export class JobRow {
  constructor(job) {
    this.sign = h('span', { class: 'sign' });
    this.link = h('a', { class: 'job-name', href: jobPath(job.name) });
    this.word = h('span');
    this.about = h('span');
    this.main = h('div', { class: 'why' });
    this.meter = new Meter();
    this.second = h('p', { class: 'small soft' });
    this.left = h('td', { class: 'left', 'data-label': 'Left or taken' });
    this.age = h('td', { class: 'age', 'data-label': 'Age' });
    this.owner = h('a', { class: 'owner' });
    this.element = h('tr', {},
      h('td', {}, h('div', { class: 'job-cell' }, this.sign, this.link, h('p', { class: 'small soft' }, this.word, this.about))),
      h('td', { class: 'full' }, this.main, this.meter.element, this.second),
      this.left, this.age, h('td', { class: 'minor' }, this.owner));
  }

  update(job) {
    this.job = job;
    const words = rowWords(job);
    const part = fraction(job);
    const sign = waits(job) ? 'WAITING' : job.state;
    exchangeChildren(this.sign, `${sign} ${sign === 'RUNNING' ? Math.round(part * 50) : 0}`, () => glyph(sign, part));
    say(this.link, jobTitle(job));
    say(this.word, stateWord(job));
    mark(this.word, 'bad', job.state === 'FAILED');
    mark(this.word, 'warn', sign === 'WAITING');
    say(this.about, [job.method, modelNames(job)].filter(Boolean).map((text) => ` \u00b7 ${shown(text)}`).join(''));
    say(this.main, words.main);
    attribute(this.main, 'title', words.main);
    mark(this.main, 'bad', words.tone === 'bad');
    mark(this.main, 'warn', words.tone === 'warn');
    show(this.meter.element, words.bar === true);
    mark(this.meter.element, 'halted', words.tone === 'warn');
    if (words.bar) this.meter.set([[1, part]]);
    say(this.second, words.second);
    say(this.left, words.left);
    mark(this.left, 'nothing', words.left === DASH);
    if (job.owner) attribute(this.owner, 'href', `/jobs?filter=${encodeURIComponent(ownerFilter(job.owner))}`);
    say(this.owner, shown(job.owner || ''));
    moment(this.age, job.create_time);
    this.tick();
  }

  tick() {
    const created = when(this.job.create_time);
    const old = (serverNow() - created) / 1000;
    say(this.age, Number.isNaN(created) ? DASH : old < 86400 ? age(old) : time(this.job.create_time).split(',')[0]);
  }

  // It was removed from the record: its row says so until the list is asked for again.
  gone() {
    mark(this.element, 'gone', true);
    say(this.second, 'removed from the record');
  }
}

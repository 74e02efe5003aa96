// What happened: events folded by kind, the newest kind first. Open, a kind says what it means, its
// latest line, what to do, and the last twenty of it.
import { h } from '../dom.js';
import { plural, sentence, shown, time } from '../format.js';
import { num, serverNow, when } from './api.js';
import { glyph } from './glyph.js';
import { exchangeChildren, moment, Rows, say, show, trouble } from './parts.js';
import { agoText, eventTitle, isCalm, times } from './state_words.js';

class Kind {
  constructor(kind) {
    this.title = h('b');
    this.tag = h('span', { class: 'tag' });
    this.last = h('span', { class: 'number soft event-last' });
    this.means = h('p');
    this.raw = h('pre');
    this.advice = h('p');
    this.recent = h('ul', { class: 'small soft recent' });
    this.element = h('details', {}, h('summary', {}, glyph(isCalm(kind.kind) ? 'QUEUED' : 'WAITING'), h('span', {}, this.title), this.tag, this.last),
      h('div', { class: 'event-in' }, this.means, this.raw, this.advice, this.recent));
    this.element.addEventListener('toggle', () => this.fill());
  }

  update(kind) {
    this.kind = kind;
    say(this.title, eventTitle(kind.kind));
    say(this.tag, times(num(kind.count)));
    moment(this.last, kind.last);
    this.tick();
    if (this.element.open) this.fill();
  }

  fill() {
    const { kind } = this;
    // They come with the oldest first.
    const recent = [...kind.recent || []].reverse();
    say(this.means, sentence(kind.means || ''));
    show(this.means, Boolean(kind.means));
    say(this.raw, recent.length > 0 ? shown(recent[0].text) : '');
    show(this.raw, recent.length > 0);
    exchangeChildren(this.advice, kind.advice || '', () => kind.advice ? [h('b', {}, 'What to do: '), sentence(kind.advice)] : []);
    show(this.advice, Boolean(kind.advice));
    exchangeChildren(this.recent, `${recent.length} ${kind.last}`, () => recent.slice(1).map((each) =>
      h('li', {}, h('span', { title: time(each.time) }, each.time ? new Date(each.time).toLocaleTimeString() : ''), ` \u00b7 ${shown(each.text)}`)));
    show(this.recent, recent.length > 1);
  }

  tick() {
    say(this.last, `last ${agoText(when(this.kind.last), serverNow())}`);
  }
}

export class Happened {
  constructor() {
    this.note = h('p');
    this.list = h('div', { class: 'events' });
    this.rows = new Rows(this.list, (kind) => kind.kind, (kind) => new Kind(kind));
    this.none = h('p', { class: 'soft' }, 'Nothing yet.');
    this.problem = h('div');
    this.element = h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'What happened'), this.note), this.problem, this.list, this.none);
  }

  // They could not be had; what was shown before stays.
  fail(error, again) {
    this.problem.replaceChildren(trouble(error, again));
    show(this.none, false);
  }

  set(kinds) {
    this.problem.replaceChildren();
    const list = [...kinds].sort((a, b) => (when(b.last) || 0) - (when(a.last) || 0));
    const all = list.reduce((sum, kind) => sum + num(kind.count), 0);
    say(this.note, list.length === 0 ? '' : `${plural(all, 'event')} of ${plural(list.length, 'kind')}, newest kind first`);
    show(this.none, list.length === 0);
    // Under the pointer nothing changes places.
    const known = this.list.matches(':hover, :focus-within') && list.every((kind) => this.rows.rows.has(kind.kind));
    if (known) for (const kind of list) this.rows.update(kind);
    else this.rows.set(list);
  }

  tick() {
    for (const row of this.rows.rows.values()) row.tick();
  }
}

// Pieces of the live views. They touch an element only where what it says changed: nothing moves
// that did not change.
import { button, h } from '../dom.js';
import { shown, time } from '../format.js';

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, on) {
  if (element.classList.contains(name) !== on) element.classList.toggle(name, on);
}

export function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function show(element, on) {
  if (element.hidden === on) element.hidden = !on;
}

const held = new WeakMap();

// Exchanges what an element holds, where `key` is another than last time.
export function exchangeChildren(element, key, make) {
  if (held.get(element) === key) return;
  held.set(element, key);
  element.replaceChildren(...[make()].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

// Rows by their keys: those that stay keep their elements, and their place where it did not change.
export class Rows {
  // make(item) -> { element, update(item) }
  constructor(host, key, make) {
    this.host = host;
    this.key = key;
    this.make = make;
    this.rows = new Map();
  }

  set(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let at = this.host.firstElementChild;
    for (const item of items) {
      const row = this.update(item) || this.add(item);
      if (row.element === at) at = at.nextElementSibling;
      else this.host.insertBefore(row.element, at);
    }
  }

  add(item) {
    const row = this.make(item);
    row.update(item);
    this.rows.set(this.key(item), row);
    return row;
  }

  // Of a row that stands; null where there is none.
  update(item) {
    const row = this.rows.get(this.key(item));
    if (row === undefined) return null;
    row.update(item);
    return row;
  }
}

// Figures that change: [key, term].
export class LiveFigures {
  constructor(list) {
    this.places = new Map(list.map(([key, term]) => [key, { strong: h('strong'), note: h('small'), term }]));
    this.element = h('ul', { class: 'figures live-figures' }, [...this.places].map(([key, { strong, note, term }]) =>
      h('li', { class: `figure-${key}` }, h('span', { class: 'term' }, term), strong, note)));
  }

  set(key, value, note) {
    const place = this.places.get(key);
    say(place.strong, value);
    say(place.note, note || '');
  }
}

// A bar of parts, each with its width and how far it is filled.
export class Meter {
  constructor(name) {
    this.element = h('div', { class: name ? `meter ${name}` : 'meter', 'aria-hidden': 'true' });
  }

  // [[weight, fraction]]
  set(parts) {
    while (this.element.children.length > parts.length) this.element.lastChild.remove();
    while (this.element.children.length < parts.length) this.element.append(h('i', {}, h('b')));
    parts.forEach(([weight, part], i) => {
      const element = this.element.children[i];
      const key = `${weight.toFixed(4)} ${part.toFixed(4)}`;
      if (element.dataset.key === key) return;
      element.dataset.key = key;
      element.style.setProperty('flex-grow', Math.max(weight, 0.02));
      element.firstChild.style.setProperty('width', `${Math.max(0, Math.min(1, part)) * 100}%`);
    });
  }
}

// A time as people read it beside the full one.
export function moment(element, text) {
  attribute(element, 'title', text ? `${time(text)}; ${new Date(text).toLocaleString()} here` : '');
}

export function skeleton(lines, what) {
  return h('section', { class: 'panel skeleton', 'aria-busy': 'true' }, Array.from({ length: lines }, (_, i) => h('div', { class: `bone bone-${i % 3}` })),
    h('p', { class: 'small soft' }, `Loading ${what}\u2026`));
}

// A component that failed says so, and offers to try again.
export function trouble(error, again) {
  return h('div', { class: 'note bad-note', role: 'alert' }, h('div', {}, h('p', {}, h('b', {}, shown(error.message))),
    error.reason ? h('p', { class: 'small' }, `(${shown(error.reason)})`) : null,
    again ? h('p', {}, button('Try again', again, { class: 'button small' })) : null));
}

export function empty(title, words, action) {
  return h('div', { class: 'empty' }, h('h2', {}, title), h('p', { class: 'soft' }, words), action);
}

// What a view shows, in its address, so that it can be sent: behind the # of a file, in the query of
// a page that a server serves. And the theme.
import { h, svg } from './dom.js';

let inQuery = false;

export function keepStateInQuery() {
  inQuery = true;
}

export function readState() {
  return Object.fromEntries(new URLSearchParams(inQuery ? location.search : location.hash.slice(1)));
}

// Changes some members; undefined removes one. Leaves the browser's history as it was.
export function writeState(changes) {
  const state = { ...readState(), ...changes };
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== undefined && value !== '')).toString();
  try {
    const path = inQuery ? location.pathname : location.pathname + location.search;
    history.replaceState(history.state, '', query === '' ? path : `${inQuery ? path : ''}${inQuery ? '?' : '#'}${query}`);
  } catch {
    // A file may not rewrite its address in every browser: the view works without.
  }
}

function remember(theme) {
  try {
    if (theme === null) return localStorage.getItem('merganser-theme');
    localStorage.setItem('merganser-theme', theme);
  } catch {
    // Storage may be forbidden; the system's theme holds then.
  }
  return null;
}

// The button that switches between light and dark; `redraw` is called when colours changed.
export function themeButton(redraw) {
  const root = document.documentElement;
  const known = remember(null);
  if (known === 'light' || known === 'dark') root.dataset.theme = known;
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  return h('button', { type: 'button', class: 'button icon', 'aria-label': 'Switch between light and dark', onclick: () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    remember(root.dataset.theme);
    redraw();
  } }, svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    svg('circle', { cx: 8, cy: 8, r: 6, class: 'stroke' }), svg('path', { d: 'M8 2a6 6 0 0 1 0 12z', class: 'filled' })));
}

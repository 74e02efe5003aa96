// A token for a session. The token is sent once and kept nowhere.
import { h } from '../dom.js';
import { sentence } from '../format.js';
import { readState } from '../view_state.js';
import { call } from './api.js';
import { say } from './parts.js';

// Where to go next: a path of ours, never another host.
function target() {
  const next = readState().next || '/jobs';
  if (!/^\/[^/\\]/.test(next)) return '/jobs';
  const url = new URL(next, location.origin);
  return url.origin === location.origin && !url.pathname.startsWith('/login') ? url.pathname + url.search : '/jobs';
}

function why() {
  const { link, next } = readState();
  if (link === 'spent') return 'This link was used already, or is too old. Sign in with a token.';
  return next ? 'Sign in to go on: you come back to the view you were at. A login ends after its time, when its token is withdrawn, and when the coordinator is started again.' : 'With a token of this coordinator.';
}

export class LoginView {
  constructor() {
    this.title = 'Sign in';
    this.feed = null;
    this.bare = true;
    this.token = h('input', { type: 'password', name: 'token', autocomplete: 'current-password', required: true, 'aria-describedby': 'login-problem' });
    this.problem = h('p', { class: 'bad', role: 'alert', id: 'login-problem' });
    this.go = h('button', { type: 'submit', class: 'button go' }, 'Sign in');
    this.element = h('div', { class: 'view login' }, h('form', { class: 'panel', onsubmit: (event) => { event.preventDefault(); this.send(); } },
      h('h1', {}, 'Sign in'), h('p', { class: 'soft' }, why()),
      // For password managers, which keep a token by its name.
      h('input', { type: 'text', name: 'username', autocomplete: 'username', value: 'merganser', hidden: true }), h('label', { class: 'field' }, 'Token', this.token), this.problem, this.go));
  }

  load() {
    this.token.focus();
    return Promise.resolve();
  }

  async send() {
    this.go.disabled = true;
    say(this.problem, '');
    try {
      await call('POST', '/session', { token: this.token.value });
      location.assign(target());
    } catch (error) {
      say(this.problem, error.code === 401 || error.code === 403 ? 'This token is not known here.' : sentence(error.message));
      this.go.disabled = false;
      this.token.select();
    }
  }

  moved() {
    return Promise.resolve();
  }

  failed(error) {
    return h('p', { class: 'bad' }, sentence(error.message));
  }

  close() {}
}

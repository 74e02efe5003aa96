// The shell round the views: header, where to go, the state of the feed, and which view is shown.
import { button, h, svg } from '../dom.js';
import { age, shown } from '../format.js';
import { keepStateInQuery, themeButton } from '../view_state.js';
import { call, get, serverNow } from './api.js';
import { Feed } from './feed.js';
import { JobsView } from './jobs_view.js';
import { LoginView } from './login_view.js';
import { attribute, mark, say, show, skeleton } from './parts.js';
import { startPlaces } from './place.js';

const VIEWS = [['/jobs', 'Jobs'], ['/workers', 'Workers'], ['/submit', 'Submit'], ['/compare', 'Compare']];
const SKELETON_AFTER = 300;

function brand() {
  return h('a', { class: 'brand', href: '/jobs' }, svg('svg', { viewBox: '0 0 22 22', 'aria-hidden': 'true' },
    svg('path', { d: 'M2 4c7 0 6 7 11 7h7M2 18c7 0 6-7 11-7M2 11h11', class: 'stroke wide-stroke' })), 'merganser');
}

class App {
  constructor() {
    this.links = VIEWS.map(([path, label]) => h('a', { href: path }, label));
    this.nav = h('nav', { 'aria-label': 'Views' }, h('ul', {}, this.links.map((link) => h('li', {}, link))));
    this.dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
    this.word = h('span');
    this.spoken = h('span', { class: 'unseen', role: 'status' });
    this.feedState = h('div', { class: 'feed', hidden: true }, this.dot, this.word);
    this.who = h('span', { class: 'small soft who' });
    this.leave = button('Sign out', () => this.signOut(), { class: 'button small', hidden: true });
    this.banner = h('div', { class: 'banner', role: 'alert', hidden: true });
    this.main = h('main', { id: 'main', tabindex: '-1' });
    document.body.append(h('header', { class: 'top' }, h('a', { class: 'skip', href: '#main' }, 'Skip to the content'),
      h('div', {}, brand(), this.nav, h('span', { class: 'grow' }), this.feedState, this.spoken, this.who, this.leave, themeButton(() => this.redraw()))), this.banner, this.main);
    setInterval(() => this.tick(), 1000);
    const root = document.documentElement;
    addEventListener('beforeprint', () => { root.dataset.printing = 'yes'; this.redraw(); });
    addEventListener('afterprint', () => { delete root.dataset.printing; this.redraw(); });
  }

  async start() {
    keepStateInQuery();
    startPlaces(() => this.route());
    if (location.pathname !== '/login') {
      try {
        this.session = await get('/session');
        say(this.who, shown(this.session.name || ''));
        show(this.leave, Boolean(this.session.name));
      } catch (error) {
        if (error.code === 401) {
          location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
          return;
        }
      }
    }
    this.route();
  }

  async signOut() {
    try {
      await call('DELETE', '/session');
    } catch {
      // The cookie may be gone already.
    }
    location.assign('/login');
  }

  // The list of jobs is what comes first; modules of the other views are loaded when they are shown.
  async make(path) {
    const job = /^\/jobs\/([^/]+)\/?$/.exec(path);
    if (job) {
      const { JobView } = await import('./job_view.js');
      return new JobView(`jobs/${decodeURIComponent(job[1])}`, this.session);
    }
    if (path === '/workers') {
      const { WorkersView } = await import('./workers_view.js');
      return new WorkersView();
    }
    if (path === '/submit') {
      const { SubmitView } = await import('./submit_view.js');
      return new SubmitView(this.session);
    }
    if (path === '/compare') {
      const { CompareView } = await import('./compare_view.js');
      return new CompareView();
    }
    return path === '/login' ? new LoginView() : new JobsView();
  }

  async route() {
    const { pathname } = location;
    if (this.view && this.path === pathname) {
      this.settle(this.view.moved());
      return;
    }
    if (this.feed) this.feed.close();
    this.feed = null;
    if (this.view) this.view.close();
    this.view = null;
    this.path = pathname;
    const view = await this.make(pathname);
    // Somebody went on meanwhile.
    if (this.path !== pathname || this.view !== null) return;
    this.view = view;
    const first = this.main.childElementCount === 0;
    document.title = `${shown(view.title)} \u00b7 merganser`;
    this.links.forEach((link, i) => {
      if (pathname === VIEWS[i][0] || (i === 0 && (pathname === '/' || pathname.startsWith('/jobs/')))) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    });
    for (const element of [this.nav, this.leave, this.who]) element.classList.toggle('left-out', view.bare === true);
    show(this.banner, false);
    show(this.feedState, false);
    if (!first) {
      scrollTo(0, 0);
      this.main.focus({ preventScroll: true });
    }
    // The stream before the view, so that nothing is lost between; its events wait for the view.
    if (view.feed) this.feed = this.makeFeed(view);
    this.settle(view.load());
  }

  // Shows the view when it stands, grey bars if that takes a while, or what went wrong.
  async settle(loading) {
    const { view, feed } = this;
    const mine = () => this.view === view;
    const there = this.main.firstElementChild === view.element;
    // Without a server to wait for there is nothing to grey out.
    const timer = setTimeout(() => { if (mine() && !there) this.main.replaceChildren(skeleton(8, view.title.toLowerCase())); }, SKELETON_AFTER);
    try {
      await loading;
      if (mine() && this.main.firstElementChild !== view.element) this.main.replaceChildren(view.element);
      if (mine() && view.redraw) view.redraw();
      if (view.busy !== undefined && feed) feed.expect(view.busy);
      if (feed && feed === this.feed) feed.release();
      performance.mark('merganser-shown');
    } catch (error) {
      if (mine()) this.main.replaceChildren(h('div', { class: 'view' }, h('h1', {}, shown(view.title)), view.failed(error, () => this.settle(view.load()))));
    } finally {
      clearTimeout(timer);
    }
  }

  makeFeed(view) {
    const feed = new Feed({
      query: view.feed,
      apply: (events) => {
        const from = performance.now();
        view.apply(events);
        feed.expect(view.busy);
        performance.measure('merganser-apply', { start: from });
      },
      reload: () => view.load(),
      poll: () => view.load(),
      state: (state) => { if (this.view === view) this.showFeed(state); },
    });
    return feed;
  }

  showFeed({ kind, silent, next, tries }) {
    const words = { live: 'Live', stale: `${age(silent)} old`, lost: 'No answer', polling: 'Every 5 s', closed: 'Paused' };
    show(this.feedState, true);
    mark(this.dot, 'stale', kind === 'stale' || kind === 'polling');
    mark(this.dot, 'lost', kind === 'lost');
    say(this.word, words[kind]);
    attribute(this.feedState, 'data-kind', kind);
    show(this.banner, kind === 'lost');
    if (kind === 'lost') {
      const words = `The coordinator has not answered for ${age(silent)}. Figures are of ${new Date(serverNow() - silent * 1000).toLocaleTimeString()}; the merge does not depend on this page.${next > 0 ? ` Trying again in ${next} s.` : ''}`;
      if (this.bannerText === undefined) {
        this.bannerText = h('span');
        this.banner.append(h('div', {}, this.bannerText, ' ', button('Try now', () => this.feed && this.feed.retryNow(), { class: 'button small' })));
      }
      say(this.bannerText, words);
    }
    // Only a change of state is spoken.
    if (kind !== this.feedKind) say(this.spoken, { live: 'The page is live', stale: 'The page may be old', lost: 'The coordinator does not answer', polling: 'The page is updated every five seconds', closed: '' }[kind]);
    this.feedKind = kind;
    if (this.view.stale) this.view.stale(kind === 'stale' || kind === 'lost' ? serverNow() - silent * 1000 : null);
    this.tries = tries;
  }

  tick() {
    if (document.hidden || !this.view || !this.view.tick) return;
    this.view.tick();
  }

  redraw() {
    if (this.view && this.view.redraw) this.view.redraw();
  }
}

new App().start();

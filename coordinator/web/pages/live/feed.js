// Server-sent events, read by fetch: unlike EventSource that shows comments (the feed lives) and
// status codes (503: poll instead), and takes up by id what a hidden tab let go.
import { noteClock, serverNow, signIn } from './api.js';

const LOST_AFTER = 30;
const POLL_EVERY = 5000;
// Browsers open six connections to a host, and a stream is one: hidden tabs need none. A moment's
// grace, since switching through tabs is quick.
const HIDDEN_FOR = 1000;

// options: {
//   query: "view=jobs", apply([[name, data]]): all that came since the last frame,
//   reload(): asks for the view again, resolves when done; poll(): as reload, where there is no stream,
//   state({ kind: 'live' | 'stale' | 'lost' | 'polling' | 'closed', silent, next }): seconds of silence, and to the next try
// }
export class Feed {
  constructor(options) {
    this.options = options;
    this.heard = serverNow();
    this.busy = false;
    this.failures = 0;
    this.waiting = [];
    this.held = true;
    this.closed = false;
    this.onvisible = () => this.visibility();
    document.addEventListener('visibilitychange', this.onvisible);
    // A page that is left may be kept for the way back, and its stream with it.
    this.onleave = () => this.pause();
    this.onreturn = (event) => { if (event.persisted) this.visibility(); };
    addEventListener('pagehide', this.onleave);
    addEventListener('pageshow', this.onreturn);
    this.timer = setInterval(() => this.look(), 1000);
    this.visibility();
  }

  // Events wait until the view stands.
  release() {
    this.held = false;
    this.schedule();
  }

  // Whether something is to come every few seconds, since bytes move.
  expect(busy) {
    this.busy = busy;
  }

  close() {
    this.closed = true;
    document.removeEventListener('visibilitychange', this.onvisible);
    removeEventListener('pagehide', this.onleave);
    removeEventListener('pageshow', this.onreturn);
    clearInterval(this.timer);
    clearTimeout(this.hiding);
    clearTimeout(this.retry);
    this.stop();
  }

  stop() {
    if (this.abort) this.abort.abort();
    this.abort = null;
  }

  pause() {
    clearTimeout(this.retry);
    this.stop();
    this.paused = true;
    this.look();
  }

  visibility() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => this.pause(), HIDDEN_FOR);
    } else if (!this.abort) {
      this.paused = false;
      this.heard = serverNow();
      this.connect();
    }
  }

  retryNow() {
    clearTimeout(this.retry);
    this.stop();
    this.connect();
  }

  async connect() {
    if (this.closed || document.hidden) return;
    const abort = new AbortController();
    this.abort = abort;
    let status = 0;
    try {
      const headers = { Accept: 'text/event-stream' };
      if (this.last) headers['Last-Event-ID'] = this.last;
      const response = await fetch(`/api/v1/events?${this.options.query}`, { headers, signal: abort.signal, cache: 'no-store' });
      status = response.status;
      if (status === 401) return signIn();
      if (!response.ok) throw new Error(`status ${status}`);
      noteClock(response);
      this.polling = false;
      this.hear();
      await this.read(response.body.getReader());
    } catch {
      if (abort.signal.aborted) return;
    }
    if (this.closed || this.abort !== abort) return;
    this.abort = null;
    if (status === 503 || status === 429) return this.poll();
    // A stream that lived and ended is taken up at once; what fails is asked more and more rarely.
    const pause = Math.min(30, 2 ** this.failures);
    this.failures += 1;
    this.next = serverNow() + pause * 1000;
    this.retry = setTimeout(() => this.connect(), pause * 1000);
    this.look();
  }

  async read(reader) {
    const decoder = new TextDecoder();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.hear();
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) this.take(block);
    }
  }

  take(block) {
    let name = 'message';
    let data = '';
    for (const line of block.split(/\r?\n/)) {
      if (line.startsWith('event:')) name = line.slice(6).trim();
      else if (line.startsWith('data:')) data += line.slice(5);
      else if (line.startsWith('id:')) this.last = line.slice(3).trim();
    }
    if (data === '') return;
    this.waiting.push([name, JSON.parse(data)]);
    this.schedule();
  }

  hear() {
    this.heard = serverNow();
    this.failures = 0;
    this.look();
  }

  schedule() {
    if (this.held || this.frame || this.waiting.length === 0) return;
    this.frame = true;
    const flush = () => {
      this.frame = false;
      if (this.held || this.closed) return;
      const events = this.waiting;
      this.waiting = [];
      if (events.some(([name]) => name === 'reset')) this.again();
      else this.options.apply(events);
    };
    if (document.hidden) setTimeout(flush, 100);
    else requestAnimationFrame(flush);
  }

  async again() {
    this.held = true;
    try {
      await this.options.reload();
    } catch {
      // The view says what is wrong with it.
    }
    this.release();
  }

  async poll() {
    this.polling = true;
    this.look();
    try {
      // Until the view stands for the first time nobody asks twice.
      if (!this.held) {
        await this.options.poll();
        this.hear();
      }
    } catch {
      // Said by the state: nothing was heard.
    }
    if (this.closed || document.hidden) return;
    this.polls = (this.polls || 0) + 1;
    // Every minute it is tried whether there is a stream by now.
    this.retry = setTimeout(() => this.polls % 12 === 0 ? this.connect() : this.poll(), POLL_EVERY);
  }

  look() {
    const silent = (serverNow() - this.heard) / 1000;
    const next = Math.max(0, Math.ceil((this.next - serverNow()) / 1000)) || 0;
    const kind = this.paused ? 'closed' : silent >= LOST_AFTER ? 'lost' : this.polling ? (silent > 12 ? 'stale' : 'polling')
      : silent >= (this.busy || this.failures > 0 ? 5 : 20) ? 'stale' : 'live';
    this.options.state({ kind, silent, next, tries: this.failures });
  }
}

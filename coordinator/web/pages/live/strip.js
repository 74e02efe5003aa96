// What goes on now: workers, bytes in and out with ten minutes of line, and the queue.
import { h } from '../dom.js';
import { age, count, rate, sentence } from '../format.js';
import { num, seconds } from './api.js';
import { Spark } from './glyph.js';
import { say, show } from './parts.js';

export class Strip {
  constructor() {
    const part = (title) => {
      const value = h('b');
      const unit = h('span', { class: 'small soft' });
      const note = h('p');
      return { value, unit, note, title };
    };
    this.parts = { workers: part('Workers'), read: part('Reading'), write: part('Writing'), queue: part('Queue') };
    this.sparks = { read: new Spark(96, 28), write: new Spark(96, 28) };
    this.trouble = h('p', { class: 'strip-trouble warn', hidden: true });
    this.element = h('section', { class: 'panel strip', 'aria-label': 'Now' }, Object.entries(this.parts).map(([key, each]) => h('div', {},
      h('h2', {}, each.title), h('div', { class: 'strip-row' }, h('p', { class: 'strip-figure' }, each.value, ' ', each.unit), this.sparks[key] ? this.sparks[key].element : null), each.note)),
    this.trouble);
  }

  set(cluster) {
    const { workers, read, write, queue } = this.parts;
    const alive = num(cluster.workers_alive);
    const known = num(cluster.workers_known);
    const queued = num((cluster.jobs || {}).QUEUED);
    say(workers.value, count(alive));
    say(workers.unit, alive === known ? 'alive' : `of ${count(known)} answer`);
    say(workers.note, alive === 0 ? 'start one: merganser worker' : '');
    say(read.value, rate(num(cluster.bytes_read_per_second)));
    say(write.value, rate(num(cluster.bytes_written_per_second)));
    const points = (cluster.rates && cluster.rates.points) || [];
    const step = num(cluster.rates && cluster.rates.step_seconds) || 10;
    for (const [key, name] of [['read', 'bytes_read'], ['write', 'bytes_written']]) {
      this.sparks[key].set(points.map((point) => num(point[name]) / step));
      say(this.parts[key].note, points.length > 1 ? `last ${age(points.length * step)}` : '');
    }
    say(queue.value, count(queued));
    say(queue.unit, queued === 1 ? 'job' : 'jobs');
    const oldest = seconds(cluster.oldest_queued);
    say(queue.note, queued === 0 ? 'nothing waits' : sentence(cluster.queue_detail || '') || (Number.isNaN(oldest) ? '' : `oldest waits for ${age(oldest)}`));
    say(this.trouble, sentence(cluster.trouble || ''));
    show(this.trouble, Boolean(cluster.trouble));
  }
}

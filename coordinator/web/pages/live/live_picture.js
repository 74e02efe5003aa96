// The picture on pages that a server serves: of a merge that goes on, of one that ended, of two.
import { byExpert } from '../bars.js';
import { comparisonView } from '../comparison_view.js';
import { Report } from '../data.js';
import { h, panel } from '../dom.js';
import { count, plural } from '../format.js';
import { originTexts } from '../origins.js';
import { Picture } from '../picture.js';
import { fellBack, reportView } from '../report_view.js';

const TITLE = 'How the experts fit together';

// "120 of 196 tensors": of those that will have it, how many have the first measurement.
function measuredTensors(report, measure) {
  const all = new Set();
  const done = new Set();
  for (let row = 0; row < report.rowCount; row += 1) {
    const tensor = report.rowTensor[row];
    if (tensor < 0 || ['mean', 'copy'].includes(report.kindOf(row).mode)) continue;
    all.add(tensor);
    if (measure !== undefined && !Number.isNaN(measure.read(row))) done.add(tensor);
  }
  return `${count(done.size)} of ${plural(all.size, 'tensor')}`;
}

// Fills in while it runs.
export class LivePicture {
  constructor() {
    this.element = h('div', { class: 'view' });
    // What fell back so far: the page says where it stands.
    this.low = h('div', { hidden: true });
    // What the models are made of: likewise.
    this.models = h('div', { hidden: true });
    this.picture = null;
    this.held = [];
  }

  // `page`: the data of a report of what was measured so far.
  update(page, goesOn) {
    const report = new Report(page.a);
    // Of the same tensors names are not looked up twice.
    if (this.report !== undefined && this.report.rowCount === report.rowCount) report.byName = this.report.byName;
    performance.mark('picture-from');
    if (this.picture === null || !this.picture.update(report, goesOn)) this.build(report, goesOn);
    this.report = report;
    this.bars();
    this.fallen();
    this.origins();
    this.progress.textContent = `${measuredTensors(report, this.picture.measures[0])} ${goesOn ? 'so far' : 'were measured'}`;
    this.setBusy(this.held);
    performance.measure('merganser-picture', 'picture-from');
  }

  build(report, goesOn) {
    const kept = this.picture !== null && this.picture.element !== null ? this.picture.map.picked : null;
    this.picture = new Picture(report, TITLE, goesOn);
    this.progress = h('span', { class: 'soft', role: 'status' });
    if (this.picture.element === null) {
      this.element.replaceChildren(h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, TITLE), this.progress),
        h('p', { class: 'soft' }, goesOn ? 'Nothing measured yet. Cells fill in as workers finish units; the first usually within 10 s.' : 'Nothing was measured.')));
      return;
    }
    this.picture.element.querySelector('.head').insertBefore(this.progress, this.picture.note);
    this.element.replaceChildren(this.picture.element);
    if (kept !== null) this.picture.map.point(kept);
  }

  bars() {
    if (this.picture.element === null) return;
    const key = JSON.stringify(this.report.data.by_expert);
    if (key === this.drawn) return;
    this.drawn = key;
    this.picture.below.replaceChildren(...[byExpert(this.report)].filter((each) => each !== null));
  }

  fallen() {
    const fell = this.report.summary.fell_back;
    const key = fell ? `${fell.count} ${fell.of}` : '';
    if (key === this.fell || this.picture.element === null || this.low.matches(':hover, :focus-within')) return;
    this.fell = key;
    const found = fellBack(this.report, this.picture);
    this.low.replaceChildren(...found === null ? [] : [found]);
    this.low.hidden = found === null;
  }

  // They stay what they are.
  origins() {
    if (!this.models.hidden) return;
    const texts = originTexts(this.report.summary);
    if (texts.length === 0) return;
    this.models.replaceChildren(panel('Models', 'how each is stored, and the adapters on it', h('ul', { class: 'origins' }, texts.map((text) => h('li', {}, text)))));
    this.models.hidden = false;
  }

  // Names of tensors that are with workers.
  setBusy(names) {
    this.held = names;
    if (this.picture === null || this.report === undefined) return;
    this.picture.setBusy(names.map((name) => this.report.find(name)).filter((row) => row >= 0));
  }

  redraw() {
    if (this.picture !== null) this.picture.redraw();
  }
}

// The report of a merge that ended, without its heading: the page has one.
export function ended(page) {
  const view = reportView(new Report(page.a), null);
  return { elements: view.elements.slice(1).filter((each) => each !== null), redraw: view.redraw, title: view.title };
}

export function compared(page) {
  const view = comparisonView(new Report(page.a), new Report(page.b), page, null);
  return { elements: view.elements.slice(1).filter((each) => each !== null), redraw: view.redraw, title: view.title };
}

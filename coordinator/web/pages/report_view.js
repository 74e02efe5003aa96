// The page of one report.
import { button, figures, h, isNarrow, panel } from './dom.js';
import { byExpert } from './bars.js';
import { bytes, count, duration, fixed, plural, sentence, shape, shortCount, shown, time } from './format.js';
import { originTexts } from './origins.js';
import { Picture } from './picture.js';
import { PagedTable } from './table.js';
import { readState, writeState } from './view_state.js';
import { distance, measuresOf, treatment } from './words.js';

function last(path) {
  return path.split('/').filter(Boolean).pop() || path;
}

// "resmerge of 3 experts"; without a base they are models.
function title(report) {
  const base = report.summary.models.some((model) => model.role === 'base');
  const others = report.summary.models.filter((model) => model.role !== 'base').length;
  // A recipe of slices may take each expert from several models.
  if (others !== report.experts.length) return `${shown(report.summary.method.name)}, slices of ${plural(others, 'model')}`;
  return `${shown(report.summary.method.name)} of ${plural(report.experts.length, base ? 'expert' : 'model')}`;
}

function heading(report, tools) {
  const { summary } = report;
  const base = summary.models.find((model) => model.role === 'base');
  const others = summary.models.filter((model) => model.role !== 'base');
  const names = others.slice(0, 4).map((model, i) => [i > 0 ? ', ' : '', h('b', {}, shown(last(model.model)))]);
  if (others.length > 4) names.push(` and ${count(others.length - 4)} more`);
  const dtypes = [...new Set(report.data.kinds.map((kind) => kind.dtype))];
  return h('div', { class: 'page-head' }, h('div', {},
    h('p', { class: 'small soft' }, `${summary.run.analysis ? 'Analysis: nothing was written' : 'Merge report'}, ${shown(summary.program)}`),
    h('h1', {}, title(report)),
    h('p', { class: 'facts' }, h('span', {}, names, base ? [' on ', h('b', {}, shown(last(base.model)))] : null),
      h('span', {}, h('b', {}, count(report.count)), ' tensors'),
      h('span', {}, h('b', {}, shortCount(summary.tensors.parameters)), ' parameters'),
      h('span', {}, dtypes.map(shown).join(', ')),
      h('span', {}, time(summary.run.finished)))), tools);
}

function verdict(report) {
  const { summary } = report;
  const sentences = summary.verdict.map(sentence);
  const caveat = sentences.length > 2 ? sentences.pop() : null;
  const run = summary.run;
  const written = summary.shards.reduce((sum, shard) => sum + shard.size, 0);
  const list = [
    ['Took', duration(run.seconds), `${plural(run.threads, 'thread')}${run.workers.length > 0 ? `, ${plural(run.workers.length, 'worker')}` : ''}, ${shown(run.simd)}`],
    ['Read', bytes(run.bytes_read), `${plural(summary.models.length, 'model')}, ${plural(summary.rounds, 'round')}`],
    [run.analysis ? 'Would write' : 'Written', bytes(written), plural(summary.shards.length, 'file')],
  ];
  const fell = summary.fell_back;
  if (fell !== null) {
    list.push(['Fell back', `${count(fell.count)} of ${count(fell.of)}`, fell.count > 0 ? 'to the mean, below' : 'to the mean'],
      ['Near the jump', count(fell.near_the_jump), 'within 0.001']);
  }
  if (summary.density !== null) list.push(['Density', fixed(summary.density, 3), 'of all coordinates were taken']);
  const planned = summary.tensors.by_mode.filter((mode) => mode.mode === 'mean').reduce((sum, mode) => sum + mode.tensors, 0);
  if (planned > 0) list.push(['Averaged by plan', count(planned), 'norms, biases, embeddings']);
  if (summary.tensors.copied > 0) list.push(['Copied', count(summary.tensors.copied), 'from the base']);
  return h('section', { class: 'panel opening' }, h('div', {},
    h('p', { class: 'sentence' }, h('b', {}, sentences[0]), ' ', sentences[1] || ''),
    sentences.length > 2 ? h('p', { class: 'sentence' }, sentences.slice(2).join(' ')) : null,
    caveat ? h('p', { class: 'small soft' }, caveat) : null), figures(list));
}

export function fellBack(report, picture) {
  const fell = report.summary.fell_back;
  if (fell === null || fell.count === 0) return null;
  const rows = [];
  for (let row = 0; row < report.rowCount; row += 1) {
    if (report.at('branch', row) === 0) rows.push(row);
  }
  const table = new PagedTable([
    { label: 'Tensor', text: (row) => shown(report.shortName(row)), value: (row) => report.shortName(row), link: report.rowTensor[rows[0]] >= 0 ? (row) => picture.pin(row) : undefined },
    { label: 'Coherence', number: true, text: (row) => fixed(report.at('coherence', row), 4), value: (row) => report.at('coherence', row) },
    { label: `To the jump at ${fixed(fell.jump, 4)}`, number: true, text: (row) => distance(report.at('coherence', row), fell.jump), value: (row) => report.at('coherence', row) },
  ], { sorted: 1, few: 8, caption: 'Tensors that fell back to the mean' });
  table.set(rows);
  return panel('Fell back to the mean', `${plural(fell.count, report.data.groups.length > 0 ? 'gate' : report.rowCount > report.count ? 'part' : 'tensor')}, ${count(fell.parameters)} parameters`,
    [h('p', { class: 'soft' }, 'At or below the jump the residuals share no direction; the merged residual is their plain mean there.'), table.element]);
}

function parametersText(parameters) {
  const entries = Object.entries(parameters);
  return entries.length === 0 ? 'none' : entries.map(([key, value]) => `${shown(key)} ${shown(value)}`).join(', ');
}

// A list of which the first few are seen, and the rest when asked for.
function folded(texts, few) {
  const items = (list) => h('ul', {}, list.map((text) => h('li', {}, text)));
  if (texts.length <= few + 1) return items(texts);
  return [items(texts.slice(0, few)), h('details', {}, h('summary', {}, `and ${count(texts.length - few)} more`), items(texts.slice(few)))];
}

function perModel(report) {
  const texts = report.summary.method.per_model.map(parametersText);
  if (texts.every((text) => text === texts[0])) return `${texts[0]}, for each`;
  return folded(texts.map((text, i) => `${shown(report.experts[i] || `model ${i + 1}`)}: ${text}`), 8);
}

// Equal warnings, or notes, once.
function warnings(list) {
  const counts = new Map();
  for (const text of list) counts.set(text, (counts.get(text) || 0) + 1);
  return folded([...counts].map(([text, times]) => shown(text) + (times > 1 ? ` (${count(times)} times)` : '')), 5);
}

function inAndOut(report) {
  const { summary } = report;
  const terms = [['Parameters', parametersText(summary.method.parameters)]];
  const origins = originTexts(summary);
  if (origins.length > 0) terms.unshift(['Models', folded(origins, 8)]);
  if (summary.method.per_model.some((each) => Object.keys(each).length > 0)) terms.push(['Per model', perModel(report)]);
  if (summary.method.overrides > 0) terms.push(['For some tensors', `${plural(summary.method.overrides, 'other set')} of parameters (merge_report.json)`]);
  terms.push(['Treated as', h('ul', {}, summary.tensors.by_mode.map((mode) =>
    h('li', {}, `${shown(mode.mode)}${mode.family === '' ? '' : `, ${shown(mode.family === 'ffn' ? 'feed-forward' : mode.family)}`}: ${plural(mode.tensors, 'tensor')}, ${shortCount(mode.parameters)} parameters`)))]);
  terms.push(['Copied, tied', summary.tensors.copied + summary.tensors.tied === 0 ? 'none'
    : `${plural(summary.tensors.copied, 'tensor')} copied from the base, ${count(summary.tensors.tied)} tied to another name`]);
  terms.push(['Warnings', summary.warnings.length === 0 ? 'none' : warnings(summary.warnings)]);
  if ((summary.notes || []).length > 0) terms.push(['Notes', warnings(summary.notes)]);
  terms.push(['Output', folded(summary.shards.map((shard) => `${shown(shard.file)}, ${bytes(shard.size)}`), 5)]);
  terms.push(['Plan', h('code', {}, shown(summary.plan))], ['Numerics', String(summary.numerics)]);
  if (report.data.left_out.length > 0) terms.push(['Not on this page', `${report.data.left_out.map(shown).join(', ')}: merge_report.json has them`]);
  return panel('What went in and came out', '', h('dl', { class: 'terms' }, terms.map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)])));
}

function inputs(report) {
  const files = report.summary.models.flatMap((model, place) => model.files.map((file) => ({ model, place, file })));
  const table = new PagedTable([
    { label: 'Model', text: (each) => `${each.model.role === 'base' ? 'base' : 'expert'} ${shown(each.model.model)}`, value: (each) => each.place },
    { label: 'File', text: (each) => shown(each.file.file), value: (each) => each.file.file },
    { label: 'Size', number: true, text: (each) => bytes(each.file.size), value: (each) => each.file.size },
    { label: 'Header digest', code: true, text: (each) => shown(each.file.header) },
    { label: 'Identity', code: true, minor: true, text: (each) => shown(each.file.identity) },
  ], { few: 20, cards: true, caption: 'Files that were read' });
  table.set(files);
  // Reports that tell origins have them above.
  const adapters = report.summary.models.filter((model) => !model.origin).flatMap((model) => model.adapters ?? []).map((text) => h('li', {}, shown(text)));
  return h('details', { class: 'panel' }, h('summary', {}, h('h2', {}, 'Inputs'), h('span', { class: 'soft' }, `${plural(files.length, 'file')} of ${plural(report.summary.models.length, 'model')}, with their digests`)), h('div', {}, adapters.length > 0 ? [h('p', {}, 'Adapters that models were read with'), h('ul', {}, adapters)] : null, table.element));
}

function recipe(report, open) {
  return h('details', { class: 'panel', open }, h('summary', {}, h('h2', {}, 'Recipe'), h('span', { class: 'soft' }, 'as it was given')),
    h('pre', {}, h('code', {}, report.summary.recipe.split('\n').map(shown).join('\n'))));
}

function allTensors(report, picture) {
  const measures = measuresOf(report).filter((measure) => measure.main).slice(0, 6);
  const rows = [];
  for (let row = 0; row < report.rowCount; row += 1) {
    if (report.rowTensor[row] >= 0) rows.push(row);
  }
  const first = measures[0];
  const table = new PagedTable([
    { label: 'Tensor', code: true, text: (row) => shown(report.rowName(row)), value: (row) => report.rowName(row), link: picture.measure ? (row) => picture.pin(row) : undefined },
    { label: 'Treated as', text: (row) => treatment(report, row), value: (row) => treatment(report, row) },
    { label: 'Shape', number: true, text: (row) => shape(report.kindOf(row).shape), value: (row) => report.kindOf(row).elements },
    ...measures.map((measure) => ({ label: measure.label, number: true, text: (row) => measure.exact(measure.read(row)), value: (row) => measure.read(row) })),
  ], { cards: true, sorted: first ? 3 : undefined, down: first ? first.middle === undefined : false, empty: 'No tensor has this in its name', few: isNarrow() ? 5 : 10, caption: 'All tensors' });
  const search = h('input', { type: 'search', placeholder: 'Part of a name', 'aria-label': 'Find tensors', value: readState().find || '', oninput: () => {
    const part = search.value;
    writeState({ find: part });
    table.set(part === '' ? rows : rows.filter((row) => report.rowName(row).includes(part)));
  } });
  const begin = () => table.set(search.value === '' ? rows : rows.filter((row) => report.rowName(row).includes(search.value)));
  // Thousands of rows are sorted when the page stands.
  if (rows.length <= 2000) begin();
  else setTimeout(begin, 50);
  return panel('All tensors', `${count(report.count)}${first ? `, by ${first.label.toLowerCase()}; a click shows one in the picture` : ''}`, table.element, search);
}

// Returns the elements and what redraws them when colours change.
export function reportView(report, tools) {
  const picture = new Picture(report, 'How the experts fit together');
  const bars = byExpert(report);
  if (picture.below && bars) picture.below.append(bars);
  const fell = fellBack(report, picture);
  const about = inAndOut(report);
  const elements = [
    heading(report, h('div', { class: 'actions' }, button('Print', () => print()), tools)),
    verdict(report), picture.element,
    h('div', { class: 'columns' }, fell ? [fell, about] : [about, recipe(report, true)]),
    allTensors(report, picture), inputs(report), fell ? recipe(report, false) : null];
  return { elements, redraw: () => picture.redraw(), title: title(report) };
}

// What measures are called, how they are drawn, and what a value of them says. The sentences that
// open a report come with it (verdict.cc); these are those of one cell.
import { count, DASH, duration, fixed, general, percent, shown, signed } from './format.js';
import { diverging, doubling, sequential } from './scales.js';

function mean(report, name, row) {
  let sum = 0;
  let found = 0;
  for (let place = 0; place < report.width(name); place += 1) {
    const value = report.value(name, row, place);
    if (Number.isNaN(value)) continue;
    sum += value;
    found += 1;
  }
  return found === 0 ? NaN : sum / found;
}

// Where a measure of several experts is read as one number it is their mean.
function reader(report, name) {
  return report.width(name) > 1 ? (row) => mean(report, name, row) : (row) => report.value(name, row);
}

const near = (decimals) => (value) => fixed(value, decimals);

const KNOWN = {
  coherence: {
    label: 'Coherence', ends: ['residuals disagree', 'residuals agree'], brief: near(3), exact: near(4), main: true,
    scale: (values, report) => report.experts.length > 1 ? diverging(1 / Math.sqrt(report.experts.length), values) : sequential(values),
    middle: 'jump',
    say: (report, row, value) => coherenceSentence(report, row, value),
  },
  head_agreement: {
    label: 'Head agreement', ends: ['heads differ', 'heads agree'], brief: near(3), exact: near(4), main: true, scale: doubling,
    say: () => 'The mean cosine between the experts\u2019 leading directions: 0 where they differ, 1 where they are the same.',
  },
  head_energy: {
    label: 'Head energy', ends: ['in many directions', 'in one direction'], brief: near(3), exact: near(4), main: true, scale: sequential,
    say: () => 'How much of the change to the base lies in its leading directions, as a share of its squared length; mean over the experts.',
  },
  beta: {
    label: 'Beta', ends: ['more reliable', 'less reliable'], brief: near(3), exact: near(4), main: true, scale: sequential,
    say: () => 'The exponent by which the merged residual is shortened: the less reliable the consensus, the more.',
  },
  steps: {
    label: 'Solver steps', ends: ['few', 'many'], brief: near(0), exact: near(1), main: true, scale: sequential,
    say: () => 'Steps that the solver needed to find the leading directions; mean over the experts.',
  },
  density_reached: {
    label: 'Density', ends: ['little taken', 'much taken'], brief: near(3), exact: near(4), main: true, scale: sequential, zero: 'nothing taken',
    say: (report, row, value) => value === 0
      ? 'Nothing was taken from any expert: this tensor is the base\u2019s.'
      : `${percent(value)} of the coordinates were taken from an expert; the others are the base\u2019s.`,
  },
  seconds: {
    label: 'Seconds', ends: ['fast', 'slow, a step doubles'], brief: duration, exact: duration, main: true, scale: doubling,
    say: () => 'Time spent computing, on one thread, summed over its pieces.',
  },
};

function coherenceSentence(report, row, value) {
  const experts = report.experts.length;
  if (experts < 2) return 'There is one expert, and nothing for it to agree with.';
  const jump = 1 / Math.sqrt(experts);
  const away = value - jump;
  const where = `Coherence ${fixed(value, 4)} lies ${fixed(Math.abs(away), 4)} ${away < 0 ? 'below' : 'above'} the jump. `;
  const what = report.fellBack(row)
    ? `The residuals of the ${experts} experts point no more the same way than at random, so the merged residual is their plain mean.`
    : `The residuals of the ${experts} experts share a direction, so the merged residual has that of their consensus.`;
  return where + what + (Math.abs(away) < 0.001 ? ' It is so close that a small change of the inputs may decide otherwise.' : '');
}

// "backbone_norm" -> "Backbone norm"
export function measureLabel(name) {
  const words = shown(name).replace(/_/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// What a picture of `report` can show, in the order of its buttons: { key, label, read(row), scale(values),
// ends, brief, exact, say(row, value), middle, main }.
export function measuresOf(report) {
  const list = [];
  const add = (key, read, words) => list.push({
    key, read, label: words.label, ends: words.ends, brief: words.brief, exact: words.exact,
    middle: words.middle, zero: words.zero, main: words.main === true,
    scale: (values) => words.scale(values, report), say: (row, value) => words.say(report, row, value),
  });
  for (const [name, words] of Object.entries(KNOWN)) {
    if (report.has(name) && name !== 'seconds') add(name, reader(report, name), words);
  }
  if (report.has('share') && report.experts.length > 1) {
    const equal = 1 / report.experts.length;
    report.experts.slice(0, 8).forEach((expert, place) => add(`share.${place}`, (row) => {
      // Of a tensor of which nothing is taken there are no shares.
      return report.value('density_reached', row) === 0 ? NaN : report.value('share', row, place);
    }, {
      label: `From ${shown(expert)}`, ends: ['less than its part', 'more than its part'], brief: near(3), exact: near(4), middle: 'equal',
      main: report.experts.length <= 4, scale: (values) => diverging(equal, values),
      say: (_, row, value) => `${percent(value)} of what was taken comes from ${shown(expert)}; an equal part is ${percent(equal)}.`,
    }));
  }
  if (report.has('seconds')) add('seconds', reader(report, 'seconds'), KNOWN.seconds);
  for (const name of report.packed.keys()) {
    if (KNOWN[name] || ['share', 'branch', 'selected'].includes(name)) continue;
    add(name, reader(report, name), {
      label: measureLabel(name), ends: ['low', 'high'], brief: general, exact: general, scale: sequential,
      say: () => report.width(name) > 1 ? 'Mean over the experts.' : '',
    });
  }
  return list;
}

// How a tensor was treated, in words.
export function treatment(report, row) {
  const kind = report.kindOf(row);
  if (kind.mode === 'copy') return 'copied from the base';
  if (kind.mode === 'mean') return 'averaged by plan';
  if (kind.mode === 'spectral') return report.fellBack(row) ? 'mean of residuals' : 'consensus of residuals';
  return shown(kind.mode);
}

export const STATS = [['median', 'Median'], ['least', 'Least'], ['greatest', 'Greatest'], ['fell', 'Share that fell back']];

// One number of many.
export function aggregate(values, stat) {
  if (values.length === 0) return NaN;
  if (stat === 'least') return Math.min(...values);
  if (stat === 'greatest') return Math.max(...values);
  const sorted = [...values].sort((a, b) => a - b);
  // The lower median, as the program's: a value that was measured.
  return sorted[(sorted.length - 1) >> 1];
}

export function aggregateSentence(measure, values, fell) {
  const words = `Of ${count(values.length)} experts: median ${measure.exact(aggregate(values, 'median'))}, from ${measure.exact(aggregate(values, 'least'))} to ${measure.exact(aggregate(values, 'greatest'))}.`;
  return fell > 0 ? `${words} ${count(fell)} fell back to the mean.` : words;
}

// Whether values of a measure lie within about one of each other, so that decimals tell them apart.
export function isOfUnitSize(measure) {
  return measure.main && measure.key !== 'steps' && measure.key !== 'seconds';
}

// A difference of two values of a measure, with its sign.
export function differenceText(measure, value, decimals) {
  if (isOfUnitSize(measure)) return signed(value, decimals);
  return `${value > 0 ? '+' : ''}${general(value)}`;
}

export function distance(value, jump) {
  return Number.isFinite(value) ? signed(value - jump, 4) : DASH;
}

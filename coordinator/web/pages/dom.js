// Building elements. Text only ever becomes a text node, and no attribute holds markup or style.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else if (name === 'style') {
      throw new Error('styles stand in the style sheet');
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// h('p', { class: 'small' }, 'text', h('b', {}, 'more')): strings become text nodes.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// A panel with its heading, a note beside that, and what is to stand at the right.
export function panel(title, note, body, tools, attributes) {
  return h('section', { class: 'panel', ...attributes },
    h('div', { class: 'head' }, h('h2', {}, title), note ? h('p', {}, note) : null,
      tools ? [h('span', { class: 'grow' }), tools] : null),
    body);
}

export function button(text, onclick, attributes) {
  return h('button', { type: 'button', class: 'button', onclick, ...attributes }, text);
}

// Figures with what they are of: [term, value] or [term, value, note].
export function figures(list) {
  return h('ul', { class: 'figures' }, list.map(([term, value, note]) =>
    h('li', {}, h('span', { class: 'term' }, term), h('strong', {}, value), note ? h('small', {}, note) : null)));
}

// A long name that may be broken behind its dots and slashes. What is copied is the name.
export function breakable(name) {
  return name.split(/(?<=[./])/).flatMap((part, i) => i === 0 ? [part] : [document.createElement('wbr'), part]);
}

// The value of a colour token of the style sheet, as canvas takes it.
export function token(name) {
  let probe = document.getElementById('probe');
  if (probe === null) {
    probe = h('i', { id: 'probe', hidden: true });
    document.body.append(probe);
  }
  probe.style.setProperty('color', `var(--${name})`);
  return getComputedStyle(probe).color;
}

export function isPrinting() {
  return document.documentElement.dataset.printing !== undefined;
}

export function isDark() {
  if (isPrinting()) return false;
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

export function isNarrow() {
  return innerWidth < 640;
}

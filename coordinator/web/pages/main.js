// A page that holds its own data: one report, or two.
import { comparisonView } from './comparison_view.js';
import { Report } from './data.js';
import { h } from './dom.js';
import { reportView } from './report_view.js';
import { themeButton } from './view_state.js';

function start() {
  const data = JSON.parse(document.getElementById('data').textContent);
  const main = document.getElementById('main');
  let view = null;
  const theme = themeButton(() => view.redraw());
  const a = new Report(data.a);
  view = data.kind === 'report' ? reportView(a, theme) : comparisonView(a, new Report(data.b), data, theme);
  main.replaceChildren(...view.elements.filter((element) => element !== null),
    h('footer', { class: 'small soft' }, 'Made by merganser; this page holds all it shows and asks nobody for more.'));
  document.title = `${view.title} \u00b7 merganser`;
  // What the address holds was changed by hand, or by a link within the page.
  addEventListener('hashchange', () => location.reload());
  // On paper the ground is white, whatever the theme.
  const root = document.documentElement;
  addEventListener('beforeprint', () => { root.dataset.printing = 'yes'; view.redraw(); });
  addEventListener('afterprint', () => { delete root.dataset.printing; view.redraw(); });
  performance.mark('merganser-shown');
}

start();

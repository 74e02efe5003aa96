// Where the browser is: paths of views, links between them, and going there without loading anew.

let go = () => {};

// `route` is called when the place changed.
export function startPlaces(route) {
  go = route;
  addEventListener('popstate', () => route());
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[href]');
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.hasAttribute('download') || link.origin !== location.origin || link.getAttribute('href').startsWith('#')) return;
    if (link.pathname.startsWith('/api/') || link.pathname.startsWith('/static/')) return;
    event.preventDefault();
    visit(link.pathname + link.search);
  });
}

export function visit(path, state) {
  history.pushState(state || null, '', path);
  go();
}

export function exchange(path, state) {
  history.replaceState(state || null, '', path);
  go();
}

// "jobs/ID" -> "/jobs/ID"
export function jobPath(name) {
  return `/${name.split('/').map(encodeURIComponent).join('/')}`;
}

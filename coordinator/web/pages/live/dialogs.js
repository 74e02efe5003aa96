// Questions before something that cannot be taken back: what is lost is said, and what does nothing has
// the focus.
import { button, h } from '../dom.js';
import { shown } from '../format.js';
import { say } from './parts.js';

let dialogs = 0;

// `act` may fail: its message stands in the dialog. Resolves to whether it was done.
export function ask({ title, words, keep, act, does, body }) {
  dialogs += 1;
  const heading = `dialog-${dialogs}`;
  const problem = h('p', { class: 'bad', role: 'alert' });
  return new Promise((resolve) => {
    let done = false;
    const go = h('button', { type: 'submit', class: 'button no' }, does);
    const stay = button(keep, () => dialog.close());
    const dialog = h('dialog', { class: 'panel dialog', 'aria-labelledby': heading, onclose: () => { dialog.remove(); resolve(done); } },
      h('form', { onsubmit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        try {
          await act(new FormData(event.target));
          done = true;
          dialog.close();
        } catch (error) {
          go.disabled = false;
          say(problem, shown(error.message));
        }
      } }, h('h2', { id: heading }, title), h('p', { class: 'soft' }, words), body || null, problem,
      h('div', { class: 'actions' }, go, stay)));
    document.body.append(dialog);
    dialog.showModal();
    stay.focus();
  });
}

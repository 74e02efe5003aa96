// What the models are made of: how their files hold them, and the adapters on them.
import { h } from './dom.js';
import { shown } from './format.js';

// "expert rl-math: LoRA, ..., on /models/base, stored as BF16", a text a model; none of reports that
// do not tell.
export function originTexts(summary) {
  return summary.models.filter((model) => model.origin).map((model) => [h('b', {}, `${model.role} ${shown(model.model)}`), `: ${shown(model.origin)}`]);
}

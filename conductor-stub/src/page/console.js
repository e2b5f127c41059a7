// The end of the machine's console. It is text: what a terminal would do with it is left out.

import { address } from './api.js';
import { byId, show } from './dom.js';

const LINES = 1500;
/** Control sequences of terminals (ECMA-48), and what else can't be seen. */
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])/g;
const UNSEEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g;

let started = false;

/** Follows the console of a node, if it has one. */
export function followConsole(uuid) {
  if (started) return;
  started = true;
  show(byId('console-card'), true);
  const area = byId('console');
  let rest = null;
  let source = null;

  const open = () => {
    if (source || document.visibilityState !== 'visible') return;
    source = new EventSource(address(`/stub/nodes/${uuid}/console`));
    source.addEventListener('clear', () => {
      area.replaceChildren();
      rest = null;
    });
    source.addEventListener('console', (event) => add(JSON.parse(event.data)));
  };
  const close = () => {
    source?.close();
    source = null;
    // What is shown is sent again.
    area.replaceChildren();
    rest = null;
  };

  function add(data) {
    const stays = area.scrollHeight - area.scrollTop - area.clientHeight < 24;
    rest?.remove();
    const lines = readable(data.text).split('\n');
    lines.pop();
    area.append(...lines.map((line) => document.createTextNode(`${line}\n`)));
    rest = document.createTextNode(readable(data.rest));
    area.append(rest);
    while (area.childNodes.length > LINES) area.firstChild.remove();
    if (stays) area.scrollTop = area.scrollHeight;
  }

  document.addEventListener('visibilitychange', () => (document.visibilityState === 'visible' ? open() : close()));
  addEventListener('pagehide', close);
  open();
}

/** Lines as they would stand there in the end. */
function readable(text) {
  return text.replace(SEQUENCES, '').replace(/\r+\n/g, '\n').split('\n')
    .map((line) => line.replace(/^.*\r(?=[^\r])/, '').replace(/\r/g, '').replace(UNSEEN, '')).join('\n');
}

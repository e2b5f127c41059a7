// What a machine went through: a line per operation, its states as parts of a bar, its steps below.

import { tone } from './chip.js';
import { make, reconcile, setAttribute, setText } from './dom.js';
import { bytes, clock, duration } from './format.js';
import { now } from './live.js';
import { states } from './states.js';

const SHOWN = 8;
const NAMES = {
  verifying: 'Verify', inspecting: 'Inspect', cleaning: 'Clean', deploying: 'Deploy', deleting: 'Undeploy', rescuing: 'Rescue',
  unrescuing: 'Unrescue', servicing: 'Service', adopting: 'Adopt',
};

const atRest = (state) => ['stable', 'failed'].includes(states[state]?.phase);

/** The operations in `history`, newest first: from one state of rest to the next. */
export function operations(history) {
  const found = [];
  let running = null;
  for (const { kind, state, at, text, seconds, done_bytes: done } of history) {
    if (kind === 'state') {
      const part = { state, from: at, to: null };
      if (running) running.parts.at(-1).to = at;
      if (!running && !atRest(state)) {
        running = { name: NAMES[state] ?? state, from: at, to: null, end: null, parts: [part], steps: [], error: null };
        found.push(running);
      } else if (running && atRest(state)) {
        running.to = at;
        running.end = state;
        running = null;
      } else if (running) {
        running.parts.push(part);
      }
    } else if (kind === 'step' && running) {
      running.steps.push({ name: text, from: seconds == null ? at : at - seconds, to: at, done });
    } else if (kind === 'error' && running) {
      running.error = text;
    }
  }
  return found.reverse().slice(0, SHOWN);
}

export function drawTimeline(parent, { history, node, plan }) {
  const list = operations(history);
  if (list.length === 0) {
    parent.replaceChildren(make('p', { class: 'quiet', text: 'Nothing has happened yet.', 'data-key': 'nothing' }));
    return;
  }
  reconcile(parent, list, (operation) => operation.from, makeOperation, (element, operation) => setOperation(element, operation, node, plan));
}

function makeOperation(operation) {
  return make('article', { class: 'operation' },
    make('header', { class: 'line' },
      make('h3', { text: operation.name }), make('span', { class: 'quiet', text: clock(operation.from) }), make('span', { class: 'took' })),
    make('div', { class: 'parts', role: 'img' }),
    make('ol', { class: 'steps' }));
}

function setOperation(element, operation, node, plan) {
  const to = operation.to ?? now();
  const length = Math.max(to - operation.from, 0.001);
  const end = operation.end;
  setText(element.querySelector('.took'), end ? `${duration(length)} → ${end}` : `running for ${duration(length)}`);
  setAttribute(element, 'data-end', end ? (tone(end) === 'failed' ? 'failed' : 'done') : 'running');
  const parts = merged(operation.parts, to);
  const bar = element.querySelector('.parts');
  setAttribute(bar, 'aria-label', parts.map((part) => `${part.state} ${duration(part.to - part.from)}`).join(', '));
  reconcile(bar, parts, (part) => part.from, () => make('span'), (span, part) => {
    setAttribute(span, 'data-tone', tone(part.state));
    setAttribute(span, 'title', `${part.state}: ${duration(part.to - part.from)}`);
    span.style.flexGrow = String(Math.max((part.to - part.from) / length, 0.004));
  });
  const steps = [...operation.steps];
  if (!end && node.step && node.operation) steps.push({ name: node.step, from: plan?.started ?? steps.at(-1)?.to ?? operation.from, to, running: true });
  reconcile(element.querySelector('.steps'), steps, (step) => `${step.name} ${step.from}`, () => make('li', {},
    make('span', { class: 'title' }), make('span', { class: 'track' }, make('span')), make('span', { class: 'quiet' })), (item, step) => {
    const [title, track, amount] = item.children;
    setText(title, step.name);
    const seconds = step.to - step.from;
    const rate = step.done && seconds > 0.05 ? `, ${bytes(step.done)} at ${bytes(step.done / seconds)}/s` : '';
    setText(amount, step.running ? 'running' : `${duration(seconds)}${rate}`);
    setAttribute(item, 'data-running', Boolean(step.running));
    const fill = track.firstChild;
    fill.style.marginInlineStart = `${(100 * Math.max(0, step.from - operation.from)) / length}%`;
    fill.style.inlineSize = `${Math.max(0.6, (100 * seconds) / length)}%`;
  });
}

/** Neighbours of one phase are one part: what the conductor does in between takes milliseconds. */
function merged(parts, end) {
  const result = [];
  for (const part of parts) {
    const to = part.to ?? end;
    const last = result.at(-1);
    if (last && (last.state === part.state || to - part.from < 0.05)) last.to = to;
    else result.push({ ...part, to });
  }
  return result;
}

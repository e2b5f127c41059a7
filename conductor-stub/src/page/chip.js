// How a state looks: a shape, a colour and its name.

import { makeSvg, make, setAttribute, setText } from './dom.js';
import { states } from './states.js';

const SHAPES = {
  failed: 'M5 5 L11 11 M11 5 L5 11',
  working: 'M8 2.5 A5.5 5.5 0 1 1 2.5 8',
  waiting: 'M8 4.5 V8 L10.500 9.500',
  held: 'M6 5 V11 M10 5 V11',
  active: 'M4.5 8.200 L7 10.700 L11.500 5.600',
  available: 'M5.5 8 H10.500 M8 5.5 V10.500',
  idle: 'M5 8 H11',
};

/** What a state is shown as: its phase, and for stable states how far the machine has come. */
export function tone(state) {
  const phase = states[state]?.phase;
  if (phase && phase !== 'stable') return phase;
  if (state === 'active' || state === 'rescue') return 'active';
  return state === 'available' ? 'available' : 'idle';
}

/** A chip for a state; `setChip` says which. */
export function makeChip() {
  const shape = makeSvg('path', {});
  const icon = makeSvg('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    makeSvg('circle', { cx: 8, cy: 8, r: 6.5 }), shape);
  return make('span', { class: 'chip' }, icon, make('span', { class: 'name' }));
}

export function setChip(chip, state) {
  const shown = tone(state);
  setAttribute(chip, 'data-tone', shown);
  setAttribute(chip.querySelector('path'), 'd', SHAPES[shown]);
  setText(chip.querySelector('.name'), state);
}

export const isBusy = (state) => ['working', 'waiting', 'held'].includes(states[state]?.phase);

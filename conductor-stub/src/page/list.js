// All machines: counts, search, and a line for each, failed ones first.

import { get } from './api.js';
import { isBusy, makeChip, setChip, tone } from './chip.js';
import { byId, make, reconcile, setAttribute, setText, show } from './dom.js';
import { bytes, roughly, whole } from './format.js';
import { follow, learnTime, now } from './live.js';
import { watchMedia } from './media.js';

const GROUPS = [
  { id: 'all', label: 'All', has: () => true },
  { id: 'failed', label: 'Failed', has: (machine) => tone(machine.provision_state) === 'failed' },
  { id: 'busy', label: 'In progress', has: (machine) => isBusy(machine.provision_state) },
  { id: 'enrolled', label: 'Enrolled', has: (machine) => tone(machine.provision_state) === 'idle' },
  { id: 'available', label: 'Available', has: (machine) => tone(machine.provision_state) === 'available' },
  { id: 'active', label: 'Active', has: (machine) => tone(machine.provision_state) === 'active' },
];

/** By UUID: what the conductor last said. */
const machines = new Map();
/** What is shown of them; it stands in the URL. */
const wanted = read();
let loaded = false;

function read() {
  const query = new URLSearchParams(location.search);
  const show = GROUPS.some((group) => group.id === query.get('show')) ? query.get('show') : 'all';
  return { show, words: query.get('q') ?? '', maintenance: query.get('maintenance') === 'true' };
}

function write() {
  const query = new URLSearchParams();
  if (wanted.show !== 'all') query.set('show', wanted.show);
  if (wanted.words) query.set('q', wanted.words);
  if (wanted.maintenance) query.set('maintenance', 'true');
  const text = query.toString();
  history.replaceState(null, '', text ? `?${text}` : location.pathname);
}

const nameOf = (machine) => machine.name ?? machine.uuid;
const alphabet = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

/** Failed ones first, then those that need somebody, then those that something happens to. */
function rank(machine) {
  if (tone(machine.provision_state) === 'failed') return 0;
  if (machine.maintenance || machine.last_error) return 1;
  return isBusy(machine.provision_state) ? 2 : 3;
}

function matches(machine, words) {
  return words.every((word) => machine.text.includes(word));
}

function keep(machine) {
  const before = machines.get(machine.uuid);
  const parts = [machine.name, machine.uuid, machine.provision_state, machine.driver, machine.step, machine.power_state,
    machine.last_error, machine.maintenance_reason];
  machines.set(machine.uuid, {
    progress: before?.progress ?? null,
    ...machine,
    text: parts.filter(Boolean).join('\n').toLowerCase(),
  });
}

function draw() {
  const all = [...machines.values()];
  drawGroups(all);
  const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
  const group = GROUPS.find((one) => one.id === wanted.show);
  const shown = all.filter((machine) => group.has(machine) && matches(machine, words)
    && (!wanted.maintenance || machine.maintenance));
  shown.sort((a, b) => rank(a) - rank(b) || alphabet.compare(nameOf(a), nameOf(b)));
  reconcile(byId('machines'), shown, (machine) => machine.uuid, makeLine, setLine);
  const held = all.filter((machine) => machine.maintenance).length;
  setText(byId('maintenance-count'), held ? held.toLocaleString() : '');
  const part = shown.length === all.length ? '' : ` of ${all.length.toLocaleString()}`;
  setText(byId('shown'), loaded ? `${shown.length.toLocaleString()}${part}` : '');
  const empty = byId('empty');
  show(empty, loaded && shown.length === 0);
  setText(empty, all.length === 0 ? 'No machines yet. A node that is created or enrolled appears here.' : 'No machine is like that.');
}

function drawGroups(all) {
  reconcile(byId('groups'), GROUPS, (group) => group.id, makeGroup, (button, group) => {
    const members = all.filter(group.has);
    setAttribute(button, 'aria-pressed', String(wanted.show === group.id));
    setAttribute(button, 'data-some', members.length > 0);
    setText(button.querySelector('.number'), loaded ? members.length.toLocaleString() : '');
    const byState = new Map();
    for (const { provision_state: state } of members) byState.set(state, (byState.get(state) ?? 0) + 1);
    const parts = [...byState].sort((a, b) => b[1] - a[1]).map(([state, number]) => `${number.toLocaleString()} ${state}`);
    const detail = group.id === 'all' ? '' : parts.join(', ');
    setText(button.querySelector('.detail'), detail);
    setAttribute(button, 'title', detail || null);
  });
}

function makeGroup(group) {
  const choose = () => {
    wanted.show = wanted.show === group.id ? 'all' : group.id;
    write();
    draw();
  };
  return make('button', { type: 'button', class: 'group', 'data-group': group.id, onclick: choose },
    make('span', { class: 'label', text: group.label }), make('span', { class: 'number' }), make('span', { class: 'detail' }));
}

function makeLine() {
  return make('li', {}, make('a', { class: 'line' },
    makeChip(),
    make('span', { class: 'title' }),
    make('span', { class: 'what' },
      make('span', { class: 'doing' }, make('span', { class: 'tag', text: 'maintenance', hidden: true }), make('span', { class: 'words' })),
      make('progress', { max: 1, hidden: true })),
    make('span', { class: 'power' }),
    make('span', { class: 'since' })));
}

/** The machine that each line shows: what has not changed is not looked at. */
const drawn = new WeakMap();

function setLine(item, machine) {
  if (drawn.get(item) === machine) return;
  drawn.set(item, machine);
  const line = item.firstChild;
  setAttribute(line, 'href', `/page/nodes/${encodeURIComponent(machine.uuid)}`);
  setChip(line.querySelector('.chip'), machine.provision_state);
  setText(line.querySelector('.title'), nameOf(machine));
  show(line.querySelector('.tag'), machine.maintenance);
  const words = line.querySelector('.words');
  setText(words, whatItDoes(machine));
  setAttribute(words, 'data-error', machine.last_error !== null);
  const bar = line.querySelector('progress');
  const done = fraction(machine.progress);
  show(bar, done !== null);
  setAttribute(bar, 'aria-label', machine.step);
  if (done !== null && bar.value !== done) bar.value = done;
  setPower(line.querySelector('.power'), machine);
  setText(line.querySelector('.since'), roughly(now() - machine.entered));
}

function whatItDoes(machine) {
  if (machine.last_error) return machine.last_error;
  if (machine.maintenance) return machine.maintenance_reason ?? '';
  if (!machine.step) return machine.target_provision_state ? `on the way to ${machine.target_provision_state}` : '';
  const progress = machine.progress;
  if (progress?.trouble) return `${machine.step}: ${progress.trouble}`;
  if (!progress?.done_bytes) return machine.step;
  const total = progress.total_bytes ? ` of ${bytes(progress.total_bytes)}` : '';
  const left = progress.eta_seconds == null ? '' : `, ${whole(progress.eta_seconds)} left`;
  return `${machine.step}: ${bytes(progress.done_bytes)}${total}${left}`;
}

function fraction(progress) {
  if (!progress?.total_bytes) return null;
  return Math.min(1, (progress.done_bytes ?? 0) / progress.total_bytes);
}

function setPower(element, machine) {
  const is = machine.power_state?.replace('power ', '') ?? '';
  const target = machine.target_power_state?.replace('power ', '');
  setText(element, target && target !== is ? `${is} → ${target}` : is);
  setAttribute(element, 'data-power', is || null);
}

/** Times pass without events. */
function tick() {
  for (const item of byId('machines').children) {
    const machine = machines.get(item.dataset.key);
    if (machine) setText(item.querySelector('.since'), roughly(now() - machine.entered));
  }
}

function listen() {
  const query = byId('query');
  query.value = wanted.words;
  byId('maintenance').checked = wanted.maintenance;
  query.addEventListener('input', () => {
    wanted.words = query.value;
    write();
    draw();
  });
  byId('maintenance').addEventListener('change', (event) => {
    wanted.maintenance = event.target.checked;
    write();
    draw();
  });
  byId('search').addEventListener('submit', (event) => {
    event.preventDefault();
    byId('machines').querySelector('a')?.focus();
  });
  document.addEventListener('keydown', keys);
}

/** `/` searches, arrows go from machine to machine. */
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const query = byId('query');
  const typing = document.activeElement === query;
  if (event.key === '/' && !typing) {
    event.preventDefault();
    query.select();
    query.focus();
  } else if (event.key === 'Escape' && typing && query.value) {
    event.preventDefault();
    query.value = '';
    query.dispatchEvent(new Event('input'));
  } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const item = document.activeElement.closest('#machines > li');
    if (!item && !(typing && event.key === 'ArrowDown')) return;
    const next = !item ? byId('machines').firstElementChild
      : event.key === 'ArrowDown' ? item.nextElementSibling : item.previousElementSibling;
    event.preventDefault();
    (next?.firstChild ?? (item ? (event.key === 'ArrowUp' ? query : null) : null))?.focus();
  }
}

listen();
draw();
watchMedia(now);
setInterval(tick, 10_000);
follow('/stub/events', async () => {
  const body = await get('/stub/nodes');
  learnTime(body.now);
  machines.clear();
  body.nodes.forEach(keep);
  loaded = true;
  return body.position;
}, {
  node: keep,
  progress: ({ uuid, progress }) => {
    const machine = machines.get(uuid);
    if (machine) machines.set(uuid, { ...machine, progress });
  },
  gone: ({ uuid }) => machines.delete(uuid),
}, draw);

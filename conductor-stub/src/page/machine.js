// One machine: where it is, what it does, what it is made of, and what can be done.

import { drawActions } from './actions.js';
import { get } from './api.js';
import { makeChip, setChip, tone } from './chip.js';
import { followConsole } from './console.js';
import { byId, make, reconcile, setAttribute, setText, show } from './dom.js';
import { bytes, clock, duration, moment, whole } from './format.js';
import { drawInventory } from './inventory.js';
import { follow, learnTime, now } from './live.js';
import { drawTimeline } from './timeline.js';

const ident = decodeURIComponent(location.pathname.split('/').at(-1));

/** What the conductor last said. */
const known = { node: null, plan: null, agent: {}, history: [], record: {}, inventory: null, ports: [], gone: false };

const chip = makeChip();
byId('state').append(chip);

async function load() {
  const body = await get(`/stub/nodes/${encodeURIComponent(ident)}`).catch(missing);
  learnTime(body.now);
  const { uuid } = body.node;
  const [record, inventory, ports] = await Promise.all([
    get(`/v1/nodes/${uuid}`),
    get(`/v1/nodes/${uuid}/inventory`).catch(() => null),
    get(`/v1/nodes/${uuid}/ports`).catch(() => ({ ports: [] })),
  ]);
  Object.assign(known, {
    node: body.node, plan: body.plan, agent: body.agent, history: body.history, record, inventory, ports: ports.ports,
  });
  if (body.console) followConsole(uuid);
  return body.position;
}

function missing(error) {
  if (error.status === 404) {
    known.gone = true;
    draw();
  }
  throw error;
}

/** What the events do not tell is asked for when they say that something has changed. */
let asking = null;
function askAgain() {
  asking ??= setTimeout(async () => {
    asking = null;
    const progress = known.node?.progress;
    try {
      await load();
      known.node.progress ??= progress;
      draw();
    } catch { /* the stream says that there is no connection */ }
  }, 300);
}

function draw() {
  const { node } = known;
  show(byId('missing'), known.gone);
  show(byId('content'), !known.gone && node !== null);
  if (known.gone) setText(byId('missing'), 'There is no such machine, or it was removed.');
  if (!node) return;
  const name = node.name ?? node.uuid;
  setText(byId('name'), name);
  document.title = `${name}: ${node.provision_state}`;
  drawNow(node);
  drawMap(node);
  drawActions(known, askAgain);
  drawTimeline(byId('timeline'), known);
  drawInventory(byId('inventory'), known.inventory?.inventory, known.ports);
  drawFacts();
  drawEvents();
  drawTimes();
}

function drawNow(node) {
  setChip(chip, node.provision_state);
  const is = node.power_state ?? 'power unknown';
  const target = node.target_power_state;
  setText(byId('power'), target && target !== node.power_state ? `${is} → ${target}` : is);
  setAttribute(byId('power'), 'data-power', node.power_state?.replace('power ', ''));
  show(byId('error'), Boolean(node.last_error));
  setText(byId('error'), known.record.last_error ?? node.last_error);
  show(byId('maintenance'), node.maintenance);
  setText(byId('maintenance'), `In maintenance${node.maintenance_reason ? `: ${node.maintenance_reason}` : ''}`);
  drawStep(node);
}

/** What runs, or that nothing does: the same height, so that nothing below moves. */
function drawStep(node) {
  const { plan } = known;
  const { progress, step, operation } = node;
  setAttribute(byId('running'), 'data-idle', !operation);
  setText(byId('step'), operation ? step ?? `${operation.flow}: the machine is prepared` : 'Nothing is running');
  const index = plan?.steps.indexOf(step) ?? -1;
  setText(byId('position'), operation && index >= 0 ? `step ${index + 1} of ${plan.steps.length}` : '');
  const bar = byId('bar');
  if (progress?.total_bytes) {
    const done = Math.min(1, (progress.done_bytes ?? 0) / progress.total_bytes);
    if (!bar.hasAttribute('value') || bar.value !== done) bar.value = done;
  } else {
    setAttribute(bar, 'value', operation ? null : 0);
  }
  setText(byId('amounts'), amounts(progress));
  reconcile(byId('devices'), progress?.devices ?? [], ({ device }) => device, () => make('li', {}),
    (line, device) => setText(line, `${device.device}: ${amounts(device)}`));
  show(byId('trouble'), Boolean(progress?.trouble));
  setText(byId('trouble'), progress?.trouble);
}

/** What is being done, how much of it is, how fast and for how long. */
function amounts(progress) {
  const parts = [];
  if (progress?.activity) parts.push(progress.activity);
  if (progress?.done_bytes) {
    parts.push(progress.total_bytes ? `${bytes(progress.done_bytes)} of ${bytes(progress.total_bytes)}` : bytes(progress.done_bytes));
  }
  if (progress?.rate_bytes_per_second) parts.push(`${bytes(progress.rate_bytes_per_second)}/s`);
  if (progress?.eta_seconds != null) parts.push(`${whole(progress.eta_seconds)} left`);
  return parts.join(' · ');
}

function drawMap(node) {
  const visited = new Set(known.history.filter((one) => one.at >= (node.operation?.began ?? Infinity)).map((one) => one.state));
  const map = document.querySelector('.machine-map');
  const next = new Set();
  for (const way of map.querySelectorAll('.ways path')) {
    const leaves = way.dataset.from === node.provision_state;
    setAttribute(way, 'data-leaves', leaves);
    if (leaves) next.add(way.dataset.to);
  }
  for (const state of map.querySelectorAll('.state')) {
    const name = state.dataset.state;
    const here = name === node.provision_state;
    setAttribute(state, 'data-here', here ? tone(name) : null);
    setAttribute(state, 'data-next', next.has(name));
    setAttribute(state, 'data-visited', visited.has(name));
    setAttribute(state, 'aria-current', here ? 'step' : null);
  }
}

function drawFacts() {
  const { node, record, agent } = known;
  const properties = record.properties ?? {};
  const facts = [
    ['UUID', node.uuid], ['Driver', node.driver], ['Boot', record.boot_interface], ['Deploy', record.deploy_interface],
    ['BMC', record.driver_info?.redfish_address], ['Image', record.instance_info?.image_source ?? record.instance_info?.boot_iso],
    ['Instance', record.instance_uuid], ['Class', record.resource_class], ['Owner', record.owner], ['Description', record.description],
    ['Capabilities', properties.capabilities && String(properties.capabilities)],
    ['Agent', agent.url && `${agent.url}${agent.version ? `, version ${agent.version}` : ''}`],
    ['Last heartbeat', moment(agent.last_heartbeat)],
    ['Inspected', moment(record.inspection_finished_at)], ['Enrolled', moment(record.created_at)],
  ].filter(([, value]) => value);
  reconcile(byId('facts'), facts, ([label]) => label,
    ([label]) => make('div', {}, make('dt', { text: label }), make('dd')),
    (row, [, value]) => setText(row.lastChild, value));
}

function drawEvents() {
  const items = known.history.map((entry, index) => ({ entry, index })).reverse();
  reconcile(byId('events'), items, ({ entry, index }) => `${entry.at}/${index}`, ({ entry }) => {
    const seconds = entry.seconds == null ? '' : ` in ${duration(entry.seconds)}`;
    return make('li', { 'data-kind': entry.kind },
      make('time', { text: clock(entry.at), datetime: new Date(entry.at * 1000).toISOString() }),
      make('span', { class: 'kind', text: entry.kind }),
      make('span', { class: 'text', text: `${entry.text}${seconds}` }));
  }, () => {});
}

function drawTimes() {
  const { node } = known;
  if (node) setText(byId('since'), `for ${whole(now() - node.entered)}`);
}

byId('back').addEventListener('click', (event) => {
  // Back to the list as it was, with its search and its place.
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const from = document.referrer || sessionStorage.getItem('list');
  if (from && history.length > 1 && new URL(from).pathname === '/page') {
    event.preventDefault();
    history.back();
  }
});

setInterval(drawTimes, 1_000);
follow(`/stub/events?node=${encodeURIComponent(ident)}`, load, {
  node: (summary) => {
    const before = known.node;
    known.node = { progress: before?.progress ?? null, ...summary };
    if (!summary.step) known.node.progress = null;
    askAgain();
  },
  progress: ({ progress }) => {
    if (known.node) known.node.progress = progress;
  },
  history: (entry) => known.history.push(entry),
  gone: () => {
    known.gone = true;
  },
}, draw);

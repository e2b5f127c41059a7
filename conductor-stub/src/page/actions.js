// What the state allows, as buttons. They use the API of all clients; what erases disks asks first.

import { Refused, send } from './api.js';
import { byId, make, reconcile, setAttribute, setText, show } from './dom.js';
import { states } from './states.js';

/** How verbs are called, what they do, and whether somebody has to confirm them. */
const VERBS = {
  manage: { label: 'Manage', hint: 'Checks the way to the machine' },
  inspect: { label: 'Inspect', hint: 'Boots the agent, which says what the machine is made of' },
  provide: { label: 'Provide', hint: 'Cleans the machine; it is available afterwards', confirm: 'Its disks are erased, unless the node or the conductor says otherwise.' },
  clean: { label: 'Clean…', hint: 'Runs steps of cleaning', steps: 'clean_steps', confirm: 'These steps run in their order; the machine is manageable afterwards.' },
  active: { label: 'Deploy…', hint: 'Writes an image to the root disk', image: true, confirm: 'What is on the root disk is overwritten.' },
  rebuild: { label: 'Rebuild…', hint: 'Deploys the same again', confirm: 'What is on the root disk is overwritten.' },
  deleted: { label: 'Undeploy…', hint: 'Takes the instance away and cleans', confirm: 'The instance ends, and the disks of the machine are erased, unless the node or the conductor says otherwise.' },
  abort: { label: 'Abort', hint: 'Ends the running operation', confirm: 'The operation fails, and the machine is switched off.' },
  adopt: { label: 'Adopt', hint: 'Takes a running machine over as it is' },
  rescue: { label: 'Rescue…', hint: 'Boots a ramdisk to log in to', password: true, confirm: 'The machine boots the ramdisk; its disks stay as they are.' },
  unrescue: { label: 'Unrescue', hint: 'Boots the instance again' },
  service: { label: 'Service…', hint: 'Runs steps on an active machine', steps: 'service_steps', confirm: 'The machine boots the agent, which runs these steps in their order.' },
  unhold: { label: 'Go on', hint: 'Ends the hold' },
};

const POWER = [
  { target: 'power on', label: 'Switch on', when: (is) => is !== 'power on' },
  { target: 'soft power off', label: 'Shut down', when: (is) => is === 'power on', confirm: 'The operating system is asked to shut down.' },
  { target: 'power off', label: 'Switch off', when: (is) => is !== 'power off', confirm: 'The power is taken away at once.' },
  { target: 'rebooting', label: 'Restart', when: (is) => is === 'power on', confirm: 'The power is taken away at once and given again.' },
];

/** The way that most machines go; the first of these is what to do next. */
const ONWARD = ['inspect', 'provide', 'manage', 'active', 'unrescue', 'unhold', 'adopt'];
const ERASING = new Set(['provide', 'clean', 'active', 'rebuild', 'deleted']);
const DELETABLE = ['enroll', 'manageable', 'available', 'adopt failed'];

let refused = null;
let busy = false;

/** Draws the buttons for what is `known` of a machine; `done` runs when one had an effect. */
export function drawActions(known, done) {
  const { node, record } = known;
  const at = `/v1/nodes/${node.uuid}`;
  const actions = [];
  const offered = states[node.provision_state]?.verbs ?? [];
  const next = ONWARD.find((verb) => offered.some((one) => one.verb === verb) && !(verb === 'inspect' && known.inventory));
  for (const { verb, to } of offered) {
    const about = VERBS[verb] ?? { label: verb };
    actions.push({
      id: `verb ${verb}`, ...about, hint: `${about.hint ?? ''} (${to})`.trim(), primary: verb === next, danger: ERASING.has(verb),
      run: (values) => provision(at, verb, values, record),
    });
  }
  for (const { target, label, when, confirm } of POWER) {
    // Flows switch the machine themselves.
    if (node.operation || !when(node.power_state)) continue;
    actions.push({ id: `power ${target}`, label, confirm, quiet: true, run: () => send('PUT', `${at}/states/power`, { target }) });
  }
  actions.push(node.maintenance
    ? { id: 'maintenance', label: 'End maintenance', quiet: true, run: () => send('DELETE', `${at}/maintenance`) }
    : { id: 'maintenance', label: 'Maintenance…', quiet: true, reason: true, confirm: 'Marks the machine for people.', run: ({ reason }) => send('PUT', `${at}/maintenance`, { reason }) });
  if (DELETABLE.includes(node.provision_state) || node.maintenance) {
    actions.push({ id: 'delete', label: 'Remove…', quiet: true, danger: true, confirm: 'The conductor forgets the machine. Nothing happens to the machine itself.', run: () => send('DELETE', at) });
  }
  reconcile(byId('actions'), actions, (action) => action.id, makeButton, (button, action) => {
    setAttribute(button, 'class', action.quiet ? 'quiet' : action.primary ? 'primary' : null);
    setAttribute(button, 'title', action.hint);
    setAttribute(button, 'aria-disabled', busy || null);
    setText(button, action.label);
    button.action = { ...action, name: node.name ?? node.uuid, record, done };
  });
  const refusal = byId('refusal');
  show(refusal, refused !== null);
  setText(refusal, refused);
}

function makeButton() {
  return make('button', { type: 'button', onclick: ({ currentTarget }) => begin(currentTarget.action) });
}

function begin(action) {
  if (busy) return;
  if (action.confirm) ask(action);
  else run(action, {});
}

async function run(action, values) {
  busy = true;
  try {
    await action.run(values);
    refused = null;
    return null;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused = error.message;
    return refused;
  } finally {
    busy = false;
    action.done();
  }
}

async function provision(at, verb, values, record) {
  if (values.image !== undefined) {
    const set = (key, value) => ({ op: value ? 'add' : 'remove', path: `/instance_info/${key}`, value: value || undefined });
    const has = (key) => record.instance_info?.[key] !== undefined;
    const patch = [['image_source', values.image], ['image_checksum', values.checksum]]
      .filter(([key, value]) => value !== (record.instance_info?.[key] ?? '') && (value || has(key)))
      .map(([key, value]) => set(key, value));
    if (patch.length) await send('PATCH', at, patch);
  }
  const body = { target: verb };
  if (values.steps !== undefined) body[VERBS[verb].steps] = values.steps;
  if (values.password !== undefined) body.rescue_password = values.password;
  await send('PUT', `${at}/states/provision`, body);
}

/** Asks whether it is meant, and for what is needed. */
function ask(action) {
  const dialog = byId('dialog');
  setText(byId('dialog-title'), `${action.label.replace('…', '')} ${action.name}?`);
  setText(byId('dialog-text'), action.confirm);
  const fields = fieldsOf(action);
  byId('dialog-fields').replaceChildren(...fields.map(({ label, input }) => make('label', { class: 'field' }, make('span', { text: label }), input)));
  const go = byId('dialog-go');
  setText(go, action.label.replace('…', ''));
  setAttribute(go, 'class', action.danger ? 'danger' : 'primary');
  show(byId('dialog-refusal'), false);
  byId('dialog-cancel').onclick = () => dialog.close();
  byId('dialog-form').onsubmit = async (event) => {
    event.preventDefault();
    const refusal = byId('dialog-refusal');
    let values;
    try {
      values = Object.fromEntries(fields.map(({ name, input, read }) => [name, read ? read(input.value) : input.value]));
    } catch (error) {
      setText(refusal, `The steps are no JSON: ${error.message}`);
      show(refusal, true);
      return;
    }
    const text = await run(action, values);
    setText(refusal, text);
    show(refusal, text !== null);
    if (text === null) dialog.close();
  };
  dialog.onclose = () => {
    byId('dialog-fields').replaceChildren();
    refused = null;
    action.done();
  };
  dialog.showModal();
  // What can't be undone is not one key away.
  (fields[0]?.input ?? byId('dialog-cancel')).focus();
}

function fieldsOf(action) {
  const fields = [];
  const info = action.record.instance_info ?? {};
  if (action.image && (action.record.deploy_interface ?? 'direct') === 'direct') {
    fields.push({ name: 'image', label: 'Image: URL or file of the conductor', input: make('input', { type: 'text', value: info.image_source ?? '', required: true, spellcheck: 'false' }) });
    fields.push({ name: 'checksum', label: 'Checksum, or the URL of one', input: make('input', { type: 'text', value: info.image_checksum ?? '', spellcheck: 'false' }) });
  }
  if (action.steps) {
    const example = action.steps === 'clean_steps' ? 'erase_devices_metadata' : 'burnin_cpu';
    const text = make('textarea', { rows: 6, required: true, spellcheck: 'false' });
    text.value = JSON.stringify([{ interface: 'deploy', step: example, args: {} }], null, 2);
    fields.push({ name: 'steps', label: 'Steps (JSON)', input: text, read: JSON.parse });
  }
  if (action.password) {
    fields.push({ name: 'password', label: 'Password of the user rescue', input: make('input', { type: 'password', required: true, autocomplete: 'new-password' }) });
  }
  if (action.reason) fields.push({ name: 'reason', label: 'Reason', input: make('input', { type: 'text' }) });
  return fields;
}

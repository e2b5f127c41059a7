// What the machine is made of, as tables. All of it was said by the machine.

import { make } from './dom.js';
import { bytes } from './format.js';

let drawn = null;

/** Draws the inventory and the ports; only when they are others than before. */
export function drawInventory(parent, inventory, ports) {
  const key = JSON.stringify([inventory, ports.map((port) => [port.address, port.pxe_enabled])]);
  if (key === drawn) return;
  drawn = key;
  const parts = inventory ? [summary(inventory), disks(inventory.disks), interfaces(inventory.interfaces, ports)] : [];
  if (!inventory) {
    parts.push(make('p', { class: 'quiet', text: 'The machine was not inspected yet.' }));
    if (ports.length) parts.push(table('Ports', ['MAC address', 'Boots'], ports.map((port) => [port.address, port.pxe_enabled ? 'yes' : 'no'])));
  }
  parent.replaceChildren(...parts.filter(Boolean));
}

const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => (value === null || value === undefined || value === '' ? '–' : String(value));

function summary(inventory) {
  const { system_vendor: vendor = {}, cpu = {}, memory = {}, boot = {} } = inventory;
  const memoryBytes = memory?.physical_mb ? memory.physical_mb * 1024 * 1024 : memory?.total;
  const facts = [
    ['System', [vendor?.manufacturer, vendor?.product_name].filter(Boolean).join(' ')],
    ['Serial number', vendor?.serial_number],
    ['CPU', [cpu?.count && `${cpu.count} ×`, cpu?.model_name, cpu?.architecture].filter(Boolean).join(' ')],
    ['Memory', memoryBytes && bytes(memoryBytes)],
    ['Firmware', [boot?.current_boot_mode, vendor?.firmware?.version].filter(Boolean).join(', ')],
    ['BMC', inventory.bmc_address],
  ].filter(([, value]) => value);
  return make('dl', { class: 'facts wide' }, ...facts.map(([label, value]) => make('div', {}, make('dt', { text: label }), make('dd', { text: String(value) }))));
}

function disks(found) {
  const rows = list(found).map((disk) => [
    disk.name, disk.size ? bytes(disk.size) : null, disk.rotational === true ? 'rotating' : disk.rotational === false ? 'solid state' : null,
    disk.model, disk.serial, disk.wwn,
  ]);
  return rows.length ? table('Disks', ['Name', 'Size', 'Kind', 'Model', 'Serial number', 'WWN'], rows) : null;
}

function interfaces(found, ports) {
  const known = new Map(list(ports).map((port) => [port.address, port]));
  const rows = list(found).map((nic) => {
    const port = known.get(String(nic.mac_address).toLowerCase());
    return [
      nic.name, nic.mac_address, nic.ipv4_address ?? nic.ipv6_address, nic.has_carrier === true ? 'up' : nic.has_carrier === false ? 'down' : null,
      nic.speed_mbps ? `${nic.speed_mbps} Mbit/s` : null, nic.product, port ? (port.pxe_enabled ? 'boots' : 'port') : null,
    ];
  });
  return rows.length ? table('Network interfaces', ['Name', 'MAC address', 'Address', 'Link', 'Speed', 'Product', 'Port'], rows) : null;
}

/** A table; columns in which nothing stands are left out. */
function table(caption, heads, rows) {
  const used = heads.map((_, column) => column === 0 || rows.some((row) => text(row[column]) !== '–'));
  const pick = (cells) => cells.filter((_, column) => used[column]);
  return make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, make('table', {},
    make('caption', { text: caption }),
    make('thead', {}, make('tr', {}, ...pick(heads).map((head) => make('th', { scope: 'col', text: head })))),
    make('tbody', {}, ...rows.map((row) => make('tr', {}, ...pick(row).map((cell, column) => make(column ? 'td' : 'th', { scope: column ? null : 'row', text: text(cell) })))))));
}

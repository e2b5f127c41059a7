// Files that are kept for machines: what they are of, how large, and whether somebody uses them.

import { get } from './api.js';
import { byId, make, reconcile, setText } from './dom.js';
import { bytes, roughly } from './format.js';

/** How often an open list is brought up to date. */
const PAUSE = 10_000;

/** The list is asked for as long as it is open. */
export function watchMedia(now) {
  const section = byId('media');
  const draw = () => section.open && drawMedia(now());
  section.addEventListener('toggle', draw);
  setInterval(draw, PAUSE);
}

async function drawMedia(now) {
  let body;
  try {
    body = await get('/stub/media');
  } catch (error) {
    setText(byId('media-sum'), error.message);
    return;
  }
  const { kept, published } = body;
  setText(byId('media-sum'), `${bytes(body.bytes)} of ${bytes(body.limit_bytes)} in ${kept.length.toLocaleString()}`
    + ` ${kept.length === 1 ? 'file' : 'files'}, ${published.length.toLocaleString()} published`);
  kept.sort((a, b) => b.used - a.used);
  reconcile(byId('media-files'), kept, (file) => file.path, makeFile, (item, file) => {
    const [source, size, use, age] = item.children;
    setText(source, file.source);
    setText(size, bytes(file.bytes));
    setText(use, file.in_use ? 'in use' : file.one_shot ? 'for one use' : 'kept');
    setText(age, roughly(now - file.used));
  });
}

const makeFile = () => make('li', {}, make('span', { class: 'source' }), make('span'), make('span'), make('span'));

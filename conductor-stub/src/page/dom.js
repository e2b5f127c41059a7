// Elements, made and changed without markup: every text from outside becomes a text node.

const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes and children. `class`, `text` and `on…` are what they say; null is left out. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') element.textContent = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Writes only what differs: an untouched node costs no layout. */
export function setText(element, text) {
  const wanted = text ?? '';
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? '' : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

export function show(element, wanted) {
  if (element.hidden === wanted) element.hidden = !wanted;
}

export const byId = (id) => document.getElementById(id);

/**
 * Makes the children of `parent` those of `items`, in their order. What is there already stays the same element, with its
 * focus; `create` makes one for a new key, `update` brings any up to date.
 */
export function reconcile(parent, items, key, create, update) {
  const before = new Map();
  for (const child of parent.children) before.set(child.dataset.key, child);
  const wanted = items.map((item) => {
    const name = String(key(item));
    let child = before.get(name);
    if (child) before.delete(name);
    else {
      child = create(item);
      child.dataset.key = name;
    }
    update(child, item);
    return child;
  });
  for (const gone of before.values()) gone.remove();
  arrange(parent, wanted);
}

/** Moves as few children as possible: those outside of the longest run that is in order already. */
function arrange(parent, wanted) {
  const place = new Map();
  let number = 0;
  for (const child of parent.children) place.set(child, number++);
  const stays = longestRun(wanted.map((child) => place.get(child) ?? -1));
  const focused = document.activeElement;
  let next = null;
  for (let at = wanted.length - 1; at >= 0; at--) {
    const child = wanted[at];
    if (!stays.has(at)) move(parent, child, next);
    next = child;
  }
  // Where a browser can't move an element with its focus.
  if (focused && focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

function move(parent, child, next) {
  if (parent.moveBefore && child.parentNode === parent) parent.moveBefore(child, next);
  else parent.insertBefore(child, next);
}

/** The indexes of a longest increasing subsequence; -1 stands for what is new. */
function longestRun(places) {
  const ends = [];
  const previous = new Array(places.length).fill(-1);
  places.forEach((value, index) => {
    if (value < 0) return;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (places[ends[middle]] < value) low = middle + 1;
      else high = middle;
    }
    if (low > 0) previous[index] = ends[low - 1];
    ends[low] = index;
  });
  const run = new Set();
  for (let index = ends.at(-1) ?? -1; index >= 0; index = previous[index]) run.add(index);
  return run;
}

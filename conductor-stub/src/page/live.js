// The stream of changes: connected as long as somebody looks, and whether it is.

import { address } from './api.js';
import { byId, setAttribute, setText } from './dom.js';
import { clock } from './format.js';

/** Longer silence than this is no connection: a beat comes every ten seconds. */
const SILENCE = 25_000;
/** The pause before a refused stream is asked for again. */
const PAUSE = 3_000;

/**
 * Follows `path`. `load` asks for everything and returns the id of the event from which on changes are to be told;
 * `handlers` get each event by its name; `changed` runs once per frame in which something came.
 */
export function follow(path, load, handlers, changed) {
  let source = null;
  let last = null;
  let timer = null;
  let frame = 0;

  const heard = () => {
    connected();
    clearTimeout(timer);
    timer = setTimeout(() => restart(0), SILENCE);
  };

  // A burst of events is one change of the page.
  const draw = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      changed();
    });
  };

  async function start() {
    try {
      if (last === null) {
        last = await load();
        draw();
      }
      open();
    } catch (error) {
      disconnected(error.status === 401 ? 'not signed in' : null);
      restart(PAUSE);
    }
  }

  function open() {
    const url = address(path);
    url.searchParams.set('after', last);
    source = new EventSource(url);
    source.onopen = heard;
    source.onerror = () => {
      disconnected();
      // Refused, and not only cut off: the browser gives up.
      if (source?.readyState === EventSource.CLOSED) restart(PAUSE);
    };
    source.addEventListener('beat', (event) => {
      last = event.lastEventId || last;
      heard();
    });
    source.addEventListener('reset', () => {
      last = null;
      restart(0);
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        last = event.lastEventId;
        heard();
        handle(JSON.parse(event.data));
        draw();
      });
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function restart(pause) {
    close();
    timer = setTimeout(start, pause);
  }

  // Browsers keep few connections to a server: pages that nobody sees give theirs back.
  const visibility = () => {
    close();
    if (document.visibilityState === 'visible') start();
  };
  document.addEventListener('visibilitychange', visibility);
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => event.persisted && visibility());
  start();
}

let lastHeard = null;
let skew = 0;

/** The conductor's time, seconds since the epoch. */
export const now = () => Date.now() / 1000 + skew;

/** Learns the conductor's time. */
export function learnTime(seconds) {
  skew = seconds - Date.now() / 1000;
}

function connected() {
  lastHeard = Date.now() / 1000;
  const element = byId('connection');
  setAttribute(element, 'data-live', 'yes');
  setText(element, 'Live');
}

function disconnected(why) {
  const element = byId('connection');
  setAttribute(element, 'data-live', 'no');
  const since = lastHeard === null ? '' : ` since ${clock(lastHeard)}`;
  setText(element, why ? `Not connected${since}: ${why}` : `Not connected${since}`);
}

// The conductor's API. The browser sends the name and password that it asked for.

const VERSION = '1.95';

/** The URL of a path; also where the page's own URL has a name and a password in it, which requests must not have. */
export const address = (path) => new URL(path, location.origin);

/** Why a request was refused, in the conductor's words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function get(path) {
  return (await ask('GET', path)).json();
}

export async function send(method, path, body) {
  await ask(method, path, body);
}

async function ask(method, path, body) {
  const headers = { 'X-OpenStack-Ironic-API-Version': VERSION, Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(address(path), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, 'The conductor does not answer.');
  }
  if (!response.ok) throw new Refused(response.status, await reason(response));
  return response;
}

/** Ironic puts JSON into a string in JSON. */
async function reason(response) {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text);
    const fault = typeof body.error_message === 'string' ? JSON.parse(body.error_message) : body.error_message;
    return fault?.faultstring ?? body.error?.message ?? `Status ${response.status}`;
  } catch {
    return `Status ${response.status}`;
  }
}

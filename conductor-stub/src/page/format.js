// Numbers and times as people read them.

/** Bytes as `1.2 GiB`. */
export function bytes(count) {
  if (count == null) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Seconds as `7.2 s`, `3 min 20 s`, `2 h 5 min`, `3 days`. */
export function duration(seconds) {
  return seconds < 9.95 ? `${Math.max(0, seconds).toFixed(1)} s` : whole(seconds);
}

/** The same in whole seconds. */
export function whole(seconds) {
  const count = Math.max(0, Math.round(seconds));
  if (count < 60) return `${count} s`;
  if (count < 3600) return pair(Math.floor(count / 60), 'min', count % 60, 's');
  if (count < 86400) return pair(Math.floor(count / 3600), 'h', Math.floor((count % 3600) / 60), 'min');
  const days = Math.floor(count / 86400);
  return days === 1 ? '1 day' : `${days} days`;
}

/** The same, for a list: one unit, so that it changes rarely. */
export function roughly(seconds) {
  const count = Math.max(0, Math.floor(seconds));
  if (count < 60) return count < 10 ? 'now' : `${Math.floor(count / 10) * 10} s`;
  if (count < 3600) return `${Math.floor(count / 60)} min`;
  return count < 86400 ? `${Math.floor(count / 3600)} h` : whole(count);
}

function pair(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

/** Seconds since the epoch as a time of today, or with its day. */
export function clock(seconds) {
  const date = new Date(seconds * 1000);
  return (date.toDateString() === new Date().toDateString() ? time : dateTime).format(date);
}

/** ISO 8601 as a time. */
export function moment(text) {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? '' : clock(at / 1000);
}

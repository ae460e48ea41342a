// Formats figures, times and messages for people.
const FIELDS = { image_version: "image version", dags_hash: "DAGs", airflow_version: "Airflow" };
const HASH_SHOWN = 8;

export const fieldName = (field) => FIELDS[field] ?? field;

export const shortHash = (hash) => hash.slice(0, HASH_SHOWN);

export const figure = (value) => (value === null || value === undefined ? "–" : value.toLocaleString());

export const count = (number, one, many = `${one}s`) => `${figure(number)} ${number === 1 ? one : many}`;

export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export const clock = (t, seconds = false) =>
  new Date(t * 1000).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    ...(seconds && { second: "2-digit" }),
    hourCycle: "h23",
  });

// A time by the viewer's clock, with its day if that is another one.
export function moment(t) {
  const day = new Date(t * 1000);
  const isToday = day.toDateString() === new Date().toDateString();
  return isToday ? clock(t, true) : `${day.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock(t, true)}`;
}

// Text with times in it, by the viewer's clock, with seconds, which a forecast needs.
export const timed = (parts) => parts.map((part) => (typeof part === "number" ? clock(part, true) : part)).join("");

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const memberName = (id) => (id.length > 24 ? `${id.slice(0, 8)}…${id.slice(id.indexOf("/"))}` : id);

// {status, title, text}: the fleet's code in one sentence; `status` is one of Chakra UI's.
const STATUS = { in_sync: "success", out_of_sync: "warning", unknown: "info" };
export const verdict = ({ status, title, text }) => ({ status: STATUS[status], title, text });

// Explains why the last reading failed.
export function trouble(error) {
  if (error.status === 401) return "You are signed out. Sign in again to see the fleet.";
  if (error.status === 403) return "You may not see the fleet. You need Airflow's permission to read cluster activity.";
  if (error.status === 503) return "The fleet registry cannot be read: the broker does not answer the webserver.";
  return "The webserver does not answer.";
}

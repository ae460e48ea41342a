// Turns samples into coordinates: scales, ticks, and lines that break where values are unknown.

// Round numbers from 0 to at least `most`.
export function ticks(most, about = 4) {
  const rough = Math.max(1, most) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, power * [1, 2, 5, 10].find((factor) => factor * power >= rough));
  return Array.from({ length: Math.ceil(Math.max(1, most) / step) + 1 }, (_, n) => n * step);
}

const STEPS_S = [60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 5400, 7200, 10800, 21600];
const FEWEST_TICKS = 4;

// Round times between two times in seconds, by the viewer's clock: at least four, and about as many as there is room for.
export function timeTicks(from, to, room) {
  const widest = STEPS_S.findLast((step) => (to - from) / step >= FEWEST_TICKS) ?? STEPS_S[0];
  const step = Math.min(widest, STEPS_S.find((each) => (to - from) / each <= room) ?? widest);
  const shift = new Date(from * 1000).getTimezoneOffset() * 60;
  const first = Math.ceil((from - shift) / step) * step + shift;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, n) => first + n * step);
}

const FEWEST_STEPS = 60; // a pool that has just begun gets half an hour
const AHEAD = 1 / 4; // of a range that was chosen, at most, for the forecast

// {from, to}: which times a plot shows. `range`: seconds until now, or null for everything recorded and forecast.
export function timesShown({ range, first, last, now, most, step }) {
  if (range !== null) return { from: now - range, to: Math.max(now, Math.min(last ?? now, now + range * AHEAD)) };
  const from = Math.max(now - most, first);
  return { from, to: Math.max(now, from + FEWEST_STEPS * step, last ?? 0) };
}

// [[t, value], ...] split where a value is unknown or more than `gap` seconds are missing.
export function runs(points, gap) {
  const found = [];
  let last = null;
  for (const point of points) {
    if (point[1] === null) {
      last = null;
      continue;
    }
    if (last === null || point[0] - last[0] > gap) found.push([]);
    found.at(-1).push(point);
    last = point;
  }
  return found;
}

export const path = (run, x, y) => run.map(([t, value], n) => `${n ? "L" : "M"}${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join("");

// Vertical lines from zero to each point.
export const stems = (points, x, y) => points.map(([t, value]) => `M${x(t).toFixed(1)} ${y(0)}V${y(value).toFixed(1)}`).join("");

export function area(run, x, y) {
  return `${path(run, x, y)}L${x(run.at(-1)[0]).toFixed(1)} ${y(0)}L${x(run[0][0]).toFixed(1)} ${y(0)}Z`;
}

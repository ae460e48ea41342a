// Turns samples into coordinates: scales, ticks, and lines that break where values are unknown.

// Round numbers from 0 to at least `most`.
export function ticks(most, about = 4) {
  const rough = Math.max(1, most) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, power * [1, 2, 5, 10].find((factor) => factor * power >= rough));
  return Array.from({ length: Math.ceil(Math.max(1, most) / step) + 1 }, (_, n) => n * step);
}

// Full hours (or half hours) between two times in seconds, by the viewer's clock.
export function hourTicks(from, to, about) {
  const step = [1800, 3600, 7200, 10800].find((each) => (to - from) / each <= about) ?? 21600;
  const shift = new Date(from * 1000).getTimezoneOffset() * 60;
  const first = Math.ceil((from - shift) / step) * step + shift;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, n) => first + n * step);
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

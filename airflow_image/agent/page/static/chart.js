// A pool's last hours and its forecast. Drawn as SVG, because Airflow offers plugins no chart library.
import { ChakraUI, React, h } from "./kit.js";
import { tone } from "./parts.js";
import { area, path, runs, stems, ticks, timesShown, timeTicks } from "./scale.js";
import { clock, figure } from "./words.js";

const { Box, Flex, HStack, Text } = ChakraUI;
const HEIGHT = 200;
const MARGIN = { top: 10, right: 8, bottom: 24, left: 44 };
const GAP_STEPS = 4;
const PIXELS_A_TICK = 70;
const HALF_A_LABEL = 16;
const colour = (token) => `var(--chakra-colors-${token.replace(".", "-")})`;
// A sample: [t, queued, active, consuming, draining, desired].
const SERIES = [
  { name: "Slots", token: tone.green, of: (sample, slots) => (sample[3] === null ? null : sample[3] * slots) },
  { name: "Active", token: tone.blue, of: (sample) => sample[2], filled: true },
  { name: "Queued", token: tone.orange, of: (sample) => sample[1] },
];
// A forecast: [t, slots], how many more slots are expected from that time on.
const FORECAST = { name: "Expected", token: tone.purple };

function useWidth() {
  const ref = React.useRef(null);
  const [width, setWidth] = React.useState(0);
  React.useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

function Key({ series, value }) {
  return h(
    HStack,
    { gap: 1.5 },
    h(Box, { w: 3, h: "3px", borderRadius: "full", bg: series.token }),
    h(Text, { as: "span", color: "fg.muted" }, series.name),
    value !== undefined && h(Text, { as: "span", fontWeight: "semibold" }, figure(value)),
  );
}

function Lines({ lines, forecast, x, y }) {
  return h(
    React.Fragment,
    null,
    lines.flatMap(({ token, filled, found }) =>
      found.map((run, n) =>
        h(
          React.Fragment,
          { key: `${token}${n}` },
          filled && h("path", { d: area(run, x, y), fill: token, opacity: 0.18 }),
          h("path", { d: path(run, x, y), fill: "none", stroke: token, strokeWidth: 1.75, strokeLinejoin: "round" }),
        ),
      ),
    ),
    forecast.length > 0 && h("path", { d: stems(forecast, x, y), stroke: FORECAST.token, strokeWidth: 3, strokeLinecap: "round" }),
  );
}

function Axes({ width, from, to, levels, x, y }) {
  const label = { fill: colour("fg.muted"), style: { fontSize: "11px" } };
  const inside = (t) => Math.min(Math.max(x(t), HALF_A_LABEL), width - HALF_A_LABEL);
  return h(
    "g",
    { "aria-hidden": true },
    levels.map((level) =>
      h(
        React.Fragment,
        { key: level },
        h("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(level), y2: y(level), stroke: colour("border"), strokeWidth: 1 }),
        h("text", { x: MARGIN.left - 8, y: y(level) + 4, textAnchor: "end", ...label }, figure(level)),
      ),
    ),
    timeTicks(from, to, Math.floor((width - MARGIN.left) / PIXELS_A_TICK)).map((t) =>
      h("text", { key: t, x: inside(t), y: HEIGHT - 6, textAnchor: "middle", ...label }, clock(t)),
    ),
  );
}

export function Chart({ past, hours, range, step, concurrency, name, now }) {
  const [ref, width] = useWidth();
  const [picked, setPicked] = React.useState(null);
  const coming = (past.forecast ?? []).filter(([t]) => t >= now - step);
  const first = past.samples[0]?.[0] ?? now;
  const { from, to } = timesShown({ range, first, last: coming.at(-1)?.[0], now, most: hours * 3600, step });
  const samples = past.samples.filter(([t]) => t >= from);
  const forecast = coming.filter(([t]) => t <= to);
  if (samples.length === 0) {
    const none = past.samples.length === 0 ? "No history is recorded yet." : "Nothing is recorded in this time.";
    return h(Box, { ref }, h(Text, { color: "fg.muted", fontSize: "sm" }, none));
  }

  const lines = SERIES.map((series) => {
    const points = samples.map((sample) => [sample[0], series.of(sample, concurrency)]);
    return { ...series, points, found: runs(points, GAP_STEPS * step) };
  });
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0)), ...forecast.map(([, slots]) => slots));
  const levels = ticks(most);
  const x = (t) => MARGIN.left + ((t - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - (value / levels.at(-1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const at = picked === null ? null : Math.min(picked, samples.length - 1);
  const nearest = (event) => {
    const pixel = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const distances = samples.map((sample) => Math.abs(x(sample[0]) - pixel));
    setPicked(distances.indexOf(Math.min(...distances)));
  };
  const walk = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setPicked(Math.min(samples.length - 1, Math.max(0, (at ?? samples.length - 1) + by)));
  };
  const latest = samples.at(-1);
  return h(
    Box,
    { ref },
    h(
      Flex,
      { gap: 4, wrap: "wrap", fontSize: "xs", mb: 1, align: "center", fontVariantNumeric: "tabular-nums", minH: 5 },
      lines.map((line) => h(Key, { key: line.name, series: line, value: at === null ? undefined : line.points[at][1] })),
      forecast.length > 0 && h(Key, { series: FORECAST }),
      at !== null && h(Text, { as: "span", color: "fg.muted" }, `at ${clock(samples[at][0])}`),
    ),
    h(
      "svg",
      {
        width: "100%",
        height: HEIGHT,
        tabIndex: 0,
        role: "img",
        "aria-label": `Pool ${name} since ${clock(from)}: latest ${figure(latest[2])} active and ${figure(latest[1])} queued tasks. Arrow keys move through the samples.`,
        onPointerMove: nearest,
        onPointerLeave: () => setPicked(null),
        onBlur: () => setPicked(null),
        onKeyDown: walk,
      },
      width > 0 &&
        h(
          React.Fragment,
          null,
          h(Axes, { width, from, to, levels, x, y }),
          h(Lines, { lines, forecast, x, y }),
          to > now && h("line", { x1: x(now), x2: x(now), y1: MARGIN.top, y2: y(0), stroke: colour("border.emphasized"), strokeDasharray: "2 3" }),
          at !== null && h("line", { x1: x(samples[at][0]), x2: x(samples[at][0]), y1: MARGIN.top, y2: y(0), stroke: colour("fg.muted") }),
        ),
    ),
  );
}

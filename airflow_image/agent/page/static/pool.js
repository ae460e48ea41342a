// One pool: its figures, its workers, its last hours, and the decisions about its size.
import { ChakraUI, React, h } from "./kit.js";
import { Chart } from "./chart.js";
import { Decisions } from "./decisions.js";
import { Figure, Notice, Section, tone } from "./parts.js";
import { count, figure, memberName, sentence, timed } from "./words.js";

const { Badge, Box, HStack, Stack, Text } = ChakraUI;
const COLOURS = { starting: tone.blue, consuming: tone.green, draining: tone.orange, drained: tone.gray };

const Workers = React.memo(
  function Workers({ workers }) {
    if (workers.length === 0) return null;
    return h(
      Box,
      {
        role: "img",
        "aria-label": `${count(workers.length, "worker")}; the filled part of a square is the busy share of its slots`,
        display: "flex",
        flexWrap: "wrap",
        gap: "3px",
        css: {
          "& i": { width: "18px", height: "18px", borderRadius: "4px", overflow: "hidden", display: "flex", bg: "bg.emphasized" },
          "& i > b": { alignSelf: "flex-end", width: "100%", minHeight: "3px" },
          ...Object.fromEntries(Object.entries(COLOURS).map(([state, colour]) => [`& i.${state} > b`, { bg: colour }])),
        },
      },
      workers.map((worker) =>
        h(
          "i",
          {
            key: worker.id,
            className: worker.state,
            title: `${memberName(worker.id)}: ${worker.state}, ${worker.active} of ${worker.slots} slots busy`,
          },
          h("b", { style: { height: `${Math.min(100, (100 * worker.active) / Math.max(1, worker.slots))}%` } }),
        ),
      ),
    );
  },
  (before, after) => JSON.stringify(before) === JSON.stringify(after),
);

function Legend() {
  return h(
    HStack,
    { gap: 4, wrap: "wrap", color: "fg.muted", fontSize: "xs", "aria-hidden": true, "data-testid": "fleet-legend" },
    Object.entries(COLOURS).map(([state, colour]) =>
      h(HStack, { key: state, gap: 1.5 }, h(Box, { boxSize: 2.5, borderRadius: "sm", bg: colour }), state),
    ),
  );
}

export function Pool({ pool, workers, past, hours, range, step, readAt }) {
  const troubles = [...pool.troubles, ...(past?.troubles ?? [])];
  const drained = pool.drained ? `${pool.drained} drained` : undefined;
  return h(
    Section,
    {
      title: `Pool ${pool.name}`,
      "data-testid": `fleet-pool-${pool.name}`,
      aside: h(
        HStack,
        { wrap: "wrap" },
        pool.queues.map((queue) => h(Badge, { key: queue, variant: "subtle" }, queue)),
        h(Text, { color: "fg.muted", fontSize: "sm" }, `${pool.concurrency} slots per worker, at most ${count(pool.maximum, "worker")}`),
      ),
    },
    h(
      Stack,
      { gap: 5 },
      troubles.length > 0 &&
        h(Notice, { status: "warning", size: "sm", text: sentence(troubles.join("; ")) }),
      h(
        Box,
        { as: "dl", display: "grid", gridTemplateColumns: { base: "repeat(2, 1fr)", md: "repeat(5, 1fr)" }, rowGap: 4, columnGap: 3 },
        h(Figure, { name: "Queued", value: figure(pool.queued), detail: pool.waiting ? `and ${figure(pool.waiting)} waiting for a slot` : "tasks", accent: tone.orange }),
        h(Figure, { name: "Active", value: figure(pool.active), detail: pool.memory || `of ${count(pool.slots, "slot")}`, accent: tone.blue }),
        h(Figure, { name: "Consuming", value: figure(pool.consuming), detail: drained, accent: tone.green }),
        h(Figure, { name: "Draining", value: figure(pool.draining), accent: pool.draining ? tone.orange : undefined }),
        h(Figure, { name: "Desired", value: figure(pool.desired), detail: "workers", accent: tone.purple }),
      ),
      pool.needs && h(Text, { fontSize: "sm", color: "fg.muted" }, pool.needs),
      pool.coming && h(Text, { fontSize: "sm", "data-testid": `fleet-coming-${pool.name}` }, sentence(pool.coming)),
      h(Stack, { gap: 2 }, h(Workers, { workers }), h(Legend)),
      past && h(Chart, { past, hours, range, step, concurrency: pool.concurrency, name: pool.name, now: readAt }),
      past && h(Text, { fontSize: "sm", color: past.forecast ? undefined : "fg.muted" }, timed(past.expected)),
      h(Decisions, { decisions: pool.decisions }),
    ),
  );
}

// The Fleet page: which processes run which code, what the pools do and why, all members of the registry.
import { ChakraUI, Guard, React, h } from "./kit.js";
import { useLive } from "./live.js";
import { Bundles } from "./bundles.js";
import { CodeByRole } from "./code.js";
import { Costs } from "./costs.js";
import { Members } from "./members.js";
import { Choice, Notice, toned } from "./parts.js";
import { Pool } from "./pool.js";
import { clock, trouble, verdict } from "./words.js";

const FLEET_EVERY_MS = 2_000;
const HISTORY_EVERY_MS = 15_000;
const COSTS_EVERY_MS = 60_000;
// How far back the plots go, in seconds; null: from the first sample to the end of the forecast.
const RANGES = [
  { name: "15 min", value: 900 },
  { name: "1 h", value: 3_600 },
  { name: "6 h", value: 21_600 },
  { name: "Fit", value: null },
];
const { Box, Flex, Heading, Skeleton, Stack, Status, Text } = ChakraUI;

function Freshness({ data, error }) {
  const text = error ? "Not live" : data ? "Live" : "Reading";
  const when = data ? `, as of ${clock(data.read_at, true)}` : "";
  return h(
    Status.Root,
    { colorPalette: error ? "red" : data ? "green" : "gray", "data-testid": "fleet-freshness" },
    h(Status.Indicator),
    h(Text, { as: "span", color: "fg.muted", fontSize: "sm", fontVariantNumeric: "tabular-nums" }, text + when),
  );
}

function Malformed({ ids }) {
  if (ids.length === 0) return null;
  return h(Notice, {
    status: "error",
    title: `${ids.length === 1 ? "One record" : `${ids.length} records`} in the registry ${ids.length === 1 ? "is" : "are"} malformed`,
    text: ids.join(", "),
    "data-testid": "fleet-malformed",
  });
}

function Page() {
  const fleet = useLive("fleet", FLEET_EVERY_MS);
  const past = useLive("history", HISTORY_EVERY_MS);
  const costs = useLive("costs", COSTS_EVERY_MS);
  const [range, setRange] = React.useState(null);
  const { data, error } = fleet;
  return h(
    Box,
    { "data-testid": "fleet-page", css: toned, p: { base: 3, md: 6 }, maxW: "90rem", mx: "auto", w: "full" },
    h(
      Flex,
      { justify: "space-between", align: "center", mb: 4, gap: 3, wrap: "wrap" },
      h(Heading, { as: "h1", size: "2xl" }, "Fleet"),
      h(
        Flex,
        { align: "center", gap: 4, wrap: "wrap" },
        h(Choice, { label: "Time range of the plots", choices: RANGES, chosen: range, choose: setRange }),
        h(Freshness, fleet),
      ),
    ),
    h(
      Stack,
      { gap: 5 },
      error && h(Notice, { status: "error", text: trouble(error), role: "alert", "data-testid": "fleet-error" }),
      !data && !error && h(Stack, { gap: 5, "aria-hidden": true }, h(Skeleton, { h: 16 }), h(Skeleton, { h: 72 })),
      data && h(Notice, { ...verdict(data.code), role: "status", "data-testid": "fleet-verdict" }),
      data && h(Malformed, { ids: data.malformed }),
      data &&
        data.undeclared_pools.length > 0 &&
        h(Notice, {
          status: "warning",
          text: `Workers report for a pool that is not declared: ${data.undeclared_pools.join(", ")}.`,
        }),
      data &&
        data.pools.map((pool) =>
          h(Pool, {
            key: pool.name,
            pool,
            workers: data.members.filter((member) => member.role === "worker" && member.pool === pool.name),
            past: past.data?.pools.find((each) => each.name === pool.name),
            hours: past.data?.hours,
            range,
            step: past.data?.step_s,
            readAt: data.read_at,
          }),
        ),
      costs.data && h(Costs, { costs: costs.data }),
      data && h(CodeByRole, { code: data.code }),
      data?.bundles_trouble && h(Notice, { status: "warning", text: data.bundles_trouble }),
      data && h(Bundles, { bundles: data.bundles }),
      data && h(Members, { members: data.members, reference: data.code.reference }),
    ),
  );
}

const broken = () => h(Notice, { status: "error", text: "The Fleet page has failed. Reload it.", m: 6 });

globalThis.Fleet = () => h(Guard, { instead: h(broken) }, h(Page));

// What tasks cost, by DAG and by owner, today and in the last month.
import { ChakraUI, React, h } from "./kit.js";
import { Choice, Figure, Notice, Section, Table, tone, useOrder } from "./parts.js";
import { clock, figure, sentence } from "./words.js";

const { Box, HStack, Stack, Text } = ChakraUI;

const fixed = (value, digits) => value.toLocaleString([], { minimumFractionDigits: digits, maximumFractionDigits: digits });
const hours = (s) => fixed(s / 3600, 2);
const dollars = (usd) => (usd === null ? "–" : `$${fixed(usd, 2)}`);
const known = (value, digits) => (value === null ? "–" : fixed(value, digits));

// {name, of: what the rows are sorted by, text: what is shown, title: what it means}
const columnsFor = (worker_s) => [
  { name: "Tasks", of: (row) => row.tasks, text: (row) => figure(row.tasks), title: "that ended" },
  { name: "Worker-hours", of: (row) => row.worker_s, text: (row) => hours(row.worker_s) },
  { name: "Of these idle", of: (row) => row.idle_s, text: (row) => hours(row.idle_s), title: "its part of boots, drains and free workers" },
  { name: "Tasks beside", of: (row) => row.beside, text: (row) => known(row.beside, 1), title: "tasks that shared a worker with it, itself included" },
  { name: "Worker-s a task", of: (row) => row.a_task_s, text: (row) => known(row.a_task_s, 1) },
  { name: "US$", of: (row) => row.usd, text: (row) => dollars(row.usd) },
  { name: "Share", of: (row) => row.worker_s, text: (row) => `${fixed(worker_s ? (100 * row.worker_s) / worker_s : 0, 1)} %` },
];

function Rows({ label, first, rows, worker_s, ...props }) {
  const figures = columnsFor(worker_s).map((column) => ({ ...column, figure: true }));
  const names = first.map(({ name, field }) => ({ name, of: (row) => row[field] }));
  const { headings, sorted } = useOrder([...names, ...figures], rows, { name: "Worker-hours", down: true });
  return h(
    Table,
    { label, columns: headings, maxH: "24rem", ...props },
    sorted.map((row) =>
      h(
        "tr",
        { key: `${row.name} ${row.owners}` },
        first.map(({ name, field }) => h("td", { key: name, className: "name" }, row[field])),
        figures.map(({ name, text, title }) => h("td", { key: name, className: "figure", title }, text(row))),
      ),
    ),
  );
}

function Period({ period, prices }) {
  const { all, unborne, note, dags, owners } = period;
  const { worker_s } = all;
  return h(
    Stack,
    { gap: 5 },
    h(
      Box,
      { as: "dl", display: "grid", gridTemplateColumns: { base: "repeat(2, 1fr)", md: "repeat(4, 1fr)" }, rowGap: 4, columnGap: 3 },
      h(Figure, { name: "Workers", value: hours(worker_s), detail: "hours", accent: tone.blue }),
      h(Figure, { name: "Cost", value: dollars(all.usd), accent: tone.purple }),
      h(Figure, { name: "Tasks", value: figure(all.tasks), detail: "ended", accent: tone.green }),
      h(Figure, { name: "Idle, for no task", value: dollars(unborne.usd), detail: `${hours(unborne.worker_s)} hours`, accent: unborne.worker_s ? tone.orange : undefined }),
    ),
    note && h(Text, { fontSize: "sm", color: "fg.muted" }, note),
    dags.length === 0
      ? h(Text, { color: "fg.muted", fontSize: "sm" }, "No task ran.")
      : h(
          Stack,
          { gap: 5 },
          h(Rows, {
            label: "Cost by DAG",
            first: [
              { name: "DAG", field: "name" },
              { name: "Owners", field: "owners" },
            ],
            rows: dags,
            worker_s,
            "data-testid": "fleet-costs-dags",
          }),
          h(Rows, { label: "Cost by owner", first: [{ name: "Owner", field: "name" }], rows: owners, worker_s, "data-testid": "fleet-costs-owners" }),
        ),
    h(Text, { fontSize: "xs", color: "fg.muted" }, prices),
  );
}

export function Costs({ costs }) {
  const [chosen, setChosen] = React.useState(0);
  return h(
    Section,
    {
      title: "What it costs",
      "data-testid": "fleet-costs",
      aside: h(
        HStack,
        { wrap: "wrap" },
        costs.until && h(Text, { color: "fg.muted", fontSize: "sm" }, `up to ${clock(costs.until)}`),
        h(Choice, { label: "Period", choices: costs.periods.map(({ name }, value) => ({ name, value })), chosen, choose: setChosen }),
      ),
    },
    h(
      Stack,
      { gap: 5 },
      costs.troubles.length > 0 &&
        h(Notice, { status: "warning", size: "sm", text: sentence(costs.troubles.join("; ")) }),
      h(Period, { key: chosen, period: costs.periods[chosen], prices: costs.prices }),
    ),
  );
}

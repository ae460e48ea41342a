// The parts that the page's sections, and the tab Why, share: frame, notice, figure and table.
import { ChakraUI, React, h } from "./kit.js";

const { Alert, Box, Button, Flex, Heading, HStack, Text } = ChakraUI;

// Colours of lines and marks. Chakra UI's `solid` is too dark for a dark panel: WCAG asks for a contrast of 3:1.
const TONES = ["blue", "gray", "green", "orange", "purple"];
export const tone = Object.fromEntries(TONES.map((name) => [name, `var(--fleet-${name})`]));
const tonesOf = (shade) => Object.fromEntries(TONES.map((name) => [`--fleet-${name}`, `colors.${name}.${shade}`]));
export const toned = { ...tonesOf("solid"), _dark: tonesOf("400") };

// One of several choices: [{name, value}], each a button.
export function Choice({ label, choices, chosen, choose }) {
  return h(
    HStack,
    { role: "group", "aria-label": label, gap: 1 },
    choices.map(({ name, value }) =>
      h(
        Button,
        { key: name, size: "xs", variant: value === chosen ? "solid" : "outline", "aria-pressed": value === chosen, onClick: () => choose(value) },
        name,
      ),
    ),
  );
}

export function Section({ title, aside, children, ...props }) {
  return h(
    Box,
    { as: "section", "aria-label": title, borderWidth: 1, borderRadius: "lg", bg: "bg.panel", ...props },
    h(
      Flex,
      {
        justify: "space-between",
        align: { base: "flex-start", md: "center" },
        direction: { base: "column", md: "row" },
        gap: 2,
        px: { base: 4, md: 5 },
        pt: 4,
        pb: 3,
      },
      h(Heading, { as: "h2", size: "lg" }, title),
      aside,
    ),
    h(Box, { px: { base: 4, md: 5 }, pb: 5 }, children),
  );
}

export function Notice({ status, title, text, ...props }) {
  return h(
    Alert.Root,
    { status, "data-status": status, ...props },
    h(Alert.Indicator),
    h(
      Alert.Content,
      null,
      title && h(Alert.Title, { fontSize: "md" }, title),
      h(Alert.Description, { overflowWrap: "anywhere" }, text),
    ),
  );
}

export function Figure({ name, value, detail, accent }) {
  return h(
    Box,
    { as: "div", borderLeftWidth: 3, borderColor: accent ?? "border", pl: 3, minW: 0 },
    h(Text, { as: "dt", color: "fg.muted", fontSize: "sm" }, name),
    h(
      Box,
      { as: "dd" },
      h(Text, { as: "span", fontSize: "2xl", fontWeight: "semibold", fontVariantNumeric: "tabular-nums" }, value),
      detail && h(Text, { as: "span", color: "fg.muted", fontSize: "sm", ml: 1.5 }, detail),
    ),
  );
}

// Plain rows, because a Chakra UI component for each cell of hundreds of rows takes seconds.
const TABLE = {
  "& table": { width: "100%", borderCollapse: "collapse", fontSize: "sm" },
  "& th": { textAlign: "left", fontWeight: "medium", color: "fg.muted", whiteSpace: "nowrap", py: 2, pr: 5 },
  "& td": { borderTopWidth: "1px", py: 1.5, pr: 5, whiteSpace: "nowrap", fontVariantNumeric: "tabular-nums" },
  "& td.code": { fontFamily: "mono", fontSize: "xs" },
  "& td.name": { whiteSpace: "normal", overflowWrap: "anywhere", minWidth: "12rem" },
  "& .figure": { textAlign: "right" },
  "& th button": { font: "inherit", color: "inherit", cursor: "pointer", _hover: { color: "fg" } },
  "& td button": { font: "inherit", cursor: "pointer", _hover: { textDecoration: "underline" } },
  "& .differs": { color: "fg.warning", fontWeight: "semibold" },
  "& thead th": { position: "sticky", top: 0, bg: "bg.panel" },
};

// A column is a text, or {name, figure, sorted, sort}: whether it holds figures, "ascending" or "descending" if the rows
// are in its order, and what its button does.
function Column({ name, figure, sorted, sort }) {
  const arrow = { ascending: " ↑", descending: " ↓" }[sorted] ?? "";
  return h(
    "th",
    { scope: "col", className: figure ? "figure" : undefined, "aria-sort": sorted },
    sort ? h("button", { type: "button", onClick: sort }, name + arrow) : name,
  );
}

const isUnknown = (value) => value === null || value === undefined || value === "";

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });

// Rows in the order of the column that the reader has chosen, before that in their own; unknown values come last.
// A column: {name, of: what a row is sorted by, figure}. `first`: {name, down}, the order at first.
export function useOrder(columns, rows, first = { name: null, down: false }) {
  const [order, setOrder] = React.useState(first);
  const by = columns.find(({ name }) => name === order.name);
  const headings = columns.map(({ name, figure }) => ({
    name,
    figure,
    sorted: order.name === name ? (order.down ? "descending" : "ascending") : undefined,
    sort: () => setOrder((last) => ({ name, down: last.name === name ? !last.down : Boolean(figure) })),
  }));
  if (!by) return { headings, sorted: rows };
  const [known, unknown] = [rows.filter((row) => !isUnknown(by.of(row))), rows.filter((row) => isUnknown(by.of(row)))];
  known.sort((a, b) => (order.down ? compare(by.of(b), by.of(a)) : compare(by.of(a), by.of(b))));
  return { headings, sorted: [...known, ...unknown] };
}

export function Table({ label, columns, children, ...props }) {
  return h(
    Box,
    { css: TABLE, overflow: "auto", tabIndex: 0, role: "region", "aria-label": label, ...props },
    h(
      "table",
      null,
      h("thead", null, h("tr", null, ...columns.map((column) => h(Column, typeof column === "string" ? { key: column, name: column } : { key: column.name, ...column })))),
      h("tbody", null, children),
    ),
  );
}

// A task instance's tab: why it waits, where it runs, why it died.
import { ChakraUI, Guard, h } from "./kit.js";
import { useLive } from "./live.js";
import { Notice, Section } from "./parts.js";
import { moment } from "./words.js";

const EVERY_MS = 5_000;
const { Box, Code, Skeleton, Stack, Text } = ChakraUI;
const STATUS = { waits: "info", runs: "success", died: "error", ended: "neutral" };
const TITLE = { waits: "Why it waits", runs: "Where it runs", died: "Why it died", ended: "How it ended" };

// A sentence: names are between backticks, numbers are times.
function Sentence({ parts }) {
  return parts.flatMap((part, n) =>
    typeof part === "number"
      ? [h("time", { key: n, dateTime: new Date(part * 1000).toISOString() }, moment(part))]
      : part.split("`").map((text, m) => (m % 2 ? h(Code, { key: `${n}-${m}`, overflowWrap: "anywhere" }, text) : text)),
  );
}

function Lines({ lines }) {
  if (lines.length === 0) return null;
  return h(
    Section,
    { title: "What happened" },
    h(
      Box,
      { as: "ol", listStyleType: "none" },
      lines.map(({ t, parts }, n) =>
        h(
          Box,
          {
            as: "li",
            key: n,
            display: "grid",
            gridTemplateColumns: { base: "1fr", md: "10rem 1fr" },
            columnGap: 4,
            py: 2,
            borderTopWidth: n ? 1 : 0,
            fontSize: "sm",
          },
          h(Text, { as: "span", color: "fg.muted", fontVariantNumeric: "tabular-nums" }, t === null ? "now" : moment(t)),
          h(Box, { overflowWrap: "anywhere", minW: 0 }, h(Sentence, { parts })),
        ),
      ),
    ),
  );
}

function Advice({ advice }) {
  if (advice.length === 0) return null;
  return h(
    Section,
    { title: "What you can do" },
    h(
      Stack,
      { as: "ul", gap: 2, fontSize: "sm", listStyleType: "none" },
      advice.map((text, n) => h(Box, { as: "li", key: n, overflowWrap: "anywhere" }, h(Sentence, { parts: [text] }))),
    ),
  );
}

function trouble({ status }) {
  if (status === 401) return "You are signed out. Sign in again to see why.";
  if (status === 403) return "You may not see the task instances of this DAG.";
  if (status === 404) return "There is no such task instance. Of a mapped task, choose one of its instances.";
  if (status === 503) return "Airflow's database does not answer the webserver.";
  return "The webserver does not answer.";
}

function Story({ path }) {
  const { data, error } = useLive(path, EVERY_MS);
  return h(
    Box,
    { "data-testid": "why-page", p: { base: 1, md: 4 }, maxW: "70rem", w: "full" },
    h(
      Stack,
      { gap: 4 },
      error && h(Notice, { status: "error", text: trouble(error), role: "alert", "data-testid": "why-error" }),
      !data && !error && h(Skeleton, { h: 24, "aria-hidden": true }),
      data &&
        h(Notice, {
          status: STATUS[data.kind],
          title: TITLE[data.kind],
          text: h(Sentence, { parts: data.headline }),
          role: "status",
          "data-testid": "why-headline",
        }),
      data && h(Advice, { advice: data.advice }),
      data && h(Lines, { lines: data.lines }),
    ),
  );
}

function Page({ dagId, runId, taskId, mapIndex }) {
  const names = [dagId, runId, taskId].map(encodeURIComponent).join("/");
  const path = `why/${names}?map_index=${encodeURIComponent(mapIndex ?? "-1")}`;
  return h(Story, { key: path, path }); // the key: another task's story must not stay
}

const broken = () => h(Notice, { status: "error", text: "The tab has failed. Reload the page.", m: 4 });

globalThis.Why = (props) => h(Guard, { instead: h(broken) }, h(Page, props));

// All members of the registry, with a filter, and the running tasks of a worker.
import { ChakraUI, React, h } from "./kit.js";
import { useLive } from "./live.js";
import { Section, Table, useOrder } from "./parts.js";
import { clock, count, duration, memberName, shortHash } from "./words.js";

const { Box, Input, Link, Text } = ChakraUI;
const TASKS_EVERY_MS = 5_000;
const COLUMNS = [
  { name: "Member", of: (member) => member.id },
  { name: "Role", of: (member) => member.role },
  { name: "Pool", of: (member) => member.pool },
  { name: "State", of: (member) => member.state },
  { name: "Tasks", of: (member) => (member.slots > 0 ? member.active : null), figure: true },
  { name: "Protected", of: (member) => (member.role === "worker" ? String(member.protected) : null) },
  { name: "Image", of: (member) => member.image_version },
  { name: "DAGs", of: (member) => member.dags_hash },
  { name: "Last seen", of: (member) => member.seen_s_ago, figure: true },
];

const CODE = ["image_version", "dags_hash", "airflow_version"];

const LEFT_BEHIND = "processes that this worker's tasks have left behind, which were ended";

function tasks(member) {
  const busy = member.slots > 0 ? `${member.active} / ${member.slots}` : "–";
  const notes = [
    member.slots < member.declared_slots && `memory: takes ${member.slots} of ${member.declared_slots} slots`,
    member.left_behind && `${member.left_behind} left behind`,
  ].filter(Boolean);
  return notes.length ? `${busy} (${notes.join(", ")})` : busy;
}

const isKnownToDiffer = (value, wanted) => Boolean(value && wanted && value !== wanted);

const Row = React.memo(
  function Row({ member, reference, isOpen, toggle }) {
    const mark = (field) => (isKnownToDiffer(member[field], reference?.[field]) ? "code differs" : "code");
    return h(
      "tr",
      null,
      h("td", { className: "name", title: member.id }, memberName(member.id)),
      h("td", null, member.role),
      h("td", null, member.pool ?? "–"),
      h("td", null, member.state),
      h(
        "td",
        { className: "figure", title: member.left_behind ? LEFT_BEHIND : undefined },
        member.active > 0
          ? h(
              "button",
              { type: "button", "aria-expanded": isOpen, "aria-label": `Tasks of ${memberName(member.id)}: ${tasks(member)}`, onClick: () => toggle(member.id) },
              `${tasks(member)} ${isOpen ? "▾" : "▸"}`,
            )
          : tasks(member),
      ),
      h("td", null, member.role === "worker" ? (member.protected ? "yes" : "no") : "–"),
      h("td", { className: mark("image_version") }, member.image_version || "unknown"),
      h("td", { className: mark("dags_hash"), title: member.dags_hash }, shortHash(member.dags_hash) || "unknown"),
      h("td", { className: "figure" }, `${duration(member.seen_s_ago)} ago`),
    );
  },
  (before, after) => JSON.stringify(before) === JSON.stringify(after),
);

function trouble({ status }) {
  if (status === 404) return "This worker has left the fleet.";
  if (status === 409) return "This worker has not reported its address, so its tasks are not known.";
  if (status === 502) return "Airflow's database does not answer the webserver.";
  if (status === 503) return "The broker does not answer the webserver.";
  if (status === 401) return "You are signed out. Sign in again to see the tasks.";
  if (status === 403) return "You may not see the fleet.";
  return "The webserver does not answer.";
}

// The task's page in Airflow, relative to the page's base: Airflow may be served below a path.
function pageOf({ dag, run, task, map_index }) {
  const [dagId, runId, taskId] = [dag, run, task].map(encodeURIComponent);
  return new URL(`dags/${dagId}/runs/${runId}/tasks/${taskId}${map_index < 0 ? "" : `/mapped/${map_index}`}`, document.baseURI).href;
}

function Task({ task }) {
  const instance = task.map_index < 0 ? "" : ` [${task.map_index}]`;
  return h(
    Box,
    { as: "li", overflowWrap: "anywhere", whiteSpace: "normal" },
    h(Link, { href: pageOf(task), variant: "underline" }, `${task.dag}.${task.task}${instance}`),
    h(Text, { as: "span", color: "fg.muted" }, ` of ${task.run}, try ${task.try_number}, since ${clock(task.since, true)}`),
  );
}

function Tasks({ worker }) {
  const { data, error } = useLive(`tasks?worker=${encodeURIComponent(worker)}`, TASKS_EVERY_MS);
  const notes = [
    error && trouble(error),
    !data && !error && "Reading",
    data && data.tasks.length === 0 && data.hidden === 0 && "Airflow knows no running task of this worker.",
    data && data.hidden > 0 && `${count(data.hidden, "task")} of DAGs that you may not see.`,
    data?.more && "It runs more tasks than are listed here.",
  ].filter(Boolean);
  return h(
    Box,
    { fontSize: "sm", py: 1, "data-testid": "fleet-tasks" },
    data && h(Box, { as: "ul", listStyleType: "none" }, data.tasks.map((task) => h(Task, { key: JSON.stringify(task), task }))),
    notes.map((note) => h(Text, { key: note, color: "fg.muted" }, note)),
  );
}

// Members that run other code come first.
function inOrder(members, reference) {
  const differs = (member) => CODE.some((field) => isKnownToDiffer(member[field], reference?.[field]));
  return [...members.filter(differs), ...members.filter((member) => !differs(member))];
}

const words = (member) => [member.id, member.role, member.pool, member.state, member.image_version].join(" ").toLowerCase();

export function Members({ members, reference }) {
  const [wanted, setWanted] = React.useState("");
  const filter = React.useDeferredValue(wanted.trim().toLowerCase());
  const found = filter ? members.filter((member) => words(member).includes(filter)) : members;
  const { headings, sorted } = useOrder(COLUMNS, inOrder(found, reference));
  const [open, setOpen] = React.useState(null);
  const toggle = (id) => setOpen((last) => (last === id ? null : id));
  return h(
    Section,
    {
      title: "All members",
      aside: h(
        Box,
        { display: "flex", alignItems: "center", gap: 3, w: { base: "full", md: "auto" } },
        h(Text, { color: "fg.muted", fontSize: "sm", whiteSpace: "nowrap" }, `${found.length} of ${count(members.length, "member")}`),
        h(Input, {
          size: "sm",
          w: { base: "full", md: "16rem" },
          placeholder: "Filter by id, role, pool, state, image",
          "aria-label": "Filter the members",
          value: wanted,
          onChange: (event) => setWanted(event.target.value),
        }),
      ),
    },
    h(
      Table,
      { label: "Members", columns: headings, maxH: "30rem", "data-testid": "fleet-members" },
      sorted.flatMap((member) => [
        h(Row, { key: member.id, member, reference, isOpen: open === member.id, toggle }),
        open === member.id && h("tr", { key: `${member.id} tasks` }, h("td", { colSpan: COLUMNS.length }, h(Tasks, { worker: member.id }))),
      ]),
    ),
  );
}

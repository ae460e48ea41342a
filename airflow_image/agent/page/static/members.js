// All members of the registry, with a filter.
import { ChakraUI, React, h } from "./kit.js";
import { Section, Table } from "./parts.js";
import { count, duration, memberName, shortHash } from "./words.js";

const { Box, Input, Text } = ChakraUI;
const COLUMNS = ["Member", "Role", "Pool", "State", "Tasks", "Protected", "Image", "DAGs", "Last seen"];

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
  function Row({ member, reference }) {
    const mark = (field) => (isKnownToDiffer(member[field], reference?.[field]) ? "code differs" : "code");
    return h(
      "tr",
      null,
      h("td", { className: "name", title: member.id }, memberName(member.id)),
      h("td", null, member.role),
      h("td", null, member.pool ?? "–"),
      h("td", null, member.state),
      h("td", { title: member.left_behind ? LEFT_BEHIND : undefined }, tasks(member)),
      h("td", null, member.role === "worker" ? (member.protected ? "yes" : "no") : "–"),
      h("td", { className: mark("image_version") }, member.image_version || "unknown"),
      h("td", { className: mark("dags_hash"), title: member.dags_hash }, shortHash(member.dags_hash) || "unknown"),
      h("td", null, `${duration(member.seen_s_ago)} ago`),
    );
  },
  (before, after) => JSON.stringify(before) === JSON.stringify(after),
);

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
      { label: "Members", columns: COLUMNS, maxH: "30rem", "data-testid": "fleet-members" },
      inOrder(found, reference).map((member) => h(Row, { key: member.id, member, reference })),
    ),
  );
}

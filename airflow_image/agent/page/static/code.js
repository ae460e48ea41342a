// Which code the processes run, by role.
import { h } from "./kit.js";
import { Section, Table, useOrder } from "./parts.js";
import { fieldName, shortHash } from "./words.js";

const FIELDS = ["image_version", "dags_hash", "airflow_version"];

function comparison(group) {
  if (group.differs.length > 0) return `differs: ${group.differs.map(fieldName).join(", ")}`;
  return FIELDS.every((field) => group.code[field]) ? "same" : "unknown";
}

function value(group, field) {
  const text = group.code[field];
  if (!text) return "unknown";
  return field === "dags_hash" ? shortHash(text) : text;
}

const COLUMNS = [
  { name: "Role", of: (group) => group.role },
  { name: "Processes", of: (group) => group.members, figure: true },
  { name: "Running tasks", of: (group) => group.active, figure: true },
  { name: "Image", of: (group) => group.code.image_version },
  { name: "DAGs", of: (group) => group.code.dags_hash },
  { name: "Airflow", of: (group) => group.code.airflow_version },
  { name: "Compared with the webserver", of: comparison },
];

export function CodeByRole({ code }) {
  const { headings, sorted } = useOrder(COLUMNS, code.groups);
  return h(
    Section,
    { title: "Code by role" },
    h(
      Table,
      { label: "Code by role", columns: headings, "data-testid": "fleet-code" },
      sorted.map((group) =>
        h(
          "tr",
          { key: JSON.stringify([group.role, group.code]) },
          h("td", { className: "name" }, group.role),
          h("td", { className: "figure" }, group.members),
          h("td", { className: "figure" }, group.active),
          ...FIELDS.map((field) =>
            h(
              "td",
              { className: group.differs.includes(field) ? "code differs" : "code", title: group.code[field] },
              value(group, field),
            ),
          ),
          h("td", { className: group.differs.length > 0 ? "differs" : "" }, comparison(group)),
        ),
      ),
    ),
  );
}

// Which code the processes run, by role.
import { h } from "./kit.js";
import { Section, Table } from "./parts.js";
import { fieldName, shortHash } from "./words.js";

const COLUMNS = ["Role", "Processes", "Running tasks", "Image", "DAGs", "Airflow", "Compared with the webserver"];
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

export function CodeByRole({ code }) {
  return h(
    Section,
    { title: "Code by role" },
    h(
      Table,
      { label: "Code by role", columns: COLUMNS, "data-testid": "fleet-code" },
      code.groups.map((group) =>
        h(
          "tr",
          { key: JSON.stringify([group.role, group.code]) },
          h("td", { className: "name" }, group.role),
          h("td", null, group.members),
          h("td", null, group.active),
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

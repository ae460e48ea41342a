// Which version each DAG bundle has, and which running tasks still have an older one.
import { h } from "./kit.js";
import { Section, Table } from "./parts.js";
import { clock, shortHash } from "./words.js";

const COLUMNS = ["Bundle", "Version", "Since", "Running tasks", "On older versions", "For example"];

function tasks(bundle, isCurrent) {
  return bundle.in_use.reduce((sum, each) => sum + ((each.version === bundle.version) === isCurrent ? each.tasks : 0), 0);
}

function example(bundle) {
  if (bundle.older.length === 0) return "";
  const { dag, task, run, version } = bundle.older[0];
  return `${dag}.${task} of ${run}: ${shortHash(version)}`;
}

export function Bundles({ bundles }) {
  if (bundles.length === 0) return null;
  return h(
    Section,
    { title: "DAG bundles" },
    h(
      Table,
      { label: "DAG bundles", columns: COLUMNS, "data-testid": "fleet-bundles" },
      bundles.map((bundle) =>
        h(
          "tr",
          { key: bundle.name },
          h("td", { className: "name" }, bundle.name),
          h("td", { className: "code", title: bundle.version }, shortHash(bundle.version)),
          h("td", null, clock(bundle.since, true)),
          h("td", null, tasks(bundle, true)),
          h("td", null, tasks(bundle, false)),
          h("td", null, example(bundle)),
        ),
      ),
    ),
  );
}

// Which version each DAG bundle has, and which running tasks still have an older one.
import { h } from "./kit.js";
import { Section, Table, useOrder } from "./parts.js";
import { clock, shortHash } from "./words.js";

function tasks(bundle, isCurrent) {
  return bundle.in_use.reduce((sum, each) => sum + ((each.version === bundle.version) === isCurrent ? each.tasks : 0), 0);
}

function example(bundle) {
  if (bundle.older.length === 0) return "";
  const { dag, task, run, version } = bundle.older[0];
  return `${dag}.${task} of ${run}: ${shortHash(version)}`;
}

const COLUMNS = [
  { name: "Bundle", of: (bundle) => bundle.name },
  { name: "Version", of: (bundle) => bundle.version },
  { name: "Since", of: (bundle) => bundle.since },
  { name: "Running tasks", of: (bundle) => tasks(bundle, true), figure: true },
  { name: "On older versions", of: (bundle) => tasks(bundle, false), figure: true },
  { name: "For example", of: example },
];

export function Bundles({ bundles }) {
  const { headings, sorted } = useOrder(COLUMNS, bundles);
  if (bundles.length === 0) return null;
  return h(
    Section,
    { title: "DAG bundles" },
    h(
      Table,
      { label: "DAG bundles", columns: headings, "data-testid": "fleet-bundles" },
      sorted.map((bundle) =>
        h(
          "tr",
          { key: bundle.name },
          h("td", { className: "name" }, bundle.name),
          h("td", { className: "code", title: bundle.version }, shortHash(bundle.version)),
          h("td", null, clock(bundle.since, true)),
          h("td", { className: "figure" }, tasks(bundle, true)),
          h("td", { className: "figure" }, tasks(bundle, false)),
          h("td", null, example(bundle)),
        ),
      ),
    ),
  );
}

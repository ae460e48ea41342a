// Shows on Airflow's home page whether all processes run the webserver's code.
import { ChakraUI, Guard, h } from "./kit.js";
import { useLive } from "./live.js";
import { verdict } from "./words.js";

const EVERY_MS = 10_000;
const { Alert, Link } = ChakraUI;

function Banner() {
  const { data, error } = useLive("code", EVERY_MS);
  // The Fleet page reports its own errors and missing permissions; the home page does not.
  if (!data || error) return null;
  const { status, title, text } = verdict(data.code);
  return h(
    Alert.Root,
    { status, "data-testid": "fleet-banner", role: "status", alignItems: "center" },
    h(Alert.Indicator),
    h(
      Alert.Content,
      { flexDirection: { base: "column", md: "row" }, gap: { base: 1, md: 3 } },
      h(Alert.Title, { flexShrink: 0 }, `Fleet: ${title.toLowerCase()}`),
      h(Alert.Description, { overflowWrap: "anywhere" }, text),
    ),
    h(Link, { href: new URL("plugin/fleet", document.baseURI).href, color: "inherit", textDecoration: "underline" }, "Details"),
  );
}

globalThis["Fleet banner"] = () => h(Guard, { instead: null }, h(Banner));

// Tells on Airflow's home page whether every process runs the code that the webserver shows.
import { ChakraUI, Guard, h } from "./kit.js";
import { useLive } from "./live.js";
import { verdict } from "./words.js";

const EVERY_MS = 10_000;
const { Alert, Link } = ChakraUI;

function Banner() {
  const { data, error } = useLive("code", EVERY_MS);
  // Home is not the place to complain about the fleet's own troubles, or about permissions: the page does.
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

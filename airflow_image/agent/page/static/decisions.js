// The last decisions about a pool, with their reasons.
import { ChakraUI, React, h } from "./kit.js";
import { clock, figure } from "./words.js";

const { Badge, Box, Button, Flex, Heading, HStack, Text } = ChakraUI;
const SHOWN_AT_FIRST = 4;

function Size({ decision }) {
  const moved = decision.was !== null && decision.desired !== null && decision.was !== decision.desired;
  const text = moved ? `desired ${figure(decision.was)} → ${figure(decision.desired)}` : `desired ${figure(decision.desired)}`;
  return h(Badge, { colorPalette: moved ? "purple" : "gray", variant: "subtle", fontVariantNumeric: "tabular-nums" }, text);
}

function Decision({ decision }) {
  return h(
    Box,
    {
      as: "li",
      display: "grid",
      gridTemplateColumns: { base: "1fr", md: "5.5rem 1fr auto" },
      columnGap: 4,
      rowGap: 1,
      py: 2,
      borderTopWidth: 1,
      fontSize: "sm",
    },
    h(Text, { as: "time", color: "fg.muted", fontVariantNumeric: "tabular-nums" }, clock(decision.t, true)),
    h(
      Box,
      { overflowWrap: "anywhere", minW: 0 },
      h(Text, null, decision.reason),
      decision.troubles.map((trouble, n) => h(Text, { key: n, color: "fg.warning" }, trouble)),
    ),
    h(
      HStack,
      { gap: 2, align: "flex-start", wrap: "wrap" },
      h(Text, { as: "span", color: "fg.muted", fontVariantNumeric: "tabular-nums", fontSize: "xs" }, [
        `${figure(decision.queued)} queued, ${figure(decision.active)} active`,
        decision.drain > 0 && `, ${decision.drain} told to drain`,
        decision.recall > 0 && `, ${decision.recall} recalled`,
      ]),
      h(Size, { decision }),
    ),
  );
}

export function Decisions({ decisions }) {
  const [all, setAll] = React.useState(false);
  if (decisions.length === 0) return null;
  const shown = all ? decisions : decisions.slice(0, SHOWN_AT_FIRST);
  return h(
    Box,
    null,
    h(
      Flex,
      { justify: "space-between", align: "center", mb: 2 },
      h(Heading, { as: "h3", size: "sm" }, "Last decisions"),
      decisions.length > SHOWN_AT_FIRST &&
        h(
          Button,
          { size: "xs", variant: "outline", "aria-expanded": all, onClick: () => setAll(!all) },
          all ? "Show fewer" : `Show ${decisions.length}`,
        ),
    ),
    h(Box, { as: "ol", listStyleType: "none" }, shown.map((decision, n) => h(Decision, { key: `${decision.t}-${n}`, decision }))),
  );
}

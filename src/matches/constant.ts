/**
 * Conditions that are the same for all packets of TUN devices: about Ethernet, bridges and IPsec. They are there so that
 * files of real machines can be read; what never fits is warned of.
 */
import type { Match } from "../tables/extension.ts";

const ALWAYS: Match = { match: () => true, always: true, judges: "flow" };
const NEVER: Match = { match: () => false, pure: true, judges: "flow" };

/** The match that always gives this answer. */
export function constant(answer: boolean): Match {
  return answer ? ALWAYS : NEVER;
}

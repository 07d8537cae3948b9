/** What a line of `weir conntrack` says, as data. */

/**
 * What stands twice, once for each direction, is in `original` and `reply`; an expectation's mask and master have their
 * ports behind them in the line, and before their names here.
 */
export function fields(line: string): Record<string, unknown> {
  const flow: Record<string, unknown> = {};
  const sides: Record<string, string>[] = [];
  const plain: string[] = [];
  let prefix = "";
  for (const word of line.split(/ +/)) {
    const [, key, value] = /^([\w-]+)=(.*)$/.exec(word) ?? [];
    if (key === undefined) {
      plain.push(word);
      continue;
    }
    prefix = /^(mask|master)-/.exec(key)?.[0] ?? prefix;
    if (key === "src") {
      sides.push({ src: value });
    } else if (SIDES.has(key) && sides.length > 0 && !(key === "id" && "id" in sides[sides.length - 1])) {
      sides[sides.length - 1][prefix + key] = value;
    } else {
      flow[key] = /^\d+$/.test(value) ? Number(value) : value;
    }
  }
  const flags = plain.filter((word) => word.startsWith("[")).map((word) => word.slice(1, -1));
  const rest = plain.filter((word) => !word.startsWith("["));
  const [original, reply] = sides;
  if (reply === undefined) return { timeout: Number(rest[0]), ...original, ...flow };
  const [protocol, number, ...more] = rest;
  // An event may have the one, the other, both or none.
  const timeout = more.find((word) => /^\d+$/.test(word)), state = more.find((word) => /^\D/.test(word));
  return {
    protocol,
    number: Number(number),
    ...(timeout === undefined ? {} : { timeout: Number(timeout) }),
    ...(state === undefined ? {} : { state }),
    original,
    reply,
    flags,
    ...flow,
  };
}

/** Fields that each direction of a flow has for itself. */
const SIDES = new Set([
  "dst",
  "sport",
  "dport",
  "type",
  "code",
  "id",
  "srckey",
  "dstkey",
  "packets",
  "bytes",
]);

/**
 * Addresses and ports to translate to, as SNAT and its kin are told them:
 * `198.51.100.1-198.51.100.4:1024-65535`, `[2001:db8::1]:80`, `:2000-2010/1000`.
 */
import { RANGE_MAP_IPS, RANGE_PROTO_OFFSET, RANGE_PROTO_SPECIFIED } from "../nat/range.ts";
import { NatRange } from "../nat/range.ts";
import { DCCP, ICMP, SCTP, TCP, UDP } from "../netfilter.ts";
import { formatRange, parseAddress } from "../packet/address.ts";
import { familyOfText } from "../tables/addresses.ts";
import { type Kind, OptionError, type ReadContext } from "../tables/extension.ts";
import { refuse, show, wholeNumber } from "../tables/kinds.ts";
import { portNumber } from "../tables/names.ts";

/** Protocols whose ports, or what stands for them, can be translated. */
const WITH_PORTS: readonly number[] = [TCP, UDP, SCTP, DCCP, ICMP];

function readPorts(text: string, input: unknown, range: NatRange, c: ReadContext): void {
  if (!WITH_PORTS.includes(c.protocol)) {
    throw new OptionError(
      `${show(input)} names ports; add protocol: "tcp", "udp", "sctp", "dccp" or "icmp" to the rule`,
    );
  }
  // A service may have a dash in its name.
  const whole = portNumber(text);
  const found = whole !== null ? [text, text] : /^([^-/]+)(?:-([^/]+)(?:\/(.+))?)?$/.exec(text);
  const min = whole ?? (found === null ? null : portNumber(found[1]));
  const max = found?.[2] === undefined ? min : wholeNumber(found[2], 0, 65535);
  const base = found?.[3] === undefined ? 1 : portNumber(found[3]);
  if (min === null || max === null || base === null || base === 0) {
    throw new OptionError(`${show(input)} has no port or range such as 1024-65535 where one is expected`);
  }
  if (max < min) {
    throw new OptionError(`${show(input)} has a port range that ends before it begins; swap its ends`);
  }
  range.ports(min, max);
  if (found![3] !== undefined) {
    range.flags |= RANGE_PROTO_OFFSET;
    range.basePort = base;
  }
}

function printPorts(range: NatRange): string {
  let text = String(range.minPort);
  if (range.maxPort !== range.minPort) text += `-${range.maxPort}`;
  if ((range.flags & RANGE_PROTO_OFFSET) !== 0) text += `/${range.basePort}`;
  return text;
}

/** Addresses and ports of SNAT and DNAT. */
export const natRange: Kind<NatRange> = {
  words: 1,
  expects:
    'an address, a range of addresses, and ports after a colon, such as "203.0.113.1-203.0.113.4:1024-65535"',
  read(input, c) {
    if (typeof input !== "string" || input === "") return refuse(input, this.expects);
    const range = new NatRange();
    let addresses = input, ports: string | null = null;
    const brackets = /^\[([^\]]*)\](?::(.*))?$/.exec(input);
    if (brackets !== null) {
      if (c.family === 4) return refuse(input, "an IPv4 address: brackets are for IPv6");
      addresses = brackets[1];
      ports = brackets[2] ?? null;
    } else if (/^[^:]*:[^:]*$/.test(input)) {
      [addresses, ports] = input.split(":");
    }
    if (ports !== null) readPorts(ports, input, range, c);
    if (addresses !== "" || ports === null) {
      const [first, last = first, ...more] = addresses.split("-");
      const from = parseAddress(first), to = parseAddress(last);
      if (from === null || to === null || more.length > 0) return refuse(input, this.expects);
      if (from.family !== c.family || to.family !== c.family) {
        throw new OptionError(`${show(input)} is not IPv${c.family}, which the rule is for`);
      }
      range.addresses(from.words, to.words);
    }
    return range;
  },
  print(range, c) {
    let text = "";
    const ports = (range.flags & RANGE_PROTO_SPECIFIED) !== 0;
    if ((range.flags & RANGE_MAP_IPS) !== 0) {
      text = formatRange(c.family, range.min, range.max);
      if (ports && c.family === 6) text = `[${text}]`;
    }
    return ports ? `${text}:${printPorts(range)}` : text;
  },
  family: (input) => familyOfText(input),
};

/** Ports of MASQUERADE and REDIRECT. */
export const natPorts: Kind<NatRange> = {
  words: 1,
  expects: 'a port or a range such as "1024-31000"',
  read(input, c) {
    if (typeof input !== "string" && typeof input !== "number") refuse(input, this.expects);
    const range = new NatRange();
    readPorts(String(input), input, range, c);
    if ((range.flags & RANGE_PROTO_OFFSET) !== 0) throw new OptionError("cannot shift ports; only DNAT can");
    return range;
  },
  print: printPorts,
};

/** The range with a rule's flags: what the packet path gets. */
export function withFlags(range: NatRange | undefined, flags: number): NatRange {
  const made = new NatRange();
  if (range !== undefined) {
    made.flags = range.flags;
    made.min.set(range.min);
    made.max.set(range.max);
    made.minPort = range.minPort;
    made.maxPort = range.maxPort;
    made.basePort = range.basePort;
  }
  made.flags |= flags;
  return made;
}

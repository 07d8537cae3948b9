/** Settings for the flow that the packet may start (iptables -t raw -j CT; xt_CT). */
import { CONTINUE, ESTABLISHED, GRE, NO_CT, TCP, UDP, UDPLITE, type Verdict } from "../netfilter.ts";
import { type CtTemplate, type Packet, ZONE_FROM_MARK } from "../packet/packet.ts";
import {
  defineTarget,
  type Kind,
  OptionError,
  type Options,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { bits, flag, refuse, show, text, wholeNumber } from "../tables/kinds.ts";
import { NotrackTarget } from "./notrack.ts";

const zone: Kind<number> = {
  words: 1,
  expects: 'a zone from 0 to 65535, or "mark"',
  read(input) {
    if (typeof input === "string" && input.toLowerCase() === "mark") return ZONE_FROM_MARK;
    return wholeNumber(input, 0, 65535) ?? refuse(input, this.expects);
  },
  print: (value) => value === ZONE_FROM_MARK ? "mark" : String(value),
};

/** Event bits, as enum ip_conntrack_events. */
const events = bits(
  [
    ["new", 1 << 0],
    ["related", 1 << 1],
    ["destroy", 1 << 2],
    ["reply", 1 << 3],
    ["assured", 1 << 4],
    ["protoinfo", 1 << 5],
    ["helper", 1 << 6],
    ["mark", 1 << 7],
    ["natseqinfo", 1 << 8],
    ["secmark", 1 << 9],
  ],
  true,
);

/** Names of timeouts, by protocol, with their place in the tracker's list (`timeouts` in conntrack/proto). */
const TCP_PLACES: Readonly<Record<string, number>> = {
  synSent: 1,
  synRecv: 2,
  established: 3,
  finWait: 4,
  closeWait: 5,
  lastAck: 6,
  timeWait: 7,
  close: 8,
  synSent2: 9,
  retrans: 12,
  unacknowledged: 13,
};
const TWO_PLACES: Readonly<Record<string, number>> = { unreplied: 0, replied: 1 };
const ONE_PLACE: Readonly<Record<string, number>> = { timeout: 0 };

function places(protocol: number): Readonly<Record<string, number>> {
  if (protocol === TCP) return TCP_PLACES;
  return protocol === UDP || protocol === UDPLITE || protocol === GRE ? TWO_PLACES : ONE_PLACE;
}

type Policy = Readonly<Record<string, number>>;

const timeout: Kind<Policy> = {
  words: 1,
  expects:
    "seconds by state, such as { established: 3600 } for TCP or { unreplied: 10, replied: 60 } for UDP",
  read(input, c) {
    if (typeof input === "string") {
      throw new OptionError(
        `${
          show(input)
        } names a timeout policy; there are none by name, write the rule in \`tables\` with timeout: { … }`,
      );
    }
    if (typeof input !== "object" || input === null) return refuse(input, this.expects);
    if (c.protocol === 0) {
      throw new OptionError("needs a protocol in the rule, not negated, whose states it speaks of");
    }
    const known = places(c.protocol);
    for (const [state, seconds] of Object.entries(input)) {
      if (!Object.hasOwn(known, state)) {
        throw new OptionError(
          `${show(state)} is not a state of this protocol; they are ${Object.keys(known).join(", ")}`,
        );
      }
      if (wholeNumber(seconds, 1, 2147483) === null) {
        throw new OptionError(`${state}: ${show(seconds)} is not a number of seconds from 1 to 2147483`);
      }
    }
    return input as Policy;
  },
  print: (value) => Object.entries(value).map(([state, seconds]) => `${state}=${seconds}`).join(","),
};

interface CtOptions {
  notrack: true;
  helper: string;
  timeout: Policy;
  ctevents: number;
  expevents: number;
  zone: number;
  zoneOrig: number;
  zoneReply: number;
}

class CtTarget implements Target {
  readonly #template: CtTemplate;

  constructor(template: CtTemplate) {
    this.#template = template;
  }

  target(p: Packet): Verdict {
    if (p.ct === NO_CT && p.template === null && p.ctinfo === ESTABLISHED) p.template = this.#template;
    return CONTINUE;
  }
}

/** The zones of both directions: one that is named for one direction leaves the other in zone 0. */
function zones(o: Options<CtOptions>): Pick<CtTemplate, "zoneOriginal" | "zoneReply"> {
  const both = o.zone?.value ?? 0;
  return { zoneOriginal: o.zoneOrig?.value ?? both, zoneReply: o.zoneReply?.value ?? both };
}

/** Zone, helper, timeouts and events of the flow to come, or no flow at all. */
export const CT: TargetExtension = defineTarget<CtOptions>({
  name: "CT",
  tables: ["raw"],
  tracks: (o) => o.notrack === undefined,
  options: {
    notrack: { flag: "notrack", kind: flag },
    helper: { flag: "helper", kind: text(1, 15) },
    timeout: { flag: "timeout", kind: timeout },
    ctevents: { flag: "ctevents", kind: events },
    expevents: { flag: "expevents", kind: bits([["new", 1]], true) },
    zone: { flag: "zone", kind: zone },
    zoneOrig: { flag: "zone-orig", kind: zone },
    zoneReply: { flag: "zone-reply", kind: zone },
  },
  exclusive: ["zone", "zoneOrig", "zoneReply"],
  finish(o, c) {
    if (o.helper !== undefined) {
      const name = o.helper.value;
      if (c.protocol === 0) {
        throw new OptionError(
          `helper ${show(name)} needs the protocol it reads in the same rule, not negated`,
        );
      }
      const named = c.helpers.filter((helper) => helper.name === name);
      if (named.length === 0) {
        const known = c.helpers.map((helper) => helper.name).join(", ");
        throw new OptionError(
          `helper ${show(name)} is not listed; add it to \`helpers\`${
            known === "" ? "" : ` (listed: ${known})`
          }`,
        );
      }
      if (!named.some((helper) => helper.protocol === c.protocol && helper.families.includes(c.family))) {
        const other = named.find((helper) => helper.protocol === c.protocol)?.families[0];
        const advice = other === undefined ? "" : `; put the rule under tables.ipv${other}`;
        throw new OptionError(`helper ${show(name)} does not read this protocol in IPv${c.family}${advice}`);
      }
    }
    // iptables-save does not print zone 0, which is the zone of everything.
    const kept: Record<string, unknown> = { ...o };
    for (const key of ["zone", "zoneOrig", "zoneReply"] as const) if (o[key]?.value === 0) delete kept[key];
    return kept as Options<CtOptions>;
  },
  create(o, c) {
    if (o.notrack !== undefined) return new NotrackTarget();
    const { conntrack } = c.services;
    let timeoutPolicy = 0;
    if (o.timeout !== undefined) {
      const known = places(c.protocol), seconds: number[] = [];
      for (const [state, value] of Object.entries(o.timeout.value)) seconds[known[state]] = value;
      timeoutPolicy = conntrack.timeoutPolicy(seconds, c.protocol);
    }
    return new CtTarget({
      ...zones(o),
      helper: o.helper === undefined
        ? -1
        : conntrack.helpers.findIndex((helper) =>
          helper.name === o.helper!.value && helper.protocol === c.protocol &&
          helper.families.includes(c.family)
        ),
      rule: o.helper === undefined ? 0 : conntrack.ruleTexts.number(c.rule),
      timeoutPolicy,
      events: o.ctevents?.value ?? -1,
    });
  },
});

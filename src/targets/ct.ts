/** Settings for the flow that the packet may start (iptables -t raw -j CT; xt_CT). */
import { ALL_EVENTS } from "../conntrack/teller.ts";
import { CONTINUE, ESTABLISHED, NEW, NO_CT, type Verdict } from "../netfilter.ts";
import { type CtTemplate, type Packet, ZONE_FROM_MARK } from "../packet/packet.ts";
import {
  type CheckContext,
  defineTarget,
  type Kind,
  OptionError,
  type Options,
  type Target,
  type TargetExtension,
  UnsupportedError,
} from "../tables/extension.ts";
import { bits, flag, refuse, show, text, wholeNumber } from "../tables/kinds.ts";
import { protocolName } from "../tables/names.ts";
import {
  isSeconds,
  MOST_NAME_BYTES,
  SECONDS,
  type Seconds,
  secondsByPlace,
  statesOf,
  trackerName,
  trackerOf,
} from "../tables/timeouts.ts";
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

/** Timeouts of a rule: of a policy by its name, or its own; a name has no seconds before it is looked up. */
interface Timeout {
  readonly name: string | null;
  readonly seconds: Seconds;
}

/** Seconds by state as a rule has them. */
function readSeconds(input: Readonly<Record<string, unknown>>, protocol: number): Seconds {
  const known = statesOf(protocol);
  for (const [state, seconds] of Object.entries(input)) {
    if (!known.includes(state)) {
      throw new OptionError(`${show(state)} is not a state of this protocol; they are ${known.join(", ")}`);
    }
    if (!isSeconds(seconds)) throw new OptionError(`${state}: ${show(seconds)} is not ${SECONDS}`);
  }
  return input as Seconds;
}

const policyName = text(0, MOST_NAME_BYTES);

const timeout: Kind<Timeout> = {
  words: 1,
  expects:
    "the name of a policy in `timeouts`, or seconds by state, such as { established: 3600 } for TCP or " +
    "{ unreplied: 10, replied: 60 } for UDP",
  read(input, c) {
    if (typeof input === "string") return { name: policyName.read(input, c), seconds: {} };
    if (typeof input !== "object" || input === null) return refuse(input, this.expects);
    if (c.protocol === 0) {
      throw new OptionError("needs a protocol in the rule, not negated, whose states it speaks of");
    }
    return { name: null, seconds: readSeconds(input as Record<string, unknown>, c.protocol) };
  },
  // As it is: iptables puts no quotes round it.
  print: ({ name, seconds }) =>
    name ?? Object.entries(seconds).map(([state, value]) => `${state}=${value}`).join(","),
};

/** The policy that a rule names, if it may name it (xt_ct_set_timeout). */
function policyOf(name: string, c: CheckContext): Timeout {
  if (c.timeouts === null) return { name, seconds: {} };
  const what = `timeout policy ${show(name)}`, policy = c.timeouts.find((known) => known.name === name);
  if (policy === undefined) {
    const known = c.timeouts.map((other) => other.name).join(", ");
    throw new OptionError(
      `${what} is not listed; add it to \`timeouts\`${known === "" ? "" : ` (listed: ${known})`}`,
    );
  }
  if (c.protocol === 0) {
    throw new OptionError(`${what} needs the protocol it is for in the same rule, not negated`);
  }
  if (policy.protocol !== trackerOf(c.protocol)) {
    throw new OptionError(
      `${what} is for ${trackerName(policy.protocol)}, and the rule for ${protocolName(c.protocol)}`,
    );
  }
  if (policy.family !== 0 && policy.family !== c.family) {
    throw new OptionError(`${what} is for IPv${policy.family}, and the rule for IPv${c.family}`);
  }
  return { name, seconds: policy.seconds };
}

interface CtOptions {
  notrack: true;
  helper: string;
  timeout: Timeout;
  ctevents: number;
  expevents: number;
  zone: number;
  zoneOrig: number;
  zoneReply: number;
}

class CtTarget implements Target {
  readonly constant = true;
  readonly #template: CtTemplate;

  constructor(template: CtTemplate) {
    this.#template = template;
  }

  target(p: Packet): Verdict {
    if (p.ct === NO_CT && p.ctinfo === ESTABLISHED) {
      p.template = this.#template;
      // So that the rules behind this one take the template for a flow, as in Linux; conntrack judges anew.
      p.ctinfo = NEW;
    }
    return CONTINUE;
  }
}

/** The zones of both directions: one that is named for one direction leaves the other in zone 0. */
function zones(o: Options<CtOptions>): Pick<CtTemplate, "zoneOriginal" | "zoneReply"> {
  const both = o.zone?.value ?? 0;
  return { zoneOriginal: o.zoneOrig?.value ?? both, zoneReply: o.zoneReply?.value ?? both };
}

/** The helpers that Weir has, for messages. */
export const SHIPPED_HELPERS = ["ftp", "irc", "tftp", "amanda", "sane", "talk"];

/** What to do about a helper that is not listed. */
function unknownHelper(name: string, c: CheckContext): string {
  const listed = c.helpers.map((helper) => helper.name).join(", ");
  const base = name.replace(/-\d+$/, "").toLowerCase(), shipped = SHIPPED_HELPERS.includes(base);
  // For `weir import` there is no list yet.
  if (c.timeouts === null || !shipped) {
    return `Weir has no helper ${show(name)}, only ${SHIPPED_HELPERS.join(", ")}; leave the rule out, or ` +
      `make one with defineHelper${
        c.timeouts === null || listed === "" ? "" : ` and list it (listed: ${listed})`
      }`;
  }
  const advice = base === name
    ? `add ${name}() to \`helpers\``
    : base === name.toLowerCase()
    ? `did you mean ${show(base)}?`
    : `it is ${base}() on another port: give that more \`ports\``;
  return `helper ${show(name)} is not listed; ${advice}${listed === "" ? "" : ` (listed: ${listed})`}`;
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
        throw new (c.timeouts === null ? UnsupportedError : OptionError)(unknownHelper(name, c));
      }
      if (!named.some((helper) => helper.protocol === c.protocol && helper.families.includes(c.family))) {
        const other = named.find((helper) => helper.protocol === c.protocol)?.families[0];
        const wanted = named.map(({ protocol }) => protocolName(protocol)).join(" or ");
        throw new OptionError(
          `helper ${show(name)} does not read ` +
            (other === undefined
              ? `${protocolName(c.protocol)}, but ${wanted}`
              : `this protocol in IPv${c.family}; put the rule under tables.ipv${other}`),
        );
      }
    }
    // iptables-save does not print zone 0, which is the zone of everything.
    const kept: Record<string, unknown> = { ...o };
    for (const key of ["zone", "zoneOrig", "zoneReply"] as const) if (o[key]?.value === 0) delete kept[key];
    const name = o.timeout?.value.name ?? null;
    if (name === "") delete kept.timeout;
    // What is not tracked has no life: nobody asks whether there is such a policy.
    else if (name !== null && o.notrack === undefined) {
      kept.timeout = { value: policyOf(name, c), invert: false };
    }
    return kept as Options<CtOptions>;
  },
  create(o, c) {
    if (o.notrack !== undefined) return new NotrackTarget();
    const { conntrack } = c.services;
    const timeoutPolicy = o.timeout === undefined ? 0 : conntrack.timeoutPolicy(
      secondsByPlace(o.timeout.value.seconds, c.protocol),
      trackerOf(c.protocol),
      o.timeout.value.name ?? "",
    );
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
      events: o.ctevents === undefined && o.expevents === undefined
        ? ALL_EVENTS
        : (o.ctevents?.value ?? 0) | (o.expevents?.value ?? 0) << 16,
      mark: c.services.arena.int32(1),
    });
  },
});

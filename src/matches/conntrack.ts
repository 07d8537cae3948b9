/** Everything that tracking knows about the packet's flow (iptables -m conntrack; xt_conntrack). */
import type { Conntrack } from "../conntrack/core.ts";
import {
  CT_EXPIRES,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_EXPECTED,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
} from "../conntrack/flow.ts";
import { DST, PORTS, PROTO, SRC } from "../conntrack/tuple.ts";
import { ctinfoDir, type Dir, NEW, NO_CT, ORIGINAL, REPLY } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { type Network, network } from "../tables/addresses.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  type Needs,
  OptionError,
  type Options,
} from "../tables/extension.ts";
import { anyPortRange, bits, protocol, type Range, range, refuse } from "../tables/kinds.ts";
import { STATE_DNAT, STATE_NAMES, STATE_SNAT, stateBit, StateMatch } from "./state.ts";

interface ConntrackOptions {
  ctstate: number;
  ctproto: number;
  ctorigsrc: Network;
  ctorigdst: Network;
  ctreplsrc: Network;
  ctrepldst: Network;
  ctorigsrcport: Range;
  ctorigdstport: Range;
  ctreplsrcport: Range;
  ctrepldstport: Range;
  ctstatus: number;
  ctexpire: Range;
  ctdir: Dir;
}

const statusBits = bits([
  ["NONE", 0],
  ["EXPECTED", IPS_EXPECTED],
  ["SEEN_REPLY", IPS_SEEN_REPLY],
  ["ASSURED", IPS_ASSURED],
  ["CONFIRMED", IPS_CONFIRMED],
]);
const status: Kind<number> = { ...statusBits, print: (mask, c) => statusBits.print(mask, c) || "NONE" };

const flowProtocol: Kind<number> = {
  ...protocol,
  read(input, c) {
    const number = protocol.read(input, c);
    if (number === 0 && !c.cut) throw new OptionError("is every protocol: leave the option out");
    return number;
  },
  print: String,
};

const direction: Kind<Dir> = {
  words: 1,
  expects: '"ORIGINAL" or "REPLY"',
  read(input) {
    const name = String(input).toUpperCase();
    return name === "ORIGINAL" ? ORIGINAL : name === "REPLY" ? REPLY : refuse(input, this.expects);
  },
  print: (dir) => dir === ORIGINAL ? "ORIGINAL" : "REPLY",
};

/** Only the states, the flow's translation among them. */
class CtstateMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #conntrack: Conntrack;
  readonly #mask: number;
  readonly #invert: boolean;

  constructor(conntrack: Conntrack, mask: number, invert: boolean) {
    this.#conntrack = conntrack;
    this.#mask = mask;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    let bit = stateBit(p);
    if (p.ct !== NO_CT) {
      const status = this.#conntrack.flows.words[p.ct * FLOW_WORDS + CT_STATUS];
      if ((status & IPS_SRC_NAT) !== 0) bit |= STATE_SNAT;
      if ((status & IPS_DST_NAT) !== 0) bit |= STATE_DNAT;
    }
    return ((bit & this.#mask) !== 0) !== this.#invert;
  }
}

/** Only the states: what nearly every rule asks. */
function stateMatch(conntrack: Conntrack, mask: number, invert: boolean): Match {
  return (mask & (STATE_SNAT | STATE_DNAT)) === 0
    ? new StateMatch(mask, invert)
    : new CtstateMatch(conntrack, mask, invert);
}

/** An address of the flow: where it stands in the record, and what it must be. */
class FlowAddress {
  constructor(readonly at: number, readonly network: Network, readonly invert: boolean) {}

  holds(words: Int32Array, record: number): boolean {
    const from = record + this.at, { words: wanted, mask } = this.network;
    const same = (words[from] & mask[0]) === wanted[0] && (words[from + 1] & mask[1]) === wanted[1] &&
      (words[from + 2] & mask[2]) === wanted[2] && (words[from + 3] & mask[3]) === wanted[3];
    return same !== this.invert;
  }
}

/** A port of the flow: where its PORTS word stands, and by how much it is shifted there. */
class FlowPort {
  constructor(readonly at: number, readonly shift: number, readonly range: Range, readonly invert: boolean) {}

  holds(words: Int32Array, record: number): boolean {
    const port = (words[record + this.at] >>> this.shift) & 0xffff;
    return (port >= this.range.min && port <= this.range.max) !== this.invert;
  }
}

/** What a template has of a flow's record: no tuples, no timer, and one bit of the status. */
const TEMPLATE = new Int32Array(FLOW_WORDS);
TEMPLATE[CT_STATUS] = IPS_CONFIRMED;

class ConntrackMatch implements Match {
  readonly pure = true;
  readonly needs: Needs;
  /** ASSURED comes with some packet or other, and time passes. */
  readonly judges?: "flow";
  readonly #conntrack: Conntrack;
  readonly #o: Options<ConntrackOptions>;
  readonly #state: Match | null;
  readonly #addresses: FlowAddress[] = [];
  readonly #ports: FlowPort[] = [];
  /** Whether all but the state holds for the template of a rule `-j CT`, which is the flow for the rules behind it. */
  readonly #template: boolean;

  constructor(conntrack: Conntrack, o: Options<ConntrackOptions>) {
    this.#conntrack = conntrack;
    this.#o = o;
    if (o.ctexpire === undefined && ((o.ctstatus?.value ?? 0) & IPS_ASSURED) === 0) this.judges = "flow";
    this.#state = o.ctstate ? stateMatch(conntrack, o.ctstate.value, o.ctstate.invert) : null;
    this.needs = { relations: this.#state?.relations };
    const address = (given: Options<ConntrackOptions>["ctorigsrc"], at: number) => {
      if (given) this.#addresses.push(new FlowAddress(at, given.value, given.invert));
    };
    address(o.ctorigsrc, CT_ORIGINAL + SRC);
    address(o.ctorigdst, CT_ORIGINAL + DST);
    address(o.ctreplsrc, CT_REPLY + SRC);
    address(o.ctrepldst, CT_REPLY + DST);
    const port = (given: Options<ConntrackOptions>["ctorigsrcport"], at: number, shift: number) => {
      if (given) this.#ports.push(new FlowPort(at, shift, given.value, given.invert));
    };
    port(o.ctorigsrcport, CT_ORIGINAL + PORTS, 16);
    port(o.ctorigdstport, CT_ORIGINAL + PORTS, 0);
    port(o.ctreplsrcport, CT_REPLY + PORTS, 16);
    port(o.ctrepldstport, CT_REPLY + PORTS, 0);
    this.#template = o.ctdir?.value !== REPLY && this.#holds(TEMPLATE, 0);
  }

  match(p: Packet): boolean {
    const o = this.#o;
    if (this.#state !== null && !this.#state.match(p)) return false;
    // Without a flow only the state can be judged (xt_conntrack returns here, too).
    if (p.ct === NO_CT) return p.ctinfo === NEW ? this.#template : this.#state !== null;
    if (o.ctdir !== undefined && ctinfoDir(p.ctinfo) !== o.ctdir.value) return false;
    return this.#holds(this.#conntrack.flows.words, p.ct * FLOW_WORDS);
  }

  /** What is asked of the flow's record holds. */
  #holds(words: Int32Array, record: number): boolean {
    const o = this.#o;
    for (let i = 0; i < this.#addresses.length; i++) {
      if (!this.#addresses[i].holds(words, record)) return false;
    }
    if (
      o.ctproto !== undefined &&
      ((words[record + CT_ORIGINAL + PROTO] & 0xff) === o.ctproto.value) === o.ctproto.invert
    ) return false;
    for (let i = 0; i < this.#ports.length; i++) if (!this.#ports[i].holds(words, record)) return false;
    if (
      o.ctstatus !== undefined &&
      ((words[record + CT_STATUS] & o.ctstatus.value) !== 0) === o.ctstatus.invert
    ) return false;
    if (o.ctexpire !== undefined) {
      // A flow that is not confirmed has no timer yet.
      const left = words[record + CT_STATE] === FLOW_CONFIRMED
        ? Math.max(0, (words[record + CT_EXPIRES] - this.#conntrack.clock.now) | 0)
        : 0;
      const seconds = Math.floor(left / 1000);
      if ((seconds >= o.ctexpire.value.min && seconds <= o.ctexpire.value.max) === o.ctexpire.invert) {
        return false;
      }
    }
    return true;
  }
}

/** The flow's state, addresses, ports, status, life and direction. */
export const conntrack: MatchExtension = defineMatch<ConntrackOptions>({
  name: "conntrack",
  tracks: true,
  options: {
    ctstate: {
      flag: "ctstate",
      kind: bits([...STATE_NAMES, ["SNAT", STATE_SNAT], ["DNAT", STATE_DNAT]]),
      negatable: true,
    },
    ctproto: { flag: "ctproto", kind: flowProtocol, negatable: true },
    ctorigsrc: { flag: "ctorigsrc", kind: network, negatable: true },
    ctorigdst: { flag: "ctorigdst", kind: network, negatable: true },
    ctreplsrc: { flag: "ctreplsrc", kind: network, negatable: true },
    ctrepldst: { flag: "ctrepldst", kind: network, negatable: true },
    ctorigsrcport: { flag: "ctorigsrcport", kind: anyPortRange, negatable: true },
    ctorigdstport: { flag: "ctorigdstport", kind: anyPortRange, negatable: true },
    ctreplsrcport: { flag: "ctreplsrcport", kind: anyPortRange, negatable: true },
    ctrepldstport: { flag: "ctrepldstport", kind: anyPortRange, negatable: true },
    ctstatus: { flag: "ctstatus", kind: status, negatable: true },
    ctexpire: { flag: "ctexpire", kind: range(0xffffffff), negatable: true },
    ctdir: { flag: "ctdir", kind: direction },
  },
  required: [
    "ctstate",
    "ctproto",
    "ctorigsrc",
    "ctorigdst",
    "ctreplsrc",
    "ctrepldst",
    "ctorigsrcport",
    "ctorigdstport",
    "ctreplsrcport",
    "ctrepldstport",
    "ctstatus",
    "ctexpire",
    "ctdir",
  ],
  create(o, c) {
    const { ctstate, ...others } = o;
    return ctstate !== undefined && Object.keys(others).length === 0
      ? stateMatch(c.services.conntrack, ctstate.value, ctstate.invert)
      : new ConntrackMatch(c.services.conntrack, o);
  },
});

/** A packet's relation to its flow (iptables -m state): the short form of `conntrack --ctstate`. */
import { NEW, NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension, NO_FLOW } from "../tables/extension.ts";
import { bits } from "../tables/kinds.ts";

/** Bits of a state mask. */
const STATE_INVALID = 1, STATE_ESTABLISHED = 2, STATE_RELATED = 4, STATE_NEW = 8, STATE_UNTRACKED = 16;
/** Known to `--ctstate` only. */
export const STATE_SNAT = 32, STATE_DNAT = 64;

/** The bit of each ctinfo, 0 … 7. */
const BY_CTINFO = Uint8Array.of(
  STATE_ESTABLISHED,
  STATE_RELATED,
  STATE_NEW,
  STATE_ESTABLISHED,
  STATE_RELATED,
  STATE_NEW,
  0,
  STATE_UNTRACKED,
);

/** Names in the order in which iptables-save prints them. */
export const STATE_NAMES = [
  ["INVALID", STATE_INVALID],
  ["NEW", STATE_NEW],
  ["RELATED", STATE_RELATED],
  ["ESTABLISHED", STATE_ESTABLISHED],
  ["UNTRACKED", STATE_UNTRACKED],
] as const;

/** The packet's state bit. UNTRACKED needs no flow, nor does the template's NEW; else no flow is INVALID. */
export function stateBit(p: Packet): number {
  return p.ct !== NO_CT || p.ctinfo >= NEW ? BY_CTINFO[p.ctinfo] : STATE_INVALID;
}

/** A state mask as `Match.relations` has it. */
function relations(mask: number, invert: boolean): number {
  let accepted = ((mask & STATE_INVALID) !== 0) !== invert ? NO_FLOW : 0;
  BY_CTINFO.forEach((bit, ctinfo) => {
    if (((mask & bit) !== 0) !== invert) accepted |= 1 << ctinfo;
  });
  return accepted;
}

/** Only the packet's relation to its flow. */
export class StateMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly relations: number;
  readonly #mask: number;
  readonly #invert: boolean;

  constructor(mask: number, invert: boolean) {
    this.#mask = mask;
    this.#invert = invert;
    this.relations = relations(mask, invert);
  }

  match(p: Packet): boolean {
    return ((stateBit(p) & this.#mask) !== 0) !== this.#invert;
  }
}

/** NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED. */
export const state: MatchExtension = defineMatch<{ state: number }>({
  name: "state",
  tracks: true,
  options: { state: { flag: "state", kind: bits(STATE_NAMES), negatable: true } },
  required: ["state"],
  create: (o) => new StateMatch(o.state!.value, o.state!.invert),
});

/**
 * Who is to be told what happens to a flow (nf_conntrack_ecache): nobody, unless it began while somebody listened, or
 * a rule `-j CT --ctevents` or `net.netfilter.nf_conntrack_events` says otherwise.
 *
 * ```
 *  begin       a new flow gets IPS_EVENTS, or not        `nf_conntrack_events` 0 never, 1 always, 2 when somebody listens
 *  due         something has changed: noted in the flow's status
 *  born        … in the table: one line for all that its first packet has changed
 *  deliver     a packet has passed the last hook: one line for all that has changed since the last one
 *  died        the last line
 * ```
 *
 * So a packet that is dropped on its way leaves what it has changed to be told with the flow's next one, as in Linux.
 * All that flows without IPS_EVENTS cost is a look at their status, which everybody has in hand.
 */
import type { Clock } from "../clock.ts";
import {
  EVENT_DESTROY,
  EVENT_EXPECT,
  EVENT_LABELS,
  EVENT_MARK,
  EVENT_NEW,
  EVENT_STATE,
  EVENT_UPDATE,
  type EventRing,
  NAME_WORDS,
} from "./events.ts";
import { EXP_MASTER, EXP_WORDS, type ExpectTable } from "./expect.ts";
import {
  CT_HELPER,
  CT_MUTED,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_DUE,
  IPS_DUE_ANY,
  IPS_DUE_LABELS,
  IPS_DUE_MARK,
  IPS_DUE_STATE,
  IPS_DYING,
  IPS_EVENTS,
  IPS_EXPECTED,
} from "./flow.ts";
import type { CtTemplate } from "../packet/packet.ts";
import type { FlowTable } from "./table.ts";

/** What can happen to a flow (enum ip_conntrack_events). */
export const IPCT_NEW = 0, IPCT_RELATED = 1, IPCT_DESTROY = 2, IPCT_REPLY = 3, IPCT_ASSURED = 4;
export const IPCT_PROTOINFO = 5, IPCT_HELPER = 6, IPCT_MARK = 7, IPCT_LABEL = 10;
/** And to an expectation (enum ip_conntrack_expect_events); in CT_MUTED behind those of the flow. */
export const IPEXP_NEW = 0, IPEXP_DESTROY = 1;
const EXPECTS_SHIFT = 16;

/** A template's events: all, as no rule says otherwise. */
export const ALL_EVENTS = -1;

/** Values of nf_conntrack_events. */
const NEVER = 0, WHEN_HEARD = 2;

/** Writes down what happens to flows. */
export class Teller {
  /** Process that asks for what happens now (`weir conntrack -D`), 0 for none. */
  portid = 0;
  readonly #flows: FlowTable;
  readonly #expects: ExpectTable;
  readonly #ring: EventRing;
  readonly #clock: Clock;
  readonly #mode: number;
  #names = new Int32Array(0);

  /** `mode` is nf_conntrack_events. */
  constructor(flows: FlowTable, expects: ExpectTable, ring: EventRing, clock: Clock, mode: number) {
    this.#flows = flows;
    this.#expects = expects;
    this.#ring = ring;
    this.#clock = clock;
    this.#mode = mode;
  }

  /** Names of the helpers, by index. */
  name(helpers: readonly string[]): void {
    this.#names = new Int32Array(helpers.length * NAME_WORDS);
    const bytes = new Uint8Array(this.#names.buffer), each = NAME_WORDS * 4;
    helpers.forEach((name, i) =>
      new TextEncoder().encodeInto(name, bytes.subarray(i * each, (i + 1) * each - 1))
    );
  }

  /** Nobody is told of flows as long as nobody listens, so that `begin` need not be asked. */
  get whenHeard(): boolean {
    return this.#mode === WHEN_HEARD;
  }

  /** A new flow is to be told of, or not; its template may say what of it (nf_ct_ecache_ext_add). */
  begin(ct: number, template: CtTemplate | null): void {
    const mode = this.#mode, events = template === null ? ALL_EVENTS : template.events, flows = this.#flows;
    if (mode === WHEN_HEARD ? this.#ring.wanted === 0 : mode === NEVER && events === ALL_EVENTS) return;
    if (events !== ALL_EVENTS) {
      // Rather nothing than what is not asked for.
      if (!flows.canHaveSide(ct)) return;
      flows.words[flows.side(ct) + CT_MUTED] = ~events;
    }
    flows.words[ct * FLOW_WORDS + CT_STATUS] |= IPS_EVENTS;
  }

  /** Something has happened: IPCT_* (nf_conntrack_event_cache). */
  due(ct: number, event: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS + CT_STATUS, status = w[at];
    if ((status & IPS_EVENTS) === 0) return;
    const shown = event === IPCT_PROTOINFO
      ? IPS_DUE_STATE
      : event === IPCT_MARK
      ? IPS_DUE_MARK
      : event === IPCT_LABEL
      ? IPS_DUE_LABELS
      : 0;
    w[at] = status | shown | (this.#isMuted(ct, event) ? 0 : IPS_DUE_ANY);
  }

  /** A flow is in the table from now on. */
  born(ct: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS;
    if (w[at + CT_HELPER] !== 0) this.due(ct, IPCT_HELPER);
    this.due(ct, (w[at + CT_STATUS] & IPS_EXPECTED) !== 0 ? IPCT_RELATED : IPCT_NEW);
    this.#deliver(ct, EVENT_NEW);
  }

  /** A packet of a flow to which something has happened has passed the last hook (nf_ct_deliver_cached_events). */
  deliver(ct: number): void {
    this.#deliver(ct, EVENT_UPDATE);
  }

  #deliver(ct: number, type: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
    w[at + CT_STATUS] = status & ~IPS_DUE;
    // When none of it is asked for nothing is told, and else everything.
    if ((status & (IPS_DUE_ANY | IPS_DYING)) !== IPS_DUE_ANY || w[at + CT_STATE] !== FLOW_CONFIRMED) return;
    const kind = type | ((status & IPS_DUE_STATE) !== 0 ? EVENT_STATE : 0) |
      ((status & IPS_DUE_MARK) !== 0 ? EVENT_MARK : 0) |
      ((status & IPS_DUE_LABELS) !== 0 ? EVENT_LABELS : 0);
    this.#tell(kind, type, ct);
  }

  /** A flow is about to leave the table. */
  died(ct: number): void {
    const status = this.#flows.words[ct * FLOW_WORDS + CT_STATUS];
    if ((status & IPS_EVENTS) === 0 || this.#isMuted(ct, IPCT_DESTROY)) return;
    this.#tell(EVENT_DESTROY | EVENT_STATE, EVENT_DESTROY, ct);
  }

  #tell(kind: number, type: number, ct: number): void {
    const ring = this.#ring;
    if ((ring.wanted & 1 << type) === 0) return;
    ring.flow(kind, this.#flows, ct, this.#clock, this.portid, this.#names);
  }

  /** An expectation has come into the table, or is about to leave it: IPEXP_* (nf_ct_expect_event_report). */
  expect(exp: number, event: number): void {
    const e = this.#expects.words, at = exp * EXP_WORDS, master = e[at + EXP_MASTER] - 1, ring = this.#ring;
    const type = event === IPEXP_NEW ? EVENT_NEW : EVENT_DESTROY;
    if ((ring.wanted & 1 << (type | EVENT_EXPECT)) === 0) return;
    if ((this.#flows.words[master * FLOW_WORDS + CT_STATUS] & IPS_EVENTS) === 0) return;
    if (this.#isMuted(master, event + EXPECTS_SHIFT)) return;
    ring.expect(type, e, at, this.#flows, this.#clock, this.#names);
  }

  #isMuted(ct: number, event: number): boolean {
    return (this.#flows.aside(ct, CT_MUTED) >>> event & 1) !== 0;
  }
}

/**
 * Weir's side of a plan: the router over plain memory, its clock the real one's, its chance guided by Linux's.
 *
 * @module
 */
import type { Clock } from "../../src/clock.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { validate, type ValidConfig } from "../../src/config/validate.ts";
import { listExpects, listFlows } from "../../src/conntrack/format.ts";
import { amanda, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import { readVnetHeader, writeVnetHeader } from "../../src/dataplane/vnet.ts";
import { Memory } from "../../src/memory.ts";
import { VNET_HDR_LENGTH } from "../../src/packet/packet.ts";
import { geometryOf } from "../../src/geometry.ts";
import { finish, readFront } from "../oracle/offload.ts";
import { Planes } from "../oracle/planes.ts";
import { type Dump, type Scenario, SCENARIO_SYSCTLS } from "../oracle/scenario.ts";
import { Guide } from "./guide.ts";
import type { Sent } from "./sent.ts";

/** Enough for a long scenario, and quickly zeroed. */
const SIZES = {
  // Where Weir does better than Linux, it is told not to.
  "weir.seqadj_exact": 0,
  "weir.segment_grown": 0,
  "net.netfilter.nf_conntrack_max": 8192,
  "net.netfilter.nf_conntrack_expect_max": 4096,
};

/** What a series sets beside that: Weir's own knobs. */
export const KNOBS: Record<string, number> = {};

/** Its configuration; throws when Weir refuses the rules. */
export function configure(scenario: Scenario): ValidConfig {
  const { interfaces, routes, iptables, ip6tables, sysctl } = scenario;
  return validate({
    interfaces,
    routes,
    iptables,
    ip6tables,
    // As in Linux, a helper does nothing without a rule.
    helpers: [ftp, irc, tftp, amanda].map((helper) => helper({ autoAssign: false })),
    sysctl: { ...SCENARIO_SYSCTLS, ...SIZES, ...KNOBS, ...sysctl },
  });
}

/** One router. */
export class WeirSide {
  readonly #names: readonly string[];
  readonly #config: ValidConfig;
  readonly #memory: Memory;
  readonly #planes: Planes;
  readonly #clock: Clock = { now: 0, wall: 0 };
  readonly guide: Guide;
  #out: Sent[] = [];

  constructor(scenario: Scenario, seed: number, planes = 1) {
    this.#names = Object.keys(scenario.interfaces);
    this.#config = configure(scenario);
    const geometry = geometryOf(this.#config);
    this.#memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
    this.guide = new Guide(seed, scenario.iptables ?? "", scenario.ip6tables ?? "");
    this.#planes = new Planes({
      config: this.#config,
      clock: this.#clock,
      random: this.guide,
      memory: this.#memory,
      emit: (iface, p) => {
        const bytes = p.bytes.slice(0, p.length);
        if (scenario.offload !== true) return void this.#out.push({ iface: this.#names[iface - 1], bytes });
        writeVnetHeader(p);
        this.#out.push({
          iface: this.#names[iface - 1],
          ...finished(bytes, p.raw.slice(0, VNET_HDR_LENGTH)),
        });
      },
      log: () => {},
    }, planes);
  }

  /** A packet arrives so many milliseconds after the beginning of 1970. */
  packet(iface: string, bytes: Uint8Array, milliseconds: number, vnet?: Uint8Array): Sent[] {
    this.#clock.wall = milliseconds / 1000;
    this.#clock.now = Math.floor(milliseconds) | 0;
    this.#out = [];
    const router = this.#planes.deal(), p = router.packet, index = this.#names.indexOf(iface) + 1;
    this.#planes.first.sweep();
    p.bytes.set(bytes);
    p.reset(index, bytes.length);
    if (vnet !== undefined) {
      p.raw.set(vnet);
      if (!readVnetHeader(p, VNET_HDR_LENGTH + bytes.length)) throw new Error("a header that nobody writes");
    }
    router.receive(p, index);
    return this.#out.filter((s) => !isNoise(s.bytes));
  }

  dump(): Dump {
    const { ipv4, ipv6 } = this.#config.rules,
      counters = this.#memory.generation.rules,
      { conntrack } = this.#planes.deal();
    return {
      name: "end",
      conntrack: listFlows(conntrack),
      expect: listExpects(conntrack),
      iptables: saveRules(ipv4, { counters }),
      ip6tables: saveRules(ipv6, { counters }),
    };
  }
}

/** A packet that a device with offloads got, as far as one may ask of it. */
export function finished(bytes: Uint8Array<ArrayBuffer>, vnet: Uint8Array): Omit<Sent, "iface"> {
  const { type, size } = readFront(vnet);
  return { bytes: finish(bytes, vnet), burst: type === 0 ? 0 : size };
}

/** What the kernel's side leaves out as well: multicast of neighbour discovery. */
function isNoise(bytes: Uint8Array): boolean {
  return bytes[0] >> 4 === 6 && bytes[24] === 0xff && (bytes[6] === 58 || bytes[6] === 0);
}

/** Whether an answer to the packet would leave by the interface that it came in by (iptables -m rpfilter). */
import { PREROUTING } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { isLinkLocal } from "../routing/address_scope.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import { defineMatch, type Match, type MatchExtension, type Options } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";

interface RpfilterOptions {
  loose: true;
  validmark: true;
  acceptLocal: true;
  rpInvert: true;
}

const source = new Int32Array(4);

class RpfilterMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #interfaces: Interfaces;
  readonly #loopback: number;
  readonly #loose: boolean;
  readonly #acceptLocal: boolean;
  readonly #invert: boolean;

  constructor(interfaces: Interfaces, o: Options<RpfilterOptions>) {
    this.#interfaces = interfaces;
    this.#loopback = interfaces.byName("lo");
    this.#loose = o.loose !== undefined;
    this.#acceptLocal = o.acceptLocal !== undefined;
    this.#invert = o.rpInvert !== undefined;
  }

  match(p: Packet): boolean {
    if (this.#loopback !== 0 && p.inInterface === this.#loopback) return !this.#invert;
    return (p.family === 4 ? this.#fits4(p) : this.#fits6(p)) !== this.#invert;
  }

  #fits4(p: Packet): boolean {
    readAddress(p.view, 4, IPV4_SOURCE, source);
    const head = source[0], destination = p.view.getInt32(IPV4_DESTINATION), zero = head >>> 24 === 0;
    // Who has no address yet asks all neighbours.
    if (zero && destination === -1) return true;
    if (zero && destination >>> 28 === 14) return destination >>> 8 === 0xe00000;
    if (zero || head >>> 28 === 14 || head === -1) source[0] = 0;
    else if (this.#interfaces.isBroadcast(head)) return false;
    if (head >>> 24 === 127) return this.#acceptLocal && this.#loose;
    if (!this.#interfaces.isLocal(source, 0, 4)) return this.#routed(p, 0);
    return this.#acceptLocal && (this.#loose || this.#interfaces.interfaceOf(source, 0, 4) === p.inInterface);
  }

  #fits6(p: Packet): boolean {
    readAddress(p.view, 6, IPV6_SOURCE, source);
    if ((source[0] | source[1] | source[2] | source[3]) === 0) return true;
    if (this.#interfaces.isAnycast(source, 0, 0)) return false;
    if (this.#interfaces.isLocal(source, 0, 6, p.inInterface)) return this.#acceptLocal;
    return this.#routed(p, isLinkLocal(source, 0) ? p.inInterface : 0);
  }

  /** Whether the route back, one by the interface `only` if that is not 0, leads there, or, loosely, anywhere. */
  #routed(p: Packet, only: number): boolean {
    const out = this.#interfaces.interfaceTo(p.family, source, 0, only);
    return out !== 0 && (this.#loose || out === p.inInterface);
  }
}

/** The reverse path; routes do not depend on marks, so `validmark` changes nothing. */
export const rpfilter: MatchExtension = defineMatch<RpfilterOptions>({
  name: "rpfilter",
  tables: ["raw", "mangle"],
  hooks: 1 << PREROUTING,
  options: {
    loose: { flag: "loose", kind: flag },
    validmark: { flag: "validmark", kind: flag },
    acceptLocal: { flag: "accept-local", kind: flag },
    rpInvert: { flag: "invert", kind: flag },
  },
  create: (o, c) => new RpfilterMatch(c.services.interfaces, o),
});

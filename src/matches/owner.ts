/**
 * Who has sent a packet of the router's own (iptables -m owner; xt_owner).
 *
 * Linux sends ICMP messages, and over IPv4 resets for ports that nobody listens to, through sockets of its own that are no
 * program's; what it forwards, resets over IPv6 and those of REJECT have none. Nothing else leaves Weir but what programs
 * send through a host device, and of these it does not know who they are.
 */
import { OUTPUT, POSTROUTING, TCP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
} from "../tables/extension.ts";
import { flag, type Range, refuse, show, wholeNumber } from "../tables/kinds.ts";

interface OwnerOptions {
  socketExists: true;
  uidOwner: Range;
  gidOwner: Range;
  supplGroups: true;
}

const ID_MAX = 0xfffffffe;

const ids: Kind<Range> = {
  words: 1,
  expects: 'a number, or a range such as "1000-1999"',
  read(input) {
    if (input === "root") return { min: 0, max: 0 };
    const parts = typeof input === "string" ? input.split("-") : [input];
    const min = wholeNumber(parts[0], 0, ID_MAX), max = wholeNumber(parts[parts.length - 1], 0, ID_MAX);
    if (min === null || max === null || parts.length > 2) {
      return typeof input === "string" && /^[a-z_]/.test(input)
        ? refuse(input, `a number; write what \`id\` says of ${input} on its machine`)
        : refuse(input, this.expects);
    }
    if (min > max) {
      throw new OptionError(`${show(input)} is a range that ends before it begins; swap its ends`);
    }
    return { min, max };
  },
  print: ({ min, max }) => min === max ? String(min) : `${min}-${max}`,
};

/** A socket of the router's own has sent the packet. */
export function hasSocket(p: Packet): boolean {
  return p.inInterface === 0 && (p.protocol !== TCP || p.socket);
}

class OwnerMatch implements Match {
  readonly pure = true;
  /** -1: it does not matter whether there is a socket; else 1 for one, 0 for none. */
  readonly #socket: number;
  /** All that is asked is negated. */
  readonly #nobody: boolean;
  readonly #noUser: boolean;

  constructor({ socketExists, uidOwner, gidOwner, supplGroups }: Options<OwnerOptions>) {
    const negated = (given?: { invert: boolean }) => given?.invert !== false;
    this.#socket = socketExists === undefined ? -1 : socketExists.invert ? 0 : 1;
    this.#noUser = negated(uidOwner) && negated(gidOwner);
    // Other groups are one more thing that is asked, and cannot be negated.
    this.#nobody = this.#noUser && negated(socketExists) && supplGroups === undefined;
  }

  match(p: Packet): boolean {
    return hasSocket(p) ? this.#socket !== 0 && this.#noUser : this.#nobody;
  }
}

/** Users, groups, and whether there is a socket at all. */
export const owner: MatchExtension = defineMatch<OwnerOptions>({
  name: "owner",
  hooks: 1 << OUTPUT | 1 << POSTROUTING,
  options: {
    socketExists: { flag: "socket-exists", kind: flag, negatable: true },
    uidOwner: { flag: "uid-owner", kind: ids, negatable: true },
    gidOwner: { flag: "gid-owner", kind: ids, negatable: true },
    supplGroups: { flag: "suppl-groups", kind: flag },
  },
  required: ["socketExists", "uidOwner", "gidOwner"],
  finish(o) {
    if (o.supplGroups !== undefined && o.gidOwner === undefined) {
      throw new OptionError("supplGroups goes with gidOwner");
    }
    return o;
  },
  programs: "Weir does not know which program has sent a packet",
  never: ({ uidOwner, gidOwner }) =>
    uidOwner?.invert === false || gidOwner?.invert === false
      ? "without a host device no program sends packets, only the router itself does"
      : null,
  create: (o) => new OwnerMatch(o),
});

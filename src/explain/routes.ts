/** Routes as the configuration has them, to say which one a packet took: the FIB itself keeps only what it needs. */
import type { ValidConfig } from "../config/valid.ts";
import type { Family } from "../netfilter.ts";
import { formatAddress, networkOf, parseAddress, parsePrefix, prefixMask } from "../packet/address.ts";

interface Route {
  readonly family: Family;
  readonly network: Int32Array;
  readonly mask: Int32Array;
  readonly length: number;
  /** The interface's name; null for routes that lead nowhere, and undefined where the next hop's network decides. */
  readonly interface: string | null | undefined;
  readonly metric: number;
  /** `198.51.100.0/24, connected`, `default via 198.51.100.254`. */
  readonly text: string;
}

/** All routes of a configuration. */
export class RouteTexts {
  readonly #routes: readonly Route[];

  constructor(config: Pick<ValidConfig, "interfaces" | "routes">) {
    const connected = config.interfaces.flatMap((i) => i.addresses.map((text) => fromAddress(text, i.name)));
    const configured = config.routes.flatMap((spec): Route[] => {
      const via = spec.via === undefined ? null : parseAddress(spec.via);
      const type = spec.type ?? "unicast";
      const goes = type === "unicast" ? spec.interface : null;
      const text = `${spec.destination}${spec.via === undefined ? "" : ` via ${spec.via}`}` +
        (type === "unicast" ? "" : `, ${type}`);
      if (spec.destination === "default") {
        const families: readonly Family[] = via === null ? [4, 6] : [via.family];
        return families.map((family) => route(family, new Int32Array(4), 0, goes, spec.metric, text));
      }
      const prefix = parsePrefix(spec.destination) ?? alone(spec.destination);
      return prefix === null
        ? []
        : [route(prefix.family, prefix.words, prefix.length, goes, spec.metric, text)];
    });
    this.#routes = [...connected, ...configured];
  }

  /** The route of the longest prefix, and among those the lowest metric, that leads to `by`; null when none does. */
  find(family: Family, words: Int32Array, by: string | null): string | null {
    let best: Route | null = null;
    for (const candidate of this.#routes) {
      if (candidate.family !== family || !within(words, candidate)) continue;
      if (candidate.interface !== by && (candidate.interface !== undefined || by === null)) continue;
      if (
        best === null || candidate.length > best.length ||
        candidate.length === best.length && candidate.metric < best.metric
      ) best = candidate;
    }
    return best?.text ?? null;
  }
}

function route(
  family: Family,
  words: Int32Array,
  length: number,
  by: string | null | undefined,
  metric: number | undefined,
  text: string,
): Route {
  const mask = prefixMask(family, length);
  return {
    family,
    network: networkOf(words, mask),
    mask,
    length,
    interface: by,
    metric: metric ?? (family === 4 ? 0 : 1024),
    text,
  };
}

function fromAddress(text: string, name: string): Route {
  const { family, words, length } = parsePrefix(text) ?? alone(text)!;
  const network = networkOf(words, prefixMask(family, length));
  return route(
    family,
    words,
    length,
    name,
    family === 4 ? 0 : 256,
    `${formatAddress(family, network)}/${length}, connected`,
  );
}

/** An address without a prefix length is a network of itself. */
function alone(text: string): { family: Family; words: Int32Array; length: number } | null {
  const address = parseAddress(text);
  return address === null ? null : { ...address, length: address.family === 4 ? 32 : 128 };
}

function within(words: Int32Array, { network, mask }: Route): boolean {
  return network.every((word, i) => (words[i] & mask[i]) === word);
}

/**
 * A capture through a router: packets in by the interfaces they were captured on, at the times they were captured;
 * packets out as Weir would have sent them.
 *
 * The virtual clock follows the packets' timestamps. What a packet causes leaves at the packet's own time; what a timer
 * causes, between two packets, when the timer is due. Time that runs backwards in the capture stands still in the
 * router. Everything is in memory: nothing is written before everything has worked.
 */
import type { ValidConfig } from "../config/validate.ts";
import { saveRules } from "../config/iptables_save.ts";
import { PcapngWriter, readPcapng } from "./pcapng.ts";
import { VirtualRouter } from "./virtual.ts";

/** A capture that cannot be replayed with this configuration, and why. */
export class ReplayError extends Error {
  override readonly name = "ReplayError";
}

/** The router's tables at the moment of the last packet, as text. */
export interface ReplayDumps {
  /** `conntrack -L`. */
  readonly conntrack: string;
  /** `conntrack -L expect`. */
  readonly expect: string;
  /** `iptables-save -c`. */
  readonly iptables: string;
  /** `ip6tables-save -c`. */
  readonly ip6tables: string;
}

/** What came of it. */
export interface Replayed {
  /** The pcapng file: the input's interfaces, then those of the configuration that it lacks, and what left by them. */
  readonly output: Uint8Array<ArrayBuffer>;
  readonly dumps: ReplayDumps;
  readonly received: number;
  readonly emitted: number;
  /** Packets that died, by reason, in the order of REASONS; those without any left out. */
  readonly drops: readonly (readonly [string, number])[];
  /** Packets that the capture holds only the beginning of. */
  readonly cut: number;
}

/** How to replay. */
export interface ReplayOptions {
  /** Where chance begins. Default 1: the same files give the same bytes. */
  readonly seed?: number;
  /** Takes lines of the LOG target and of conntrack. */
  readonly log?: (line: string) => void;
}

/** Replays the bytes of a pcapng file. Throws `PcapngError` or `ReplayError`. */
export function replay(config: ValidConfig, file: Uint8Array, o: ReplayOptions = {}): Replayed {
  const capture = readPcapng(file);
  const writer = new PcapngWriter();
  /** Index in the router of each interface of the capture, and the capture's number of each of the router's. */
  const indices: number[] = [], written = new Map<number, number>();
  for (const [number, { name, snapLength }] of capture.interfaces.entries()) {
    const known = config.interfaces.find((i) => i.name === name);
    if (known === undefined) {
      const names = config.interfaces.map((i) => i.name).join(", ");
      throw new ReplayError(
        name === ""
          ? `interface ${number} of the capture has no if_name; the configuration has ${names}`
          : `the capture has an interface ${name}, the configuration has ${names}`,
      );
    }
    indices.push(known.index);
    const at = writer.interface({ name, snapLength });
    if (!written.has(known.index)) written.set(known.index, at);
  }
  for (const { index, name } of config.interfaces) {
    if (!written.has(index)) written.set(index, writer.interface({ name }));
  }

  let time = 0n, causedByTimer = false, emitted = 0, cut = 0;
  const router = new VirtualRouter(config, {
    seed: o.seed,
    log: o.log,
    emit: (iface, bytes) => {
      if (causedByTimer) time = later(time, BigInt(Math.floor(router.clock.wall * 1000)) * 1_000_000n);
      writer.packet(written.get(iface)!, time, bytes);
      emitted++;
    },
  });
  for (const packet of capture.packets) {
    causedByTimer = true;
    router.moveTo(Number(packet.time / 1_000_000n));
    causedByTimer = false;
    time = later(time, packet.time);
    if (packet.bytes.length < packet.originalLength) cut++;
    router.receive(indices[packet.interface], packet.bytes);
  }
  return {
    output: writer.bytes(),
    dumps: {
      conntrack: lines(router.flows()),
      expect: lines(router.expects()),
      iptables: saveRules(config.rules.ipv4, { counters: router.memory.generation.rules }),
      ip6tables: saveRules(config.rules.ipv6, { counters: router.memory.generation.rules }),
    },
    received: capture.packets.length,
    emitted,
    drops: router.drops(),
    cut,
  };
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function lines(text: readonly string[]): string {
  return text.map((line) => `${line}\n`).join("");
}

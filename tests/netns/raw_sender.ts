/**
 * Sends IPv4 packets that no socket would, as fast as told: `deno run -A raw_sender.ts WHAT SRC DST COUNT PER-SECOND`.
 * `flows`: each a UDP datagram of a flow of its own, whose ports tell of each other (see `dportOf`). `fragments`: each
 * the first of a datagram that never becomes whole.
 */
import { fixIpChecksum, fragments, udp } from "../kit/mod.ts";

/** The destination port that goes with a source port: neither can be taken for another flow's. */
export function dportOf(sport: number): number {
  return (sport ^ 0x5a5a) & 0x7fff | 0x8000;
}

async function main(what: string, src: string, dst: string, count: number, perSecond: number): Promise<void> {
  const libc = Deno.dlopen("libc.so.6", {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
  }).symbols;
  const AF_INET = 2, SOCK_RAW = 3, IPPROTO_RAW = 255;
  const fd = libc.socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) throw new Error("no raw socket");
  const to = new Uint8Array(16);
  to.set([AF_INET, 0, 0, 0, ...dst.split(".").map(Number)]);
  const whole = udp({ src, sport: 1, dst, dport: 1, payload: 600, df: false, checksum: 0 });
  const packet = what === "fragments" ? fragments(whole, 304, 1)[0] : whole.slice(0, 40);
  const view = new DataView(packet.buffer);
  if (what === "flows") {
    view.setUint16(2, 40);
    view.setUint16(24, 20);
  }
  const began = performance.now(),
    print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line));
  print("begun\n");
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.ceil((performance.now() - began) / 1000 * perSecond));
    for (; sent < due; sent++) {
      if (what === "flows") {
        const sport = 1024 + sent % 60_000;
        view.setUint16(20, sport);
        view.setUint16(22, dportOf(sport));
      } else {
        view.setUint16(4, sent & 0xffff);
        view.setUint8(15, 2 + (sent >> 16)); // beyond 65,536 the next host's
      }
      fixIpChecksum(packet);
      libc.sendto(fd, packet, BigInt(packet.length), 0, to, to.length);
    }
    await new Promise((done) => setTimeout(done, 5));
  }
  print(`sent ${count}\n`);
}

if (import.meta.main) {
  const [what, src, dst, count, perSecond] = Deno.args;
  await main(what, src, dst, Number(count), Number(perSecond));
}

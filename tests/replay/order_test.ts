/**
 * L18: what replay writes follows from the file and the seed alone, whatever ran before it, in whatever process, and
 * however the file is cut into sections. Scale: 12 runs in one process and two in others, 10 cuts.
 */
import { assert, assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { PcapngWriter, readPcapng } from "../../src/replay/pcapng.ts";
import { replay } from "../../src/replay/replay.ts";
import { Folder, weir } from "../cli/weir.ts";
import { fragments, icmpEcho, seeded, tcp, udp } from "../kit/mod.ts";
import { ROOT } from "../tree.ts";

const SECOND = 1_000_000_000n, START = 1_790_000_000n * SECOND;

/** Everything that draws numbers or keeps time: ports that clash, ports at random, statistic, limit, helpers. */
const CONFIG = {
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
  },
  iptables: `*nat
-A POSTROUTING -o wan -p udp -j MASQUERADE --random
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
-A FORWARD -p icmp -m limit --limit 5/second --limit-burst 3 -j ACCEPT
-A FORWARD -p icmp -j DROP
-A FORWARD -p udp --dport 9 -m statistic --mode random --probability 0.5 -j REJECT
COMMIT
`,
};

type Captured = readonly [iface: "lan" | "wan", time: bigint, bytes: Uint8Array];

/** A second and a half of everybody talking at once, and a pause in which timers run. */
function traffic(): Captured[] {
  const out: Captured[] = [], random = seeded(18), wan = "198.51.100.7", own = "198.51.100.1";
  let time = START;
  const put = (iface: "lan" | "wan", bytes: Uint8Array) => {
    time += BigInt((random.next() >>> 0) % 3_000_000);
    out.push([iface, time, bytes]);
  };
  for (let i = 0; i < 600; i++) {
    const src = `192.0.2.${2 + (random.next() >>> 0) % 200}`;
    if (i === 300) time += 31n * SECOND;
    switch ((random.next() >>> 0) % 8) {
      case 0: // Everyone from the same port: most need another one.
        put("lan", tcp({ src, sport: 5000, dst: wan, dport: 80, flags: "S", seq: i }));
        break;
      case 1:
        put("lan", udp({ src, sport: 5000, dst: wan, dport: 53, payload: i }));
        break;
      case 2:
        put("lan", icmpEcho({ src, dst: wan, echoId: i, payload: 20 }));
        break;
      case 3:
        put("lan", udp({ src, sport: i, dst: wan, dport: 9, payload: 20 }));
        break;
      case 4: {
        const pieces = fragments(
          udp({ src, sport: i, dst: wan, dport: 4000, payload: 3000, df: false }),
          1480,
          i,
        );
        for (const piece of i % 3 ? pieces : pieces.slice(1)) put("lan", piece);
        break;
      }
      case 5:
        put(
          "lan",
          udp({
            src: "2001:db8:1::5",
            sport: i,
            dst: "2001:db8:2::7",
            dport: 69,
            payload: "\0\x01x\0octet\0",
          }),
        );
        break;
      case 6:
        put(
          "wan",
          tcp({ src: wan, sport: 80, dst: own, dport: 1024 + (random.next() >>> 0) % 500, flags: "SA" }),
        );
        break;
      default: {
        const s = { src, sport: 6000 + i, dst: wan, dport: 21 },
          r = { src: wan, sport: 21, dst: own, dport: 6000 + i };
        put("lan", tcp({ ...s, flags: "S", seq: 1 }));
        put("wan", tcp({ ...r, flags: "SA", seq: 1, ack: 2 }));
        put("lan", tcp({ ...s, flags: "A", seq: 2, ack: 2 }));
        put(
          "lan",
          tcp({
            ...s,
            flags: "PA",
            seq: 2,
            ack: 2,
            payload: `PORT ${src.replaceAll(".", ",")},16,${i & 255}\r\n`,
          }),
        );
      }
    }
  }
  return out;
}

/** A file, or a part of one: sections follow each other. */
function section(
  packets: readonly Captured[],
  names: readonly ("lan" | "wan")[] = ["lan", "wan"],
): Uint8Array {
  const writer = new PcapngWriter();
  const numbers = new Map(names.map((name) => [name, writer.interface({ name })]));
  for (const [iface, time, bytes] of packets) writer.packet(numbers.get(iface)!, time, bytes);
  return writer.bytes();
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const VALID = validate(defineRouter({ ...CONFIG, helpers: [ftp(), tftp()] }));

Deno.test("L18 the same file gives the same bytes each time, in this process and in others", async () => {
  const file = section(traffic()), once = replay(VALID, file, { seed: 3 });
  assert(once.emitted > 500 && once.dumps.expect.split("\n").length > 20, `${once.emitted} packets left`);
  for (let i = 0; i < 12; i++) {
    const again = replay(VALID, file, { seed: 3 });
    assertEquals(again.output, once.output);
    assertEquals(again.dumps, once.dumps);
    if (i % 4 === 0) replay(VALID, file, { seed: i + 100 });
  }
  using folder = new Folder();
  folder.write(
    "weir.ts",
    `import { defineRouter, ftp, tftp } from "${ROOT}mod.ts";
export default defineRouter({ ...${JSON.stringify(CONFIG)}, helpers: [ftp(), tftp()] });`,
  );
  Deno.writeFileSync(`${folder.path}/in.pcapng`, file);
  for (const name of ["a", "b"]) {
    const args = ["replay", "weir.ts", "in.pcapng", name, "--seed", "3", "--dump", `${name}.dump`];
    const { code, stderr } = await weir(args, folder.path);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(Deno.readFileSync(`${folder.path}/${name}`), once.output);
    for (const [dump, text] of Object.entries(once.dumps)) {
      assertEquals(Deno.readTextFileSync(`${folder.path}/${name}.dump/${dump}`), text);
    }
  }
});

Deno.test("L18 a file that is cut in two sections anywhere gives what the whole one gives", () => {
  const packets = traffic(), whole = replay(VALID, section(packets), { seed: 3 }), random = seeded(4);
  for (let i = 0; i < 10; i++) {
    const at = i === 0 ? 0 : i === 1 ? packets.length : (random.next() >>> 0) % packets.length;
    // The second section numbers its interfaces by itself.
    const file = joined(section(packets.slice(0, at)), section(packets.slice(at), ["wan", "lan"]));
    const cut = replay(VALID, file, { seed: 3 });
    assertEquals(cut.dumps, whole.dumps, `cut before packet ${at}`);
    assertEquals(packetsOf(cut.output), packetsOf(whole.output), `cut before packet ${at}`);
  }
});

/** The interface's name, time and bytes of each packet: the numbers of interfaces follow from the sections. */
function packetsOf(file: Uint8Array): (readonly [string, bigint, Uint8Array])[] {
  const { interfaces, packets } = readPcapng(file);
  return packets.map((p) => [interfaces[p.interface].name, p.time, p.bytes] as const);
}

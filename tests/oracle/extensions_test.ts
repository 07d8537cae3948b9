/** Extension headers in front of and behind a fragment header, for the router itself: Linux and Weir read them alike. */
import { concat, type Extension, icmpEcho, udp } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C6, LAN6, NET6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet } from "./scenario.ts";

const KINDS = ["hop", "destination", "routing"] as const;
type Kind = typeof KINDS[number];

/** No header, each, and every two of them. */
const CHAINS: Kind[][] = [[], ...KINDS.map((a) => [a]), ...KINDS.flatMap((a) => KINDS.map((b) => [a, b]))];

/** Options that pad; a routing header that has arrived. */
const header = (kind: Kind): Extension =>
  kind === "routing"
    ? { header: kind, body: [0, 0, 0, 0, 0, 0] }
    : { header: kind, body: [1, 4, 0, 0, 0, 0] };

/** A packet with these headers, the last `behind` of which stand behind the fragment header: in one piece or in two. */
function pieces(whole: Uint8Array, before: number, id: number, both: boolean): Uint8Array<ArrayBuffer>[] {
  const at = 40 + before * 8, nextAt = before === 0 ? 6 : at - 8;
  const head = whole.slice(0, at), rest = whole.slice(at), next = whole[nextAt];
  head[nextAt] = 44;
  const piece = (part: Uint8Array, offset: number, more: boolean) => {
    const out = concat(
      head,
      [next, 0, offset >> 8, offset & 255 | Number(more), 0, 0, id >> 8, id & 255],
      part,
    );
    new DataView(out.buffer).setUint16(4, out.length - 40);
    return out;
  };
  if (!both) return [piece(rest, 0, false)];
  const cut = (rest.length >> 1) & ~7;
  return [piece(rest.subarray(0, cut), 0, true), piece(rest.subarray(cut), cut, false)];
}

for (const tracked of [false, true]) {
  for (const both of [false, true]) {
    Deno.test({
      name: `headers around a fragment header, ${both ? "two pieces" : "one piece"}, ${
        tracked ? "gathered for tracking" : "gathered by the receiver"
      }: as Linux reads them`,
      ignore: !kernelAvailable(),
      fn() {
        let n = 0;
        const steps = CHAINS.flatMap((before) =>
          CHAINS.flatMap((behind) => {
            const common = { src: C6, dst: LAN6, extensions: [...before, ...behind].map(header) };
            const payload = new Uint8Array(64).fill(++n);
            return [
              icmpEcho({ ...common, echoId: n, payload }),
              udp({ ...common, sport: 1000 + n, dport: 9, payload }),
              udp({ ...common, sport: 0x3a00 + n, dport: 9, payload }),
            ].flatMap((whole, i) => pieces(whole, before.length, n * 4 + i, both))
              .map((piece) => packet("lan", piece));
          })
        );
        assertAlike({
          ...NET6,
          sysctl: { "net.ipv6.icmp.ratelimit": 0 },
          ip6tables: tracked ? "*filter\n-A INPUT -m conntrack --ctstate INVALID\nCOMMIT\n" : "",
          steps,
        });
      },
    });
  }
}

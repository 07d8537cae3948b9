/**
 * A bad line between two namespaces, or several: `deno run -A lossy_relay.ts SEED LOSS CORRUPTION FROM:TO…`, the shares in
 * percent. FROM and TO are namespaces, each gets a TUN device `line`. What enters one leaves the other, unless it is
 * lost, or with one octet changed. Ends when it is killed.
 */
import { openTun, PollSet, type Tun } from "deno_tun";
import { below, Xoshiro } from "../../src/clock.ts";

const [seed, loss, corruption] = Deno.args.slice(0, 3).map(Number);
const random = new Xoshiro(seed), buffer = new Uint8Array(65_536);
const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line));

const ends: Tun[] = Deno.args.slice(3).flatMap((pair) => {
  return pair.split(":").map((netns) => openTun({ name: "line", netns, vnetHdr: false }));
});
const set = new PollSet(ends.length);
ends.forEach((tun, i) => set.set(i, tun.fd));
print("relay ready\n");
let seen = 0, lost = 0, corrupted = 0;
for (let told = 0;;) {
  set.wait(-1);
  for (let i = 0; i < ends.length; i++) {
    if (set.revents(i) === 0) continue;
    const n = ends[i].read(buffer);
    if (n <= 0) continue;
    seen++;
    if (below(random, 100) < loss) {
      lost++;
      continue;
    }
    if (below(random, 100) < corruption) {
      corrupted++;
      buffer[below(random, n)] ^= 1 + below(random, 255);
    }
    ends[i ^ 1].write(buffer.subarray(0, n)); // a packet that is not IP any more is refused: lost as well
  }
  if (seen >= told + 100) {
    told = seen;
    print(`seen ${seen} lost ${lost} corrupted ${corrupted}\n`);
  }
}

/** L13 (scale: 8,000 flows in four seconds): the flow table is listed while flows come and go. */
import { assert, assertEquals } from "@std/assert";
import { libc } from "deno_tun";
import { count, list } from "../../src/cli/conntrack.ts";
import { flows } from "./addresses.ts";
import { Lab, pathOf, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { dportOf } from "./raw_sender.ts";

// The C library stays open for the life of the process; opened in a test, the sanitizer would call it a leak.
if (Deno.build.os === "linux") libc();

const FLOWS = 8_000, PER_SECOND = 2_000;
const LINE =
  /^udp +17 \d+ src=192\.0\.2\.2 dst=198\.51\.100\.2 sport=(\d+) dport=(\d+) (?:\[UNREPLIED\] )?src=198\.51\.100\.2 dst=198\.51\.100\.1 sport=(\d+) dport=(\d+) mark=0 use=1$/;

labTest(
  "L13 a listing of flows that come and go ends, has none twice, and no line is of two flows",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    const config = lab.write(
      "dump.ts",
      `import { defineRouter } from "weir";
import gateway from "${ROOT}examples/gateway.ts";
export default defineRouter({ ...gateway, helpers: [], sysctl: { "net.netfilter.nf_conntrack_udp_timeout": 1 } });`,
    );
    const weir = await lab.weir(config);
    const directory = pathOf(weir.pid, "/run/weir");
    // Nobody answers, and nobody says so: the flows have one packet each.
    await lab.ok("wan", "ip", "route", "add", "blackhole", "198.51.100.1");
    const sender = lab.spawn("lan", Deno.execPath(), [
      ...["run", "-A", "--no-prompt", `${ROOT}tests/netns/raw_sender.ts`],
      ...["flows", "192.0.2.2", "198.51.100.2", `${FLOWS}`, `${PER_SECOND}`],
    ]);
    await sender.waitFor(/^begun/m);
    let listings = 0, most = 0;
    for (; !sender.over; listings++) {
      const listed = list("conntrack", "dump", directory).filter((line) => line.startsWith("udp"));
      const seen = new Set<string>();
      for (const line of listed) {
        const [, sport, dport, replySport, replyDport] = LINE.exec(line) ?? [];
        assert(sport !== undefined, line);
        assertEquals([dport, replySport, replyDport], [`${dportOf(Number(sport))}`, dport, sport], line);
        assert(!seen.has(sport), `twice: ${line}`);
        seen.add(sport);
      }
      most = Math.max(most, listed.length);
      // Else nobody hears that the sender has ended.
      if (listings % 10 === 0) await new Promise((done) => setTimeout(done));
    }
    assert(sender.stdout.includes(`sent ${FLOWS}`), sender.text);
    assert(listings > 10 && most > PER_SECOND / 4, `${listings} listings of ${most} flows at most`);
    // The command itself, and the count, once nothing comes any more.
    for (let i = 0; i < 200 && count("conntrack", "dump", directory) > 0; i++) {
      await new Promise((done) => setTimeout(done, 50));
    }
    assertEquals([count("conntrack", "dump", directory), await flows(lab)], [0, ""]);
  },
);

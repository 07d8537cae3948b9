/**
 * L10 and L11 (scale: 2 s for 30 and 10): the router's process stands still for a while, as by SIGSTOP or a machine that
 * has too much to do, and goes on.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { flows } from "./addresses.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

/** Packets that the lan's device keeps for Weir (its txqueuelen). */
const QUEUE = 50;

labTest(
  "L10 L11 a router that stands still for a while: what waits is bounded, what was due is gone, all else goes on",
  ["curl", "ping"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    const weir = await lab.weir(lab.write(
      "still.ts",
      `import { defineRouter } from "weir";
import gateway from "${ROOT}examples/gateway.ts";
export default defineRouter({ ...gateway, sysctl: { "net.netfilter.nf_conntrack_icmp_timeout": 1 } });`,
    ));
    await startWeb(lab, "wan", 8080);
    await lab.ok("lan", "ip", "link", "set", "lan", "txqueuelen", `${QUEUE}`);
    const curl = lab.spawn("lan", "curl", [
      ...["-sS", "--limit-rate", "1M", "-m", "40", "-o", "/dev/null", "-w", "%{size_download}"],
      "http://198.51.100.2:8080/bytes/6000000",
    ]);
    let table = "";
    for (let i = 0; i < 50 && !/^tcp .* ESTABLISHED .*dport=8080/m.test(table); i++) table = await flows(lab);
    assertMatch(table, /^tcp .* ESTABLISHED .*dport=8080/m);
    await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
    assert(!curl.over, "the download is under way");

    weir.signal("SIGSTOP");
    const dropped = async () => {
      const [{ stats64 }] = JSON.parse(await lab.ok("lan", "ip", "-s", "-j", "link", "show", "dev", "lan"));
      return stats64.tx.dropped as number;
    };
    const before = await dropped();
    const { stdout } = await lab.run("lan", "ping", [
      "-q",
      "-c",
      "200",
      "-i",
      "0.01",
      "-W",
      "1",
      "198.51.100.2",
    ]);
    assertStringIncludes(stdout, " 0 received");
    const lost = await dropped() - before;
    assert(lost >= 200 - QUEUE, `${lost} packets found no room in a queue of ${QUEUE}`);
    weir.signal("SIGCONT");

    assertStringIncludes(
      await lab.ok("lan", "ping", "-c", "3", "-i", "0.1", "-W", "5", "198.51.100.2"),
      "3 received",
    );
    const ended = await curl.ended;
    assertEquals([ended.code, ended.stdout], [0, "6000000"], curl.text);
    // The echo requests of before, and those that have waited, are forgotten after a second in which time passed.
    for (let i = 0; i < 50 && /^icmp /m.test(table = await flows(lab)); i++) {
      await new Promise((done) => setTimeout(done, 100));
    }
    assert(!/^icmp /m.test(table), table);
    assertMatch(table, /^tcp .*dport=8080/m);
    assertEquals((await weir.stop()).code, 0);
  },
);

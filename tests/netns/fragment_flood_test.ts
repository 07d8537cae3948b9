/**
 * L17 (scale: 10,000 a second for two seconds, a store of 256 KiB; a million stand in tests/properties): fragments that
 * never become whole come in by one interface while others talk over the rest.
 */
import { assert, assertEquals } from "@std/assert";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

const PER_SECOND = 10_000, PINGS = 200, SIZE = 10_000_000;

const CONFIG = `import { defineRouter } from "weir";
import gateway from "${ROOT}examples/gateway.ts";
export default defineRouter({
  ...gateway,
  interfaces: {
    ...gateway.interfaces,
    bad: { addresses: ["203.0.113.1/24"], peer: { netns: "bad", addresses: ["203.0.113.2/24"], routes: ["default"] } },
  },
  sysctl: { "net.ipv4.ipfrag_high_thresh": 262144, "net.ipv4.ipfrag_time": 1 },
});`;

labTest(
  "L17 a flood of incomplete fragments costs whole packets nothing, and fragments pass when it is over",
  ["ping", "curl"],
  async () => {
    await using lab = await Lab.private("lan", "wan", "bad");
    await lab.weir(lab.write("flood.ts", CONFIG));
    await startWeb(lab, "wan", 8080);
    const flood = lab.spawn("bad", Deno.execPath(), [
      ...["run", "-A", "--no-prompt", `${ROOT}tests/netns/raw_sender.ts`],
      ...["fragments", "203.0.113.2", "198.51.100.2", `${1e9}`, `${PER_SECOND}`],
    ]);
    await flood.waitFor(/^begun/m);
    const url = `http://198.51.100.2:8080/bytes/${SIZE}`;
    const [pings, size] = await Promise.all([
      lab.run("lan", "ping", ["-q", "-c", `${PINGS}`, "-i", "0.01", "-W", "5", "198.51.100.2"]),
      lab.ok("lan", "curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{size_download}", url),
    ]);
    assert(!flood.over, flood.text);
    flood.kill();
    await flood.ended;
    assertEquals(size, `${SIZE}`);
    const received = Number(/(\d+) received/.exec(pings.stdout)?.[1]);
    assert(received >= PINGS * 0.99, pings.stdout);
    const { stdout } = await lab.command(["metrics"]);
    const dropped = Number(/reason="fragment-memory"\S* (\d+)/.exec(stdout)?.[1]);
    assert(dropped > PER_SECOND / 4, `${dropped} fragments found no room:\n${stdout}`);
    // Once the store is empty again: the first tries may come too early.
    const big = () => lab.run("lan", "ping", ["-c", "1", "-W", "1", "-s", "4000", "198.51.100.2"]);
    let passed = false;
    for (let i = 0; i < 20 && !passed; i++) passed = (await big()).code === 0;
    assert(passed, "fragments pass again");
  },
);

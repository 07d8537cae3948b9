/** Killed in the middle: what a router that is started again still knows. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

const GATEWAY = `${ROOT}examples/gateway.ts`;
const SIZE = 24_000_000;

for (const workers of ["1", "2"]) {
  const who = workers === "1" ? "the router" : `a router of ${workers} workers`;
  labTest(`a translated download outlives kill -9 and a new start of ${who}`, ["curl"], async () => {
    await using lab = await Lab.private("lan", "wan");
    await startWeb(lab, "wan", 8080);
    let weir = await lab.weir(GATEWAY, "--workers", workers);
    const url = `http://198.51.100.2:8080/bytes/${SIZE}`;
    const curl = lab.spawn("lan", "curl", [
      "-sS",
      "--limit-rate",
      "8M",
      "-m",
      "30",
      "-o",
      "got",
      "-w",
      "%{size_download}",
      url,
    ]);
    const flow = async () => {
      const { stdout } = await lab.command(["conntrack", "-L"]);
      // Or TIME_WAIT: curl makes up for lost time, so the download may be over before anybody looks.
      return /^tcp .* src=192\.0\.2\.2 dst=198\.51\.100\.2 sport=(\d+) dport=8080 .*dport=(\d+) \[ASSURED\]/m
        .exec(stdout)?.slice(1);
    };
    let before: string[] | undefined;
    for (let i = 0; i < 50 && before === undefined; i++) before = await flow();
    const listing = await lab.command(["conntrack", "-L"]);
    assert(
      before !== undefined,
      `the flow is not in the table: ${listing.stdout}${listing.stderr}${curl.text}`,
    );

    weir.kill();
    await weir.ended;
    assert(!curl.over, "the download is under way");
    weir = await lab.weir(GATEWAY, "--workers", workers);
    assertStringIncludes(weir.text, "with the flows of the process before");
    assertEquals(await flow(), before, "the same flow with the same ports");

    const { code, stdout, stderr } = await curl.ended;
    assertEquals([code, stdout], [0, String(SIZE)], stderr);
    // A clean end leaves nothing to go on with.
    await weir.stop();
    weir = await lab.weir(GATEWAY, "--workers", workers);
    assert(!weir.text.includes("the process before"), weir.text);
    const { stdout: empty } = await lab.command(["conntrack", "-L"]);
    assertEquals(empty.match(/dport=8080/g), null);
  });
}

labTest("after kill -9 another configuration goes on with the flows that it can have", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const config = (inside: string, outside: string, max: number) => `
    import { defineRouter } from "${ROOT}mod.ts";
    export default defineRouter({
      interfaces: {
        ${inside}: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
        ${outside}: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
      },
      tables: { nat: { POSTROUTING: [{ source: "192.0.2.0/24", jump: "MASQUERADE" }] } },
      sysctl: { "net.netfilter.nf_conntrack_max": ${max} },
    });`;
  const cases: [what: string, text: string, goesOn: boolean, flows: number][] = [
    ["another interface inside", config("dmz", "wan", 4096), true, 1],
    ["another one outside, where the flow was masqueraded", config("lan", "out", 4096), true, 0],
    ["another number of flows", config("lan", "wan", 8192), false, 0],
  ];
  for (const [what, text, goesOn, flows] of cases) {
    const path = lab.write("gw.ts", config("lan", "wan", 4096));
    const weir = await lab.weir(path);
    await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
    weir.kill();
    await weir.ended;
    assertMatch(await lab.ok(HERE, "find", "/run/weir", "-name", "gw.state"), /gw\.state/);
    lab.write("gw.ts", text);
    const next = await lab.weir(path), { stdout } = await lab.command(["conntrack", "-L"]);
    assertEquals(next.text.includes("the process before"), goesOn, `${what}: ${next.text}`);
    assertEquals(stdout.match(/^icmp /gm)?.length ?? 0, flows, `${what}: ${stdout}`);
    await next.stop();
  }
});

labTest("a start that fails leaves the flows of a killed router to the next one", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const weir = await lab.weir(GATEWAY);
  await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
  weir.kill();
  await weir.ended;
  await lab.ok("wan", "ip", "tuntap", "add", "dev", "wan", "mode", "tun");
  const { code, stderr } = await lab.command(["run", GATEWAY]);
  assertEquals(code, 1, stderr);
  await lab.ok("wan", "ip", "tuntap", "del", "dev", "wan", "mode", "tun");
  const next = await lab.weir(GATEWAY);
  assertStringIncludes(next.text, "with the flows of the process before");
  assertMatch((await lab.command(["conntrack", "-L"])).stdout, /^icmp /m);
});

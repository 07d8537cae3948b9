/** L08 (scale: 5 times): the namespace of a client is deleted and made anew under a router that runs. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const CONFIG = `import { defineRouter } from "weir";
import gateway from "${ROOT}examples/gateway.ts";
export default defineRouter({ ...gateway, interfaces: { ...gateway.interfaces,
  dmz: { addresses: ["203.0.113.1/24"], peer: { netns: "dmz", addresses: ["203.0.113.2/24"], routes: ["default"] } } } });`;

/** Ticks of 10 ms that a process has been on a processor (proc(5), utime and stime). */
function ticks(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

const descriptors = (pid: number) => [...Deno.readDirSync(`/proc/${pid}/fd`)].length;

labTest("L08 a namespace that is deleted and made anew costs the others nothing: no spin, no descriptor", [
  "ping",
], async () => {
  await using lab = await Lab.private("lan", "wan", "dmz");
  const weir = await lab.weir(lab.write("three.ts", CONFIG));
  const ping = async (where: string, to: string) => {
    assertStringIncludes(await lab.ok(where, "ping", "-c", "2", "-i", "0.1", "-W", "5", to), "2 received");
  };
  await ping("dmz", "198.51.100.2");
  await ping("lan", "198.51.100.2");
  const before = descriptors(weir.pid);
  for (let i = 0; i < 5; i++) {
    await lab.ok(HERE, "ip", "netns", "del", "dmz");
    // Somebody goes on talking to who is gone.
    await lab.run("wan", "ping", ["-c", "3", "-i", "0.05", "-W", "1", "203.0.113.2"]);
    await lab.ok(HERE, "ip", "netns", "add", "dmz");
    await weir.waitFor(new RegExp(`(?:weir: dmz: made again[^]*){${i + 1}}`));
    await ping("dmz", "198.51.100.2");
    await ping("lan", "198.51.100.2");
  }
  // Five times the same can leave no more than once: a descriptor or two of whoever looks on now may be there.
  assert(descriptors(weir.pid) <= before, `${descriptors(weir.pid)} descriptors, ${before} before`);
  const from = ticks(weir.pid), began = performance.now();
  await new Promise((done) => setTimeout(done, 1000));
  const share = (ticks(weir.pid) - from) * 10 / (performance.now() - began);
  assert(share < 0.5, `with nothing to do it takes ${(share * 100).toFixed()} % of a processor`);
  await ping("lan", "198.51.100.2");
  assertEquals((await weir.stop()).code, 0);
  // And by the next one.
  await lab.weir(`${lab.dir}/three.ts`);
  await ping("dmz", "198.51.100.2");
  await ping("lan", "198.51.100.2");
});

/** The helpers of the guide in src/helpers/README.md, from its own text, with programs that need them. */

import { assertEquals, assertMatch } from "@std/assert";
import { read } from "../tree.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const TALKER = ["run", "--no-config", "--unstable-net", "-N", `${ROOT}tests/netns/stream_and_beacon.ts`];

/** A gateway that lets in only what helpers have announced. */
const router = (helpers: string) => `
  import { defineRouter } from "weir";
  import { conntrackRtsp } from "./conntrack_rtsp.ts";
  import { natRtsp } from "./nat_rtsp.ts";
  import { beacon } from "./beacon.ts";
  export default defineRouter({
    interfaces: {
      lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
      wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
    },
    tables: {
      nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
      filter: { FORWARD: { policy: "DROP", rules: [
        { state: "ESTABLISHED", jump: "ACCEPT" },
        { state: "RELATED", helper: "rtsp", jump: "ACCEPT" },
        { state: "RELATED", helper: "beacon", jump: "ACCEPT" },
        { state: "NEW", inInterface: "lan", protocol: "tcp", dport: 554, jump: "ACCEPT" },
        { state: "NEW", inInterface: "lan", protocol: "udp", dport: 7701, jump: "ACCEPT" },
      ] } },
    },
    helpers: ${helpers},
  });`;

labTest(
  "the guide's helpers let streams and calls in through MASQUERADE, and none without them",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    for (
      const [, name, text] of read("src/helpers/README.md").matchAll(/^```ts (\w+\.ts)$\n([\s\S]*?)^```$/gm)
    ) {
      lab.write(name, text);
    }
    const ask = () => lab.ok("lan", Deno.execPath(), ...TALKER, "ask", "192.0.2.2", "198.51.100.2");
    const serve = async () => {
      const server = lab.spawn("wan", Deno.execPath(), [...TALKER, "serve", "198.51.100.2"]);
      await server.waitFor(/^ready/m);
    };
    const weir = await lab.weir(lab.write("router.ts", router("[conntrackRtsp({ nat: natRtsp }), beacon]")));
    await serve();
    assertEquals(await ask(), "RTP; RTCP; hello, 198.51.100.1\n");
    const { stdout: opened } = await lab.command(["pinholes"]);
    assertMatch(opened, /rtsp: udp 198\.51\.100\.2 → 198\.51\.100\.1:4589\n/);
    assertMatch(opened, /beacon: tcp anybody → 198\.51\.100\.1:5000\n/);

    lab.write("router.ts", router("[]"));
    assertEquals((await lab.command(["reload"])).code, 0);
    assertEquals(await ask(), "nothing; nothing; nothing\n");
    await weir.stop();
  },
);

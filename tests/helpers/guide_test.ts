/** The guide in src/helpers/README.md, tried out from its own text; and the example that goes with it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config, { parcel } from "../../examples/own_helper.ts";
import type { ConntrackHelper } from "../../mod.ts";
import { validate } from "../../src/config/validate.ts";
import { HelperLab } from "../../src/helpers/testing.ts";
import { read, ROOT } from "../tree.ts";

/** Code blocks that say which file they are. */
function filesOf(guide: string): Map<string, string> {
  const blocks = guide.matchAll(/^```ts (?:ignore )?(\w+\.ts)$\n([\s\S]*?)^```$/gm);
  return new Map([...blocks].map(([, name, text]) => [name, text]));
}

Deno.test("the guide's own files make a helper that passes the guide's own test", async () => {
  const files = filesOf(read("src/helpers/README.md"));
  assertEquals([...files.keys()].slice(0, 3), ["conntrack_rtsp.ts", "nat_rtsp.ts", "rtsp_test.ts"]);
  const folder = await Deno.makeTempDir({ prefix: "weir-guide-" });
  try {
    for (const [name, text] of files) await Deno.writeTextFile(`${folder}/${name}`, text);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-prompt", "--config", `${ROOT}deno.json`, `${folder}/rtsp_test.ts`],
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals(code, 0, said);
    const tests = [...files.get("rtsp_test.ts")!.matchAll(/^Deno\.test\(/gm)].length;
    assert(tests >= 4);
    assertStringIncludes(said, `${tests} passed | 0 failed`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What one of the guide's files exports. */
async function exported(name: string): Promise<ConntrackHelper> {
  const text = filesOf(read("src/helpers/README.md")).get(`${name}.ts`)!;
  const path = await Deno.makeTempFile({ prefix: "weir-guide-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(path, text);
    return (await import(`file://${path}`))[name];
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("the guide's helper for datagrams reads and writes bytes, and anybody may call", async () => {
  const beacon = await exported("beacon");
  const message = (
    ...address: number[]
  ) => [0x42, 0x43, 0x4e, 0x31, 1, 0, 0x13, 0x88, ...address, 0x6d, 0x65, 0xff];
  for (const [nat, seen] of [["none", [10, 0, 0, 2]], ["source", [203, 0, 113, 1]]] as const) {
    const lab = new HelperLab({ helpers: [beacon], nat }),
      talk = lab.connect({ port: 7701, protocol: "udp" });
    const say = (bytes: number[]) => Array.from(talk.client(Uint8Array.from(bytes)), (c) => c.charCodeAt(0));
    assertEquals(say(message(10, 0, 0, 2)), message(...seen));
    assertEquals(lab.expectations(), [`tcp anybody → ${seen.join(".")}:5000`]);
    assertEquals(lab.dial({ from: "192.0.2.9", to: seen.join("."), port: 5000 })?.to, "10.0.0.2:5000");
    // Another's address, another type, and a message that is cut.
    const odd = message(10, 0, 0, 2);
    odd[4] = 2;
    for (const bytes of [message(10, 0, 0, 9), odd, message(10, 0, 0, 2).slice(0, 11)]) {
      assertEquals(say(bytes), bytes);
    }
    assertEquals([lab.expectations(), lab.counts().failed], [[], 0]);
  }
});

Deno.test("the guide's helper whose address and port stand apart leaves what stands between", async () => {
  const source = await exported("source");
  const answer = (address: string) =>
    `RTSP/1.0 200 OK\r\nTransport: RTP/AVP;source=${address};ssrc=1C2D;server_port=6256;mode=play\r\n\r\n`;
  const lab = new HelperLab({ helpers: [source], nat: "destination" }), talk = lab.connect({ port: 554 });
  talk.client("SETUP rtsp://x/1 RTSP/1.0\r\n\r\n");
  assertEquals(talk.server(answer(lab.inside)), answer(lab.router));
  assertEquals(talk.server(answer("10.0.0.9")), answer("10.0.0.9"));
  talk.client("PLAY rtsp://x/1 RTSP/1.0\r\n\r\n");
  const lost = lab.dial({ protocol: "udp", from: lab.outside, to: lab.router, port: 6256 });
  assertEquals(lost, { related: true, from: "198.51.100.7:50000", to: "10.0.0.2:6256" });
});

Deno.test("examples/own_helper.ts has no mistakes, and its helper gets deliveries through NAT", () => {
  assertEquals(validate(config).helpers, [parcel]);
  for (const family of [4, 6] as const) {
    const lab = new HelperLab({ helpers: [parcel], nat: "source", family });
    const talk = lab.connect({ port: 7000 });
    assertEquals(talk.client(`DELIVER ${lab.inside} 5000\n`), `DELIVER ${lab.router} 5000\n`);
    assertEquals(talk.client("THANKS\n"), "THANKS\n");
    const from = family === 4 ? `${lab.outside}:50000` : `[${lab.outside}]:50000`;
    const to = family === 4 ? `${lab.inside}:5000` : `[${lab.inside}]:5000`;
    assertEquals(lab.dial({ from: lab.outside, to: lab.router, port: 5000 }), { related: true, from, to });
    // Another's address, a port below 1024, and none.
    for (const line of ["DELIVER 10.0.0.9 5000", `DELIVER ${lab.inside} 22`, `DELIVER ${lab.inside} x`]) {
      assertEquals(talk.client(line), line);
    }
    assertEquals(lab.expectations(), []);
  }
});

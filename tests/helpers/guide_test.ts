/** The guide in src/helpers/README.md, tried out from its own text; and the example that goes with it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config, { parcel } from "../../examples/own_helper.ts";
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
  assertEquals([...files.keys()], ["conntrack_rtsp.ts", "nat_rtsp.ts", "rtsp_test.ts"]);
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

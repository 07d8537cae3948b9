/** A configuration in a project of its own, outside of Weir's tree: checked, run, tested as README.md says. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { read, ROOT } from "../tree.ts";
import { Folder, weir } from "./weir.ts";

const CONFIG = `import { defineRouter, ftp } from "weir";

export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  tables: { filter: { FORWARD: { policy: "DROP", rules: [{ inInterface: "lan", jump: "ACCEPT" }] } } },
  helpers: [ftp()],
});
`;
const TEST = `import { assertEquals } from "@std/assert";
import { testRouter } from "weir/testing";
import config from "./router.ts";

Deno.test("nobody comes in", () => {
  assertEquals(testRouter(config).send("wan", "tcp 198.51.100.2:1 > 192.0.2.2:22 syn").verdict, "DROP");
});
`;

/** The import map that README.md shows, with this tree where it says /opt/weir. */
function importMap(): { imports: Record<string, string>; links?: string[] } {
  const shown = /```json\n(\{[^`]*"weir\/testing"[^`]*)```/.exec(read("README.md"));
  return JSON.parse(shown![1].replaceAll("/opt/weir/", ROOT));
}

async function deno(args: string[], cwd: string): Promise<{ code: number; text: string }> {
  const options = { args, cwd, env: { NO_COLOR: "1" }, stdin: "null" } as const;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("a project of one's own is type-checked and tested with the import map that README.md shows", async () => {
  using folder = new Folder();
  const map = importMap();
  // JSR is not reachable everywhere; where it is, the line is not needed.
  map.links = [`${ROOT}src/_std/*`];
  folder.write("deno.json", JSON.stringify(map));
  folder.write("router.ts", CONFIG);
  folder.write("router_test.ts", TEST);
  const checked = await deno(["check", "router.ts"], folder.path);
  assertEquals(checked.code, 0, checked.text);
  const tested = await deno(["test", "-A", "--no-prompt"], folder.path);
  assertEquals(tested.code, 0, tested.text);
  assertStringIncludes(tested.text, "1 passed | 0 failed");
});

Deno.test("weir needs no import map beside a configuration, wherever that stands", async () => {
  using folder = new Folder();
  const path = folder.write("router.ts", CONFIG);
  assertEquals(await weir(["check", path], "/"), { code: 0, stdout: `${path}: no mistakes\n`, stderr: "" });
});

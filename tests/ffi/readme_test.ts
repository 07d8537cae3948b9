import { assertEquals, assertStringIncludes } from "@std/assert";
import { deviceTest, Namespaces, run, test } from "./netns.ts";

const folder = new URL("../../ffi/", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", folder));

test("README lists the files that there are", () => {
  const listed = Array.from(readme.matchAll(/^\| `(\w+\.ts)`\s*\|/gm), (match) => match[1]).sort();
  const there = Array.from(Deno.readDirSync(folder), (entry) => entry.name)
    .filter((name) => name.endsWith(".ts") && name !== "mod.ts").sort();
  assertEquals(listed, there);
});

deviceTest("README example answers a ping", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const source = readme.match(/```ts ignore\n([\s\S]*?)```/)![1];
    await Deno.writeTextFile(
      file,
      source.replace('"deno_tun"', JSON.stringify(import.meta.resolve("deno_tun"))),
    );
    await run(Deno.execPath(), "check", "--no-lock", "--no-config", file);
    const example = new Deno.Command("ip", {
      args: ["netns", "exec", netns, Deno.execPath(), "run", "-A", "--no-lock", "--no-config", file],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const isUp = async () => (await run("ip", "-n", netns, "route")).includes("echo0");
    while (!await isUp()) await new Promise((resolve) => setTimeout(resolve, 20));
    const ping = await run("ip", "netns", "exec", netns, "ping", "-c2", "-i0.2", "-w5", "192.0.2.9");
    assertStringIncludes(ping, "2 received");
    example.kill("SIGKILL");
    await example.status;
  } finally {
    await Deno.remove(file);
  }
});

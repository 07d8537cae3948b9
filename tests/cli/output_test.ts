import { assertEquals } from "@std/assert";
import { columns } from "../../src/cli/output.ts";
import { ROOT } from "../tree.ts";

Deno.test("columns stand closer together where the terminal is narrow", () => {
  const head = ["NAME", "FLOWS"], rows = [["ftp", 1], ["ftp-2121", 12]];
  const wide = "NAME      FLOWS\nftp           1\nftp-2121     12";
  assertEquals(columns(head, rows), wide);
  assertEquals(columns(head, rows, 15), wide);
  assertEquals(columns(head, rows, 14), "NAME     FLOWS\nftp          1\nftp-2121    12");
});

for (const args of ["--help", "import --help", "save examples/gateway.ts"]) {
  Deno.test(`weir ${args} says that a full disk has not taken it all`, async () => {
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", `exec "$@" > /dev/full`, "sh", Deno.execPath(), "run", "-A", "mod.ts", ...args.split(" ")],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
    }).output();
    assertEquals([new TextDecoder().decode(stderr), code], [
      "weir: standard output: No space left on device (os error 28); what was to be written there is not whole\n",
      1,
    ]);
  });
}

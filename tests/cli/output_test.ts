import { assertEquals } from "@std/assert";
import { columns } from "../../src/cli/output.ts";

Deno.test("columns stand closer together where the terminal is narrow", () => {
  const head = ["NAME", "FLOWS"], rows = [["ftp", 1], ["ftp-2121", 12]];
  const wide = "NAME      FLOWS\nftp           1\nftp-2121     12";
  assertEquals(columns(head, rows), wide);
  assertEquals(columns(head, rows, 15), wide);
  assertEquals(columns(head, rows, 14), "NAME     FLOWS\nftp          1\nftp-2121    12");
});

/** `src/nat/RFC.md` says what these tests show: every test stands in it, every line has one, and it counts right. */
import { assert, assertEquals } from "@std/assert";

const here = (path: string) => Deno.readTextFileSync(new URL(path, import.meta.url));
const text = here("../../src/nat/RFC.md");
/** Without the formatter's padding and line ends. */
const flat = text.replace(/\s+/g, " ");

/** Lines of the requirement tables: RFC, number, what is asked, default, profile, test. */
const lines: {
  rfc: string;
  requirement: number;
  asks: string;
  linux: string;
  profile: string;
  test: string;
}[] = [];
let rfc = "", requirement = 0;
for (const line of text.split("\n")) {
  rfc = /^## (RFC \d+): /.exec(line)?.[1] ?? rfc;
  const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
  if (cells.length !== 5 || rfc === "" || cells[0].startsWith("---") || cells[1] === "it asks") continue;
  requirement = Number(/^REQ-(\d+)/.exec(cells[0])?.[1] ?? requirement);
  lines.push({ rfc, requirement, asks: cells[1], linux: cells[2], profile: cells[3], test: cells[4] });
}

const tests = ["4787", "5382", "5508"].flatMap((number) =>
  [...here(`rfc${number}_test.ts`).matchAll(/^ask\(\s*"(.+?)",/gm)].map(([, name]) => name)
);

Deno.test("RFC.md: every line names its test, and every test stands in it", () => {
  for (const { rfc, requirement, test } of lines) {
    assert(tests.includes(test), `no test is called ${test}`);
    assert(test.startsWith(`${rfc} REQ-${requirement}`), `${test} stands at ${rfc} REQ-${requirement}`);
  }
  assertEquals(tests.filter((name) => !flat.includes(name)), []);
  const wanted = { "RFC 4787": 14, "RFC 5382": 10, "RFC 5508": 11 };
  for (const [rfc, count] of Object.entries(wanted)) {
    const found = new Set(lines.filter((line) => line.rfc === rfc).map((line) => line.requirement));
    assertEquals([...found], Array.from({ length: count }, (_, i) => i + 1), rfc);
  }
});

Deno.test("RFC.md: the requirements met are counted right", () => {
  const verdict = (cell: string) => /^\*\*(yes|part|no|–)\*\*/.exec(cell)?.[1];
  for (const rfc of ["RFC 4787", "RFC 5382", "RFC 5508"]) {
    const count = (side: "linux" | "profile") => {
      const met = { yes: 0, part: 0, no: 0, "–": 0 };
      const own = lines.filter((line) => line.rfc === rfc && !line.asks.startsWith("(MAY)"));
      const all = lines.filter((line) => line.rfc === rfc);
      for (const number of new Set(all.map((line) => line.requirement))) {
        // A requirement that is a MAY as a whole counts by that line.
        const counted = own.some((line) => line.requirement === number) ? own : all;
        const said = counted.filter((line) => line.requirement === number).map((line) => verdict(line[side]));
        met[(["no", "part", "yes", "–"] as const).find((worst) => said.includes(worst))!]++;
      }
      return met;
    };
    const linux = count("linux"), profile = count("profile");
    const total = linux.yes + linux.part + linux.no + linux["–"];
    const cells = [
      total,
      linux.yes,
      linux.part,
      linux.no,
      profile.yes,
      profile.part,
      profile.no,
      profile["–"],
    ];
    assert(flat.includes(`| ${rfc} | ${cells.join(" | ")} |`), `| ${rfc} | ${cells.join(" | ")} |`);
  }
});

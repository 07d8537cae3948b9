/**
 * The shape of the tree, held by tests: who may import whom, no cycles, no `Deno` in the pure parts, no file that
 * outgrows a few screens, and a map in README.md that is the tree's.
 */

import { assert, assertEquals } from "@std/assert";
import { files, read, ROOT, withoutComments } from "./tree.ts";

const VOCABULARY = ["netfilter", "clock", "sysctl", "log", "arena", "space"];

/** What each part may import, beside itself. Whoever is not named here does not exist. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  netfilter: [],
  clock: [],
  arena: [],
  space: [],
  sysctl: [],
  log: ["clock", "arena"],
  packet: VOCABULARY,
  routing: [...VOCABULARY, "packet"],
  conntrack: [...VOCABULARY, "packet"],
  nat: [...VOCABULARY, "packet", "conntrack", "routing"],
  sets: [...VOCABULARY, "packet", "routing"],
  tables: [...VOCABULARY, "packet", "conntrack", "nat", "routing", "sets"],
  matches: [...VOCABULARY, "packet", "conntrack", "nat", "routing", "sets", "tables"],
  targets: [...VOCABULARY, "packet", "conntrack", "nat", "routing", "sets", "tables"],
  helpers: [...VOCABULARY, "packet", "conntrack", "nat"],
  config: [
    ...VOCABULARY,
    "packet",
    "conntrack",
    "nat",
    "routing",
    "sets",
    "tables",
    "matches",
    "targets",
    "helpers",
  ],
  generation: [...VOCABULARY, "conntrack"],
  memory: [...VOCABULARY, "conntrack", "generation"],
  geometry: ["conntrack", "config", "memory"],
  hooks: [...VOCABULARY, "packet", "conntrack", "nat", "routing", "tables", "memory"],
  fastpath: [...VOCABULARY, "packet", "conntrack", "routing", "tables"],
  router: [
    ...VOCABULARY,
    "packet",
    "conntrack",
    "nat",
    "routing",
    "sets",
    "tables",
    "matches",
    "targets",
    "helpers",
    "config",
    "memory",
    "hooks",
    "fastpath",
  ],
  replay: [...VOCABULARY, "packet", "conntrack", "config", "memory", "geometry", "router"],
  explain: [
    ...VOCABULARY,
    "packet",
    "conntrack",
    "nat",
    "routing",
    "sets",
    "tables",
    "matches",
    "config",
    "router",
    "replay",
  ],
  dataplane: [
    ...VOCABULARY,
    "packet",
    "conntrack",
    "routing",
    "sets",
    "tables",
    "config",
    "memory",
    "router",
    "ffi",
  ],
  control: [...VOCABULARY, "packet", "conntrack", "config", "generation", "memory", "dataplane", "ffi"],
  cli: [
    ...VOCABULARY,
    "packet",
    "conntrack",
    "tables",
    "config",
    "memory",
    "geometry",
    "router",
    "dataplane",
    "control",
    "replay",
    "explain",
    "_std",
  ],
  _std: [],
  ffi: [],
  testing: ["explain", "helpers"],
  mod: ["netfilter", "packet", "conntrack", "tables", "helpers", "config", "cli"],
};

/** Parts that get time, chance, devices and storage as arguments. */
const PURE = [
  "netfilter",
  "clock",
  "sysctl",
  "log",
  "arena",
  "generation",
  "memory",
  "geometry",
  "router",
  "packet",
  "routing",
  "conntrack",
  "nat",
  "tables",
  "matches",
  "targets",
  "helpers",
  "hooks",
  "fastpath",
  "config",
  "replay",
  "explain",
];

/** What a pure part has no business with. */
const IMPURE =
  /\bDeno\.|\bDate\.now\(|\bnew Date\b|\bMath\.random\(|\bperformance\.|\bsetTimeout\(|\bsetInterval\(|\bcrypto\./;

/**
 * What every packet passes, and what first packets pass most. Constants of other modules are taken into these as
 * constants of their own, which V8 compiles as numbers; an import it reads and checks each time (CONTRIBUTING.md).
 */
const EVERY_PACKET = [
  "src/conntrack/foresight.ts",
  "src/conntrack/proto/tcp.ts",
  "src/conntrack/proto/tcp_window.ts",
  "src/conntrack/proto/udp.ts",
  "src/conntrack/table.ts",
  "src/conntrack/tracker.ts",
  "src/dataplane/ports.ts",
  "src/dataplane/vnet.ts",
  "src/fastpath/fastpath.ts",
  "src/fastpath/header.ts",
  "src/fastpath/rewrite.ts",
  "src/nat/bysource.ts",
  "src/nat/core.ts",
  "src/nat/manip.ts",
  "src/nat/unique.ts",
  "src/packet/checksum.ts",
  "src/routing/route.ts",
  "src/tables/table.ts",
];

/** Bytes. Most files are far below; one that comes near usually holds two nouns. */
const LARGEST = 33_000;

const BARE: Record<string, string> = {
  "weir": "mod.ts",
  "deno_tun": "ffi/mod.ts",
  "@std/assert": "src/_std/assert/mod.ts",
  "@std/cli": "src/_std/cli/mod.ts",
  "@std/cli/parse-args": "src/_std/cli/parse_args.ts",
};

const SOURCES = ["mod.ts", ...files("ffi"), ...files("src")].filter((path) => path.endsWith(".ts"));

/** `src/nat/core.ts` → nat, `src/router.ts` → router, `ffi/tun.ts` → ffi, `mod.ts` → mod. */
function partOf(path: string): string {
  const inSrc = path.startsWith("src/") ? path.slice(4) : path;
  return inSrc.split("/")[0].replace(/\.ts$/, "");
}

/** Files that `path` imports, types included, relative to the root. */
function importsOf(path: string): string[] {
  const text = withoutComments(read(path));
  const found: string[] = [];
  const pattern =
    /\b(?:import|export)\b[^"';()]*?\bfrom\s*"([^"]+)"|\bimport\s*\(\s*"([^"]+)"|\bimport\s+"([^"]+)"/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier.startsWith(".")) {
      found.push(new URL(specifier, `file://${ROOT}${path}`).pathname.slice(ROOT.length));
    } else {
      found.push(BARE[specifier] ?? specifier);
    }
  }
  return found;
}

const GRAPH = new Map(SOURCES.map((path) => [path, importsOf(path)]));

Deno.test("architecture: every part imports only what the design allows", () => {
  const wrong: string[] = [];
  for (const [path, imports] of GRAPH) {
    const part = partOf(path);
    const allowed = MAY_IMPORT[part];
    if (allowed === undefined) {
      wrong.push(`${path}: src/${part} is not a part of the design`);
      continue;
    }
    for (const other of imports) {
      const otherPart = partOf(other);
      if (!GRAPH.has(other)) wrong.push(`${path} imports ${other}, which is not in src or ffi`);
      else if (otherPart !== part && !allowed.includes(otherPart)) {
        wrong.push(`${path} imports ${other}: ${part} may not import ${otherPart}`);
      }
    }
  }
  assertEquals(wrong, []);
});

Deno.test("architecture: a helper knows no other helper, and a conntrack half not its NAT half", () => {
  const wrong: string[] = [];
  for (const [path, imports] of GRAPH) {
    const half = /^src\/helpers\/(conntrack|nat)_(\w+)\.ts$/.exec(path);
    if (!half) continue;
    for (const other of imports) {
      const otherHalf = /^src\/helpers\/(conntrack|nat)_(\w+)\.ts$/.exec(other);
      if (!otherHalf) continue;
      if (otherHalf[2] !== half[2] || half[1] === "conntrack") wrong.push(`${path} imports ${other}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("architecture: no file imports itself over others", () => {
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (path: string, way: string[]) => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...way.slice(way.indexOf(path)), path].join(" → "));
      return;
    }
    state.set(path, "open");
    for (const other of GRAPH.get(path) ?? []) visit(other, [...way, path]);
    state.set(path, "done");
  };
  // mod.ts starts the command by a dynamic import, and commands never import mod.ts.
  for (const path of SOURCES) visit(path, []);
  assertEquals(cycles, []);
});

Deno.test("architecture: the pure parts touch no clock, no chance and no Deno", () => {
  const wrong: string[] = [];
  for (const path of SOURCES) {
    if (path.startsWith("ffi/") || !PURE.includes(partOf(path))) continue;
    withoutComments(read(path)).split("\n").forEach((line, i) => {
      if (IMPURE.test(line)) wrong.push(`${path}:${i + 1}: ${line.trim()}`);
    });
  }
  assertEquals(wrong, []);
});

Deno.test("architecture: no file outgrows a few screens", () => {
  const large = SOURCES
    .map((path) => [path, Deno.statSync(ROOT + path).size] as const)
    .filter(([, size]) => size > LARGEST);
  assertEquals(large, []);
});

Deno.test("architecture: nothing is exported that nobody names", () => {
  const dead = (texts: readonly string[]) => {
    const times = new Map<string, number>(), exported = new Set<string>();
    for (const text of texts) {
      for (const [word] of text.matchAll(/\w+/g)) times.set(word, (times.get(word) ?? 0) + 1);
      for (const [, head] of text.matchAll(/^export (?:async |abstract )?(?:\w+) ([^;{(]*)/gm)) {
        for (const [, name] of head.matchAll(/(?:^|, +)(\w+)/g)) exported.add(name);
      }
    }
    return [...exported].filter((name) => times.get(name) === 1);
  };
  assertEquals(dead(["export const A = 1, B = A;", "export function c(d: E) {}", "c();"]), ["B"]);
  const own = SOURCES.filter((path) => partOf(path) !== "_std");
  assertEquals(dead(own.map((path) => withoutComments(read(path)))), []);
});

Deno.test("architecture: file names are snake_case, and differ by more than letter case", () => {
  const odd = SOURCES.filter((path) => !/^[a-z0-9_/]+\.ts$/.test(path));
  assertEquals(odd, []);
});

Deno.test("architecture: the map in README.md is the tree", () => {
  const mapped = readMap();
  const real = new Set<string>();
  for (const path of files()) {
    const parts = path.split("/");
    if (parts.length === 1) {
      real.add(path);
    } else {
      // Folders down to the second level, and the files that stand directly in src and tests.
      real.add(`${parts[0]}/`);
      if (parts.length > 2) real.add(`${parts[0]}/${parts[1]}/`);
      else if (parts[0] === "src" || parts[0] === "tests") real.add(path);
    }
  }
  assertEquals([...mapped].filter((path) => !real.has(path)), [], "the map shows what is not there");
  assertEquals([...real].filter((path) => !mapped.has(path)), [], "the map leaves out what is there");
});

/** Paths in the README's map: two blanks of indentation a level, the name first, then what it is. */
function readMap(): Set<string> {
  const text = /^## Map of the tree$[\s\S]*?^```text\n([\s\S]*?)^```$/m.exec(read("README.md"))?.[1];
  assert(text, "README.md has a section “Map of the tree” with a text block");
  const paths = new Set<string>();
  const folders: string[] = [];
  for (const line of text.split("\n")) {
    const match = /^( *)(\S+)/.exec(line);
    if (!match) continue;
    const depth = match[1].length / 2;
    if (depth > 2) continue; // the rest of a description
    folders.length = depth;
    const path = folders.join("") + match[2];
    assert(!paths.has(path), `the map shows ${path} twice`);
    paths.add(path);
    if (match[2].endsWith("/")) folders.push(match[2]);
  }
  return paths;
}

Deno.test("architecture: files that every packet passes import no constant by its name", () => {
  const imported = (text: string) =>
    [...text.matchAll(/^import \{([^}]*)\}/gm)].flatMap(([, names]) =>
      names.match(/\b[A-Z][A-Z0-9_]+\b/g) ?? []
    );
  assertEquals(imported('import { a, CT_STATUS, type B } from "./a.ts";'), ["CT_STATUS"]);
  for (const path of EVERY_PACKET) assertEquals(imported(withoutComments(read(path))), [], path);
});

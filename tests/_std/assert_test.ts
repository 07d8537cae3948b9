/** The stand-in for `@std/assert` behaves as the real one: the cases are what its documentation promises. */

import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";

class Point {
  constructor(readonly x: number) {}
}

const circle: Record<string, unknown> = { a: 1 };
circle.self = circle;
const otherCircle: Record<string, unknown> = { a: 1 };
otherCircle.self = otherCircle;

/** Name, two values, whether they are equal. */
const EQUALITY: [string, unknown, unknown, boolean][] = [
  ["0 and -0", 0, -0, false],
  ["0 and -0 inside an array", [0], [-0], false],
  ["NaN and NaN", NaN, NaN, true],
  ["a number and its text", 1, "1", false],
  ["null and undefined", null, undefined, false],
  ["objects whatever the order of keys", { a: 1, b: 2 }, { b: 2, a: 1 }, true],
  ["a missing key and an undefined one", { a: undefined }, {}, false],
  ["a plain object and one without prototype", { a: 1 }, Object.assign(Object.create(null), { a: 1 }), true],
  ["a plain object and an instance", { x: 1 }, new Point(1), false],
  ["instances", new Point(1), new Point(1), true],
  ["nested arrays", [1, [2, { a: [3] }]], [1, [2, { a: [3] }]], true],
  ["arrays of different lengths", [1, 2], [1, 2, 3], false],
  ["a hole and undefined", [, 1], [undefined, 1], false],
  ["symbol keys", { [Symbol.for("a")]: 1 }, { [Symbol.for("a")]: 2 }, false],
  ["dates", new Date(5), new Date(5), true],
  ["different dates", new Date(5), new Date(6), false],
  ["invalid dates", new Date(NaN), new Date(NaN), true],
  ["regular expressions", /a/g, /a/g, true],
  ["regular expressions with other flags", /a/g, /a/i, false],
  ["addresses", new URL("http://192.0.2.1/"), new URL("http://192.0.2.1/"), true],
  ["typed arrays", Uint8Array.of(1, 2), Uint8Array.of(1, 2), true],
  ["typed arrays of other kinds", Uint8Array.of(1), Int8Array.of(1), false],
  ["float arrays with 0 and -0", Float64Array.of(0), Float64Array.of(-0), false],
  ["buffers", Uint8Array.of(1).buffer, Uint8Array.of(2).buffer, false],
  ["views", new DataView(Uint8Array.of(1, 2).buffer, 1), new DataView(Uint8Array.of(2).buffer), true],
  ["sets of objects", new Set([{ a: 1 }, { a: 2 }]), new Set([{ a: 2 }, { a: 1 }]), true],
  ["different sets", new Set([1, 2]), new Set([1, 3]), false],
  ["maps", new Map([[{ k: 1 }, [1]]]), new Map([[{ k: 1 }, [1]]]), true],
  ["different maps", new Map([["a", 1]]), new Map([["a", 2]]), false],
  ["errors", new Error("a"), new Error("a"), true],
  ["errors with other texts", new Error("a"), new Error("b"), false],
  ["cycles", circle, otherCircle, true],
  ["functions", () => 1, () => 1, false],
];

for (const [name, a, b, same] of EQUALITY) {
  Deno.test(`assertEquals: ${name} ${same ? "are equal" : "differ"}`, () => {
    const [passes, fails] = same ? [assertEquals, assertNotEquals] : [assertNotEquals, assertEquals];
    passes(a, b);
    passes(b, a);
    assertThrows(() => fails(a, b), AssertionError);
  });
}

Deno.test("assertEquals shows what differs, line by line", () => {
  const error = assertThrows(
    () => assertEquals({ a: 1, b: [1, 2, 3] }, { a: 1, b: [1, 5, 3] }, "two tables"),
    AssertionError,
    "Values are not equal: two tables",
  );
  assertMatch(error.message, /^- +2,$/m);
  assertMatch(error.message, /^\+ +5,$/m);
  assertMatch(error.message, /^ +3,$/m);
});

Deno.test("assertEquals says so where two different values print alike", () => {
  assertThrows(() => assertEquals([() => 1], [() => 1]), AssertionError, "same text");
});

/** Name, a call that passes, a call that fails. */
const OTHERS: [string, () => void, () => void][] = [
  ["assert", () => assert(1), () => assert("")],
  ["assertStrictEquals", () => assertStrictEquals(NaN, NaN), () => assertStrictEquals([], [])],
  ["assertNotStrictEquals", () => assertNotStrictEquals([], []), () => assertNotStrictEquals(1, 1)],
  ["assertExists", () => assertExists(0), () => assertExists(null)],
  ["assertStringIncludes", () => assertStringIncludes("abc", "b"), () => assertStringIncludes("abc", "d")],
  [
    "assertArrayIncludes",
    () => assertArrayIncludes([{ a: 1 }, 2], [{ a: 1 }]),
    () => assertArrayIncludes([1], [2]),
  ],
  ["assertMatch", () => assertMatch("abc", /B/i), () => assertMatch("abc", /B/)],
  ["assertNotMatch", () => assertNotMatch("abc", /B/), () => assertNotMatch("abc", /b/g)],
  ["assertInstanceOf", () => assertInstanceOf(new Point(1), Point), () => assertInstanceOf({}, Point)],
  [
    "assertObjectMatch",
    () => assertObjectMatch({ a: { b: 1, c: 2 }, d: [1, { e: 2, f: 3 }] }, { a: { b: 1 }, d: [1, { e: 2 }] }),
    () => assertObjectMatch({ a: { b: 1 } }, { a: { b: 2 } }),
  ],
  ["assertGreater", () => assertGreater(2, 1), () => assertGreater(1, 1)],
  ["assertGreaterOrEqual", () => assertGreaterOrEqual(1, 1), () => assertGreaterOrEqual(0, 1)],
  ["assertLess", () => assertLess(1, 2), () => assertLess(1, 1)],
  ["assertLessOrEqual", () => assertLessOrEqual(1, 1), () => assertLessOrEqual(NaN, 1)],
  ["assertAlmostEquals", () => assertAlmostEquals(0.1 + 0.2, 0.3), () => assertAlmostEquals(1, 1.1)],
  [
    "assertAlmostEquals with a tolerance",
    () => assertAlmostEquals(1, 1.1, 0.2),
    () => assertAlmostEquals(1, 2, 0.5),
  ],
  ["assertThrows", () => void assertThrows(() => fail()), () => void assertThrows(() => 1)],
  [
    "assertThrows with a class",
    () => void assertThrows(() => fail("why"), AssertionError, "why"),
    () => void assertThrows(() => fail(), RangeError),
  ],
  [
    "assertThrows with a text",
    () => void assertThrows(() => fail("why"), Error, "why"),
    () => void assertThrows(() => fail("why"), Error, "how"),
  ],
];

for (const [name, passes, fails] of OTHERS) {
  Deno.test(`${name} passes and fails where it should`, () => {
    passes();
    let error: unknown;
    try {
      fails();
    } catch (caught) {
      error = caught;
    }
    assert(error instanceof AssertionError, "it did not fail");
  });
}

Deno.test("assertRejects returns the error of a rejected promise", async () => {
  const error = await assertRejects(() => Promise.reject(new RangeError("too far")), RangeError, "far");
  assertEquals(error.message, "too far");
});

Deno.test("assertRejects fails on a promise that is fulfilled, and on a function that throws", async () => {
  await assertRejects(
    () => assertRejects(() => Promise.resolve(1)),
    AssertionError,
    "Expected function to reject",
  );
  await assertRejects(
    () =>
      assertRejects(() => {
        throw new Error("at once");
      }),
    AssertionError,
    "throws when expected to reject",
  );
});

/**
 * Stand-in for `@std/assert`: the part that Weir's tests use, with the same behaviour. It serves where JSR cannot
 * be reached; the `links` line in the root's deno.json puts it in the place of the real package.
 *
 * @module
 */

import { diff, format } from "./diff.ts";
import { equal } from "./equal.ts";

export { equal };

/** What every assertion of this module throws. */
export class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

// The constructor types of arguments that may throw: any parameters, so `never[]` would refuse most classes.
// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

function refuse(text: string, msg?: string): never {
  throw new AssertionError(msg === undefined ? text : `${text.replace(/\.$/, "")}: ${msg}`);
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Fails if `expr` is truthy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is false | 0 | "" | null | undefined {
  if (expr) throw new AssertionError(msg || "Expected a falsy value");
}

/** Fails always. */
export function fail(msg?: string): never {
  throw new AssertionError(msg === undefined ? "Failed assertion." : `Failed assertion: ${msg}`);
}

/** Fails always: for places that cannot be reached. */
export function unreachable(msg?: string): never {
  throw new AssertionError(msg === undefined ? "Unreachable." : `Unreachable: ${msg}`);
}

/** Fails unless the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  const a = format(actual), b = format(expected);
  const body = a === b ? `    Values have the same text but are not equal:\n\n    ${a}` : diff(a, b);
  throw new AssertionError(
    `Values are not equal${
      msg === undefined ? "." : `: ${msg}`
    }\n\n    [Diff] Actual / Expected\n\n${body}\n`,
  );
}

/** Fails if the two are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) {
    refuse(`Expected actual: ${format(actual)} not to be: ${format(expected)}.`, msg);
  }
}

/** Fails unless the two are the same value (`Object.is`). */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const a = format(actual), b = format(expected);
  const body = a === b
    ? `Values have the same structure but are not reference-equal:\n\n    ${a}`
    : diff(a, b);
  throw new AssertionError(
    `Values are not strictly equal${msg === undefined ? "." : `: ${msg}`}\n\n${body}\n`,
  );
}

/** Fails if the two are the same value (`Object.is`). */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (Object.is(actual, expected)) {
    refuse(`Expected "actual" to not be strictly equal to: ${format(actual)}.`, msg);
  }
}

/** Fails if `actual` is null or undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    refuse(`Expected actual: "${actual}" to not be null or undefined.`, msg);
  }
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) refuse(`Expected actual: "${actual}" to contain: "${expected}".`, msg);
}

/** Fails unless `actual` contains every element of `expected`, by deep equality. */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void {
  const all = Array.from(actual);
  const missing = Array.from(expected).filter((value) => !all.some((other) => equal(value, other)));
  if (missing.length > 0) {
    refuse(
      `Expected actual: "${format(actual)}" to include: "${format(expected)}".\nmissing: ${format(missing)}`,
      msg,
    );
  }
}

/** Fails unless `expected` matches `actual`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  // A global or sticky expression would start where the last search ended.
  expected.lastIndex = 0;
  if (!expected.test(actual)) refuse(`Expected actual: "${actual}" to match: "${expected}".`, msg);
}

/** Fails if `expected` matches `actual`. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  expected.lastIndex = 0;
  if (expected.test(actual)) refuse(`Expected actual: "${actual}" to not match: "${expected}".`, msg);
}

/** Fails unless `expected`'s keys have equal values in `actual`, recursively. */
// deno-lint-ignore no-explicit-any
export function assertObjectMatch(actual: Record<PropertyKey, any>, expected: object, msg?: string): void {
  const part = pick(actual, expected);
  if (!equal(part, expected)) assertEquals(part, expected as typeof part, msg);
}

function pick(actual: unknown, expected: unknown): unknown {
  if (typeof actual !== "object" || typeof expected !== "object" || !actual || !expected) return actual;
  if (Array.isArray(expected) || Array.isArray(actual)) {
    if (!Array.isArray(actual) || !Array.isArray(expected)) return actual;
    return actual.map((value, i) => i in expected ? pick(value, expected[i]) : value);
  }
  if (Object.getPrototypeOf(expected) !== Object.prototype) return actual;
  const part: Record<PropertyKey, unknown> = {};
  for (const key of Reflect.ownKeys(expected)) {
    if (key in actual) {
      part[key] = pick(
        (actual as Record<PropertyKey, unknown>)[key],
        (expected as Record<PropertyKey, unknown>)[key],
      );
    }
  }
  return part;
}

/** Fails unless `actual` is an instance of `expectedType`. */
export function assertInstanceOf<E>(
  actual: unknown,
  // deno-lint-ignore no-explicit-any
  expectedType: abstract new (...args: any[]) => E,
  msg?: string,
): asserts actual is E {
  if (actual instanceof expectedType) return;
  const kind = actual === null || typeof actual !== "object" ? String(actual) : actual.constructor?.name;
  refuse(`Expected object to be an instance of "${expectedType.name}" but was "${kind}".`, msg);
}

/** Fails unless `error` is an instance of `ErrorClass` whose message contains `msgIncludes`. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    refuse(`Expected "error" to be an Error object, but was ${format(error)}.`, msg);
  }
  if (ErrorClass && !(error instanceof ErrorClass)) {
    refuse(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor?.name}".`,
      msg,
    );
  }
  if (msgIncludes === undefined) return;
  const fits = typeof msgIncludes === "string"
    ? error.message.includes(msgIncludes)
    : msgIncludes.test(error.message);
  if (!fits) {
    refuse(
      `Expected error message to include ${format(msgIncludes)}, but got ${format(error.message)}.`,
      msg,
    );
  }
}

/** Fails unless two numbers differ by at most `tolerance` (default: 10⁻⁷ of the expected value). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance = Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const delta = Math.abs(expected - actual);
  if (delta <= tolerance) return;
  refuse(
    `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${tolerance}".`,
    msg,
  );
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) refuse(`Expect ${format(actual)} > ${format(expected)}.`, msg);
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) refuse(`Expect ${format(actual)} >= ${format(expected)}.`, msg);
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) refuse(`Expect ${format(actual)} < ${format(expected)}.`, msg);
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) refuse(`Expect ${format(actual)} <= ${format(expected)}.`, msg);
}

/** Fails unless `fn` throws; with a class and a text, unless it throws such an error. Returns the error. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClassOrMsg?: ErrorClass<E> | string,
  msgIncludesOrMsg?: string,
  msg?: string,
): E | unknown {
  const expected = typeof errorClassOrMsg === "function" ? errorClassOrMsg : undefined;
  const note = expected ? msg : errorClassOrMsg as string | undefined;
  try {
    fn();
  } catch (error) {
    checkThrown(error, expected, expected ? msgIncludesOrMsg : undefined, note, "throw");
    return error;
  }
  refuse("Expected function to throw.", note);
}

/** Fails unless `fn` returns a promise that is rejected; with a class and a text, by such an error. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClassOrMsg?: ErrorClass<E> | string,
  msgIncludesOrMsg?: string,
  msg?: string,
): Promise<E | unknown> {
  const expected = typeof errorClassOrMsg === "function" ? errorClassOrMsg : undefined;
  const note = expected ? msg : errorClassOrMsg as string | undefined;
  let promised = false;
  try {
    const result = fn();
    if (result && typeof result === "object" && typeof result.then === "function") {
      promised = true;
      await result;
    }
  } catch (error) {
    if (!promised) refuse("Function throws when expected to reject.", note);
    checkThrown(error, expected, expected ? msgIncludesOrMsg : undefined, note, "reject");
    return error;
  }
  refuse("Expected function to reject.", note);
}

function checkThrown<E extends Error>(
  error: unknown,
  expected: ErrorClass<E> | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
  verb: "throw" | "reject",
): void {
  if (!expected) return;
  if (!(error instanceof Error)) {
    refuse(verb === "throw" ? "A non-Error object was thrown." : "A non-Error object was rejected.", msg);
  }
  assertIsError(error, expected, msgIncludes, msg);
}

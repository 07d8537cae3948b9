/**
 * Values as TypeScript source, laid out as `deno fmt` leaves it by default: on one line where 80 columns hold it, else
 * one entry a line.
 *
 * @module
 */

/**
 * What a configuration is made of; a map is an object with its keys in order. A comment stands among the entries of
 * either, in an object under any key.
 */
export type Value = string | number | boolean | readonly Value[] | ReadonlyMap<string, Value> | Comment;

/** Lines that say nothing to a program. */
export class Comment {
  constructor(readonly lines: readonly string[]) {}
}

/** Somebody's text as it can stand in a comment: on one line, with nothing in it that ends it or cannot be seen. */
export function commentText(text: string): string {
  return text.replaceAll("\t", " ").replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (letter) => `\\u{${letter.codePointAt(0)!.toString(16)}}`,
  ).trimEnd();
}

/** What stands where an address is to be filled in: no address, so that nobody runs it. */
export const UNFINISHED = "address/length";

const WIDTH = 80;

/** `key: value`, as it stands behind `indent` blanks. A comma follows. */
export function printProperty(key: string, value: Value, indent: number): string {
  const name = `${printKey(key)}: `;
  if (typeof value === "string") {
    const text = printScalar(value);
    const fits = indent + name.length + text.length < WIDTH;
    return fits ? name + text : `${name.trimEnd()}\n${" ".repeat(indent + 2)}${text}`;
  }
  return name + printValue(value, indent, indent + name.length);
}

/** A value on one line, however long. */
export function printLine(value: Value): string {
  if (value instanceof Map) {
    const entries = [...value].map(([key, inner]) => `${printKey(key)}: ${printLine(inner)}`);
    return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
  }
  if (Array.isArray(value)) return `[${value.map(printLine).join(", ")}]`;
  return value instanceof Comment ? "" : printScalar(value as string | number | boolean);
}

/** A value whose lines after the first begin with `indent` blanks; the first begins at column `at`. A comma follows. */
function printValue(value: Value, indent: number, at: number): string {
  const line = oneLine(value);
  if (line !== null && at + line.length < WIDTH || !(value instanceof Map || Array.isArray(value))) {
    return line ?? printScalar(value as string);
  }
  const blanks = " ".repeat(indent + 2);
  const entry = (inner: Value, print: () => string) =>
    inner instanceof Comment
      ? inner.lines.map((line) => `${blanks}// ${line}\n`).join("")
      : `${blanks}${print()},\n`;
  const entries = value instanceof Map
    ? [...value].map(([key, inner]) => entry(inner, () => printProperty(key, inner, indent + 2)))
    : (value as readonly Value[]).map((inner) =>
      entry(inner, () => printValue(inner, indent + 2, indent + 2))
    );
  const [open, close] = value instanceof Map ? ["{", "}"] : ["[", "]"];
  return `${open}\n${entries.join("")}${" ".repeat(indent)}${close}`;
}

/** The value without a line end, null where that would not be read easily: lists of several objects, deep ones. */
function oneLine(value: Value, depth = 0): string | null {
  if (value instanceof Comment) return null;
  if (value instanceof Map) {
    if (value.size === 0) return "{}";
    const entries = [...value].map(([key, inner]) => {
      const text = oneLine(inner, depth + 1);
      return text === null ? null : `${printKey(key)}: ${text}`;
    });
    if (entries.includes(null) || depth > 1) return null;
    return `{ ${entries.join(", ")} }`;
  }
  if (Array.isArray(value)) {
    if (value.length > 1 && value.some((inner) => inner instanceof Map)) return null;
    const entries = value.map((inner) => oneLine(inner, depth + 1));
    return entries.includes(null) ? null : `[${entries.join(", ")}]`;
  }
  return printScalar(value as string | number | boolean);
}

function printKey(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : printScalar(key);
}

/** With the quotes that need fewer backslashes, as the formatter has it. */
function printScalar(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  const text = JSON.stringify(value);
  const doubles = value.split('"').length, singles = value.split("'").length;
  if (doubles <= singles) return text;
  return `'${text.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/** Lines of text between backquotes. */
export function templateText(text: string): string {
  return `\`\n${text.replace(/[\\`]|\$\{/g, "\\$&")}\``;
}

/**
 * Deep equality as `@std/assert` has it: `Object.is` for primitives, so `0` and `-0` differ and `NaN` equals
 * `NaN`; objects by constructor, own enumerable keys and contents; cycles end.
 */

/** Whether two values are deeply equal. */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

type Keyed = Record<PropertyKey, unknown>;

function compare(a: unknown, b: unknown, seen: Map<object, object>): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (!sameConstructor(a, b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof RegExp || a instanceof URL) return String(a) === String(b);
  if (a instanceof WeakMap || a instanceof WeakSet) return false;
  if (a instanceof WeakRef) return compare(a.deref(), (b as WeakRef<object>).deref(), seen);
  if (seen.get(a) === b) return true;
  seen.set(a, b);

  if (a instanceof ArrayBuffer || a instanceof SharedArrayBuffer) {
    return sameBytes(new Uint8Array(a), new Uint8Array(b as ArrayBuffer));
  }
  if (ArrayBuffer.isView(a)) return sameView(a, b as ArrayBufferView);
  if (a instanceof Set) return sameSet(a, b as Set<unknown>, seen);
  if (a instanceof Map) return sameMap(a, b as Map<unknown, unknown>, seen);
  if (a instanceof Error) {
    const other = b as Error;
    if (a.name !== other.name || a.message !== other.message) return false;
    if (!compare(a.cause, other.cause, seen)) return false;
  }
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  const keys = ownKeys(a);
  if (keys.length !== ownKeys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && compare((a as Keyed)[key], (b as Keyed)[key], seen));
}

/** A plain object and one without a prototype are of the same kind. */
function sameConstructor(a: object, b: object): boolean {
  return (a.constructor ?? Object) === (b.constructor ?? Object);
}

function ownKeys(value: object): PropertyKey[] {
  return Reflect.ownKeys(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key));
}

function sameView(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a instanceof DataView) {
    return sameBytes(
      new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
      new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
    );
  }
  return sameBytes(a as Uint8Array, b as Uint8Array);
}

/** Elements by `Object.is`, so that float arrays behave as arrays of numbers. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

function sameSet(a: Set<unknown>, b: Set<unknown>, seen: Map<object, object>): boolean {
  if (a.size !== b.size) return false;
  const rest = new Set(b);
  for (const value of a) {
    if (rest.delete(value)) continue;
    let found = false;
    for (const other of rest) {
      // A failed attempt must leave no assumption behind, hence the copy.
      if (compare(value, other, new Map(seen))) {
        found = rest.delete(other);
        break;
      }
    }
    if (!found) return false;
  }
  return true;
}

function sameMap(a: Map<unknown, unknown>, b: Map<unknown, unknown>, seen: Map<object, object>): boolean {
  if (a.size !== b.size) return false;
  const rest = new Map(b);
  for (const [key, value] of a) {
    let found = rest.has(key) && compare(value, rest.get(key), new Map(seen)) && rest.delete(key);
    if (!found) {
      for (const [otherKey, otherValue] of rest) {
        if (compare(key, otherKey, new Map(seen)) && compare(value, otherValue, new Map(seen))) {
          found = rest.delete(otherKey);
          break;
        }
      }
    }
    if (!found) return false;
  }
  return true;
}

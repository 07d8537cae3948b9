/** Looking on at one object, from outside: its class, and all other objects of it, stay as they are. */

/** A method of `O` by name. */
type Method<O, K extends keyof O> = O[K] extends (...args: infer A) => infer R ? (...args: A) => R : never;

/**
 * Puts `around` in the place of a method of this one object; it gets the method itself, to be called once with the
 * arguments as they came. Who calls the method, the object itself included, notices nothing.
 */
export function watch<O extends object, K extends keyof O & string>(
  object: O,
  name: K,
  around: (method: Method<O, K>) => Method<O, K>,
): void {
  const method = (object[name] as (...args: unknown[]) => unknown).bind(object) as Method<O, K>;
  Object.defineProperty(object, name, { value: around(method), configurable: true, writable: true });
}

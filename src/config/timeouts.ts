/**
 * The timeout policies that a configuration names.
 *
 * @module
 */
import { show } from "../tables/kinds.ts";
import {
  isSeconds,
  MOST_NAME_BYTES,
  SECONDS,
  type Seconds,
  statesOf,
  TIMEOUT_PROTOCOLS,
  type TimeoutPolicy,
} from "../tables/timeouts.ts";
import { child, isObject, type Problems, suggest } from "./problems.ts";

/** Reads `timeouts`; adds a problem for all that is wrong. */
export function readTimeouts(input: unknown, path: string, problems: Problems): TimeoutPolicy[] {
  if (input === undefined) return [];
  if (!isObject(input)) {
    problems.add(
      path,
      'is not an object with policies; write { web: { protocol: "tcp", established: 3600 } }',
    );
    return [];
  }
  return Object.entries(input).flatMap(([name, value]) => {
    const policy = readPolicy(name, value, child(path, name), problems);
    return policy === null ? [] : [policy];
  });
}

function readPolicy(name: string, input: unknown, path: string, problems: Problems): TimeoutPolicy | null {
  const length = new TextEncoder().encode(name).length;
  if (length === 0 || length > MOST_NAME_BYTES || /[\0\n]/.test(name)) {
    problems.add(path, `${show(name)} is no name of 1 to ${MOST_NAME_BYTES} bytes in one line`);
  }
  if (!isObject(input)) {
    problems.add(path, 'is not a policy; write { protocol: "tcp", established: 3600 }');
    return null;
  }
  const { protocol, family, ...seconds } = input, names = Object.keys(TIMEOUT_PROTOCOLS);
  if (family !== undefined && family !== 4 && family !== 6) {
    problems.add(child(path, "family"), `${show(family)} is not 4 or 6; leave it out for both`);
  }
  if (typeof protocol !== "string" || !Object.hasOwn(TIMEOUT_PROTOCOLS, protocol)) {
    problems.add(
      child(path, "protocol"),
      protocol === undefined
        ? `is missing; one of ${names.join(", ")}`
        : `${show(protocol)} is not a protocol with timeouts; ${suggest(String(protocol), names)}`,
    );
    return null;
  }
  const number = TIMEOUT_PROTOCOLS[protocol];
  if (problems.unknownKeys(path, seconds, statesOf(number))) {
    for (const [state, value] of Object.entries(seconds)) {
      if (!isSeconds(value)) problems.add(child(path, state), `${show(value)} is not ${SECONDS}`);
    }
  }
  return {
    name,
    protocol: number,
    family: family === 4 || family === 6 ? family : 0,
    seconds: seconds as Seconds,
  };
}

/**
 * Answers of a kernel, kept for machines that have none to ask: one JSON file per case.
 *
 * @module
 */
import { hex, unhex } from "../kit/show.ts";
import type { Answer, Dump } from "./scenario.ts";

interface File {
  kernel: string;
  emitted: { step: number; iface: string; bytes: string }[];
  dumps: Dump[];
}

const file = (id: string) => new URL(`./recorded/${id}.json`, import.meta.url);

/** Keeps an answer. */
export function record(id: string, kernel: string, answer: Answer): void {
  const emitted = answer.emitted.map((e) => ({ step: e.step, iface: e.iface, bytes: hex(e.bytes) }));
  const content: File = { kernel, emitted, dumps: answer.dumps };
  Deno.writeTextFileSync(file(id), JSON.stringify(content, null, 2) + "\n");
}

/** The answer kept, or null when there is none. */
export function recorded(id: string): { kernel: string; answer: Answer } | null {
  let text: string;
  try {
    text = Deno.readTextFileSync(file(id));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  const { kernel, emitted, dumps } = JSON.parse(text) as File;
  return { kernel, answer: { emitted: emitted.map((e) => ({ ...e, bytes: unhex(e.bytes) })), dumps } };
}

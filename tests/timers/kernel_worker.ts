/** A thread that watches Linux for one question after the other: network namespaces belong to threads. */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { type Question, watchKernel } from "./conversation.ts";

self.onmessage = ({ data: q }: MessageEvent<Question>) => {
  try {
    self.postMessage({ id: q.id, seen: watchKernel(q) });
  } catch (error) {
    self.postMessage({ id: q.id, error: String(error) });
  }
};

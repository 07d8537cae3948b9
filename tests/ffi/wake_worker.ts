/** The other thread of the tests: signals an eventfd, or changes mapped memory, when told so. */
import { EventFd, MappedFile } from "deno_tun";

interface Order {
  signal?: number;
  address?: bigint;
  length?: number;
}

declare const self: {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(message: unknown): void;
};

self.onmessage = ({ data }) => {
  if (data.address !== undefined) {
    const words = new Int32Array(MappedFile.view(data.address, data.length!));
    const seen = Atomics.load(words, 0);
    Atomics.store(words, 1, seen + 1);
    words[2] = 7;
    self.postMessage(seen);
  }
  if (data.signal !== undefined) new EventFd(data.signal).signal();
};

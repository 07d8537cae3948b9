/**
 * Does a client speak as a browser does? A page can make its reader's browser talk to any port and choose most of what
 * it says, so that a later segment begins like a command of another protocol, and a helper opens the reader's ports
 * ("NAT slipstreaming"). What a page cannot choose is how a browser begins: with an HTTP request (RFC 9112, 3), a TLS
 * ClientHello (RFC 8446, 4.1.2) or a STUN message (RFC 8489, 5).
 */

const encoder = new TextEncoder();
/** Methods that a page can use. OPTIONS is RTSP's, too, and carries nothing. */
const METHODS: readonly Uint8Array[] = ["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "PATCH "].map((method) =>
  encoder.encode(method)
);
/** TLS record of a handshake, and its first message. */
const TLS_HANDSHAKE = 0x16, TLS_MAJOR = 3, CLIENT_HELLO = 1;
/** STUN's magic cookie, at byte 4. */
const MAGIC_COOKIE = [0x21, 0x12, 0xa4, 0x42];

/** True if bytes `from` … `end`−1 are what a browser would begin with. */
export function beginsLikeBrowser(bytes: Uint8Array, from: number, end: number): boolean {
  const first = bytes[from], length = end - from;
  if (first === TLS_HANDSHAKE) {
    return length >= 6 && bytes[from + 1] === TLS_MAJOR && bytes[from + 5] === CLIENT_HELLO;
  }
  if (first < 0x40) {
    if (length < 8) return false;
    for (let i = 0; i < 4; i++) if (bytes[from + 4 + i] !== MAGIC_COOKIE[i]) return false;
    return true;
  }
  for (let i = 0; i < METHODS.length; i++) {
    const method = METHODS[i];
    let n = 0;
    while (n < method.length && n < length && bytes[from + n] === method[n]) n++;
    if (n === method.length) return true;
  }
  return false;
}

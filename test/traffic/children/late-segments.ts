/**
 * Runs next to a server and sends each client one segment outside its window, as if the network had
 * delayed it. Upstream's image regression-issue-74839 does the same. It waits until the client has
 * acknowledged the first answer, because an earlier reset would discard the answer.
 *
 * usage: bun late-segments.ts ADDRESS PORT OFFSET    OFFSET is added to the right sequence number
 *
 * Prints `listening`, then `injected` for each such segment, and `reset` for each RST that arrives.
 */
import { dlopen, ptr } from "bun:ffi";
import { readSockaddr, writeSockaddr } from "../../../harness/netns/sockaddr.ts";
import { parseAddress } from "../../../src/net/address.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
const IPPROTO_TCP = 6;
const SYN = 2;
const RST = 4;
const ACK = 16;
const PSH_ACK = 24;
const HEADER = 20;

const { symbols: c } = dlopen("libc.so.6", {
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recvfrom: { args: ["i32", "ptr", "u64", "i32", "ptr", "ptr"], returns: "i64" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
});

const [own = "", port = "", offset = ""] = process.argv.slice(2);
const six = own.includes(":");
const sockaddr = new Uint8Array(new ArrayBuffer(28));
const length = new Uint32Array(new ArrayBuffer(4));
const buffer = new Uint8Array(new ArrayBuffer(65536));

/** The TCP checksum of the pseudo-header and the segment. */
function checksum(segment: Uint8Array, from: string, to: string): number {
  const addresses = [from, to].flatMap((text) => [...(parseAddress(text)?.bytes ?? [])]);
  const bytes = [...addresses, 0, IPPROTO_TCP, segment.length >> 8, segment.length & 255];
  let sum = 0;
  for (const [i, byte] of [...bytes, ...segment].entries()) sum += i % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function segmentTo(peer: string, peerPort: number, sequence: number, ack: number): Uint8Array {
  const text = Buffer.from("late");
  const segment = new Uint8Array(new ArrayBuffer(HEADER + text.length));
  const view = new DataView(segment.buffer);
  view.setUint16(0, Number(port));
  view.setUint16(2, peerPort);
  view.setUint32(4, sequence);
  view.setUint32(8, ack);
  view.setUint8(12, (HEADER / 4) << 4);
  view.setUint8(13, PSH_ACK);
  view.setUint16(14, 512);
  segment.set(text, HEADER);
  view.setUint16(16, checksum(segment, own, peer));
  return segment;
}

const fd = c.socket(six ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_TCP);
if (fd < 0 || c.bind(fd, ptr(sockaddr), writeSockaddr(sockaddr, own, 0)) < 0) {
  throw new Error(`Cannot listen on ${own}`);
}
console.log("listening");

/**
 * Clients that have sent a SYN, by address and port, with the first number that each acknowledged:
 * the one of the server's SYN.
 */
const connecting = new Map<string, number | undefined>();
for (;;) {
  length[0] = sockaddr.length;
  const size = Number(c.recvfrom(fd, ptr(buffer), buffer.length, 0, ptr(sockaddr), ptr(length)));
  const { address } = readSockaddr(sockaddr);
  // IPv4 packets include their header.
  const view = new DataView(buffer.buffer, six ? 0 : ((buffer[0] ?? 0) & 15) * 4, size);
  if (view.getUint16(2) !== Number(port)) continue;
  const peerPort = view.getUint16(0);
  const flags = view.getUint8(13);
  const client = `${address} ${peerPort}`;
  if (flags & RST) console.log("reset");
  if (flags & SYN) connecting.set(client, undefined);
  else if (flags & ACK && connecting.has(client)) {
    const first = connecting.get(client);
    connecting.set(client, first ?? view.getUint32(8));
    if (first === undefined || first === view.getUint32(8)) continue;
    connecting.delete(client);
    const sequence = (view.getUint32(8) + Number(offset)) >>> 0;
    const segment = segmentTo(address, peerPort, sequence, view.getUint32(4));
    const to = writeSockaddr(sockaddr, address, 0);
    if (c.sendto(fd, ptr(segment), segment.length, 0, ptr(sockaddr), to) < 0n) {
      throw new Error(`Cannot send to ${address}`);
    }
    console.log("injected");
  }
}

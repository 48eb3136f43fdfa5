/**
 * Sends one UDP datagram from each of many forged source addresses.
 *
 * usage: bun forged-datagrams.ts ADDRESS PORT COUNT
 */
import { dlopen, ptr } from "bun:ffi";
import { writeSockaddr } from "../../../harness/netns/sockaddr.ts";
import { parseAddress } from "../../../src/net/address.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
/** The packet includes its IP header. */
const IPPROTO_RAW = 255;
const IPPROTO_UDP = 17;
const UDP_HEADER = 8;

const { symbols: c } = dlopen("libc.so.6", {
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
});

const [to = "", port = "", count = ""] = process.argv.slice(2);
const address = parseAddress(to);
if (address === undefined) throw new Error(`Not an address: ${to}`);
const six = address.family === 6;
const header = six ? 40 : 20;
const text = new TextEncoder().encode("forged");
const packet = new Uint8Array(new ArrayBuffer(header + UDP_HEADER + text.length));
const view = new DataView(packet.buffer);
const sourceAt = six ? 8 : 12;
const sourceEnd = six ? 24 : 16;

if (six) {
  view.setUint32(0, 0x60000000);
  view.setUint16(4, UDP_HEADER + text.length);
  packet.set([IPPROTO_UDP, 64], 6);
  packet.set(parseAddress("2001:db8:66::")?.bytes ?? [], sourceAt);
} else {
  view.setUint16(0, 0x4500);
  view.setUint16(2, packet.length);
  packet.set([64, IPPROTO_UDP], 8);
  packet.set(parseAddress("10.64.0.0")?.bytes ?? [], sourceAt);
}
packet.set(address.bytes, sourceEnd);
view.setUint16(header, 4000);
view.setUint16(header + 2, Number(port));
view.setUint16(header + 4, UDP_HEADER + text.length);
packet.set(text, header + UDP_HEADER);

/** The UDP checksum, which IPv6 requires. */
function checksum(): number {
  let sum = IPPROTO_UDP + UDP_HEADER + text.length;
  for (let at = sourceAt; at < packet.length; at += 2) {
    if (at !== header + 6) sum += ((packet[at] ?? 0) << 8) + (packet[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const fd = c.socket(six ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_RAW);
const sockaddr = new Uint8Array(new ArrayBuffer(28));
const length = writeSockaddr(sockaddr, to, 0);
let sent = 0;
for (let number = 0; number < Number(count); number++) {
  packet[sourceEnd - 3] = (number >> 16) + (six ? 0 : 1);
  packet[sourceEnd - 2] = number >> 8;
  packet[sourceEnd - 1] = number;
  view.setUint16(header + 6, 0);
  if (six) view.setUint16(header + 6, checksum());
  if (Number(c.sendto(fd, ptr(packet), packet.length, 0, ptr(sockaddr), length)) > 0) sent++;
}
if (sent !== Number(count)) throw new Error(`Only ${sent} of ${count} datagrams were sent`);

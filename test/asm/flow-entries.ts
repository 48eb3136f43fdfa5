/** Encodes entries as ctnetlink does, and corrupts them. */
import fc from "fast-check";

export const CLIENT = { 4: "0a0a0909", 6: "fd00000000000000000000000000aaaa" } as const;

/** An entry; addresses in hexadecimal. */
export interface Entry {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly tcpState: number;
  readonly status: number;
  readonly zone: number;
  readonly id: number;
}

/** struct nlmsghdr, struct nfgenmsg and attributes, as IPCTNL_MSG_CT_NEW has them. */
export function entryMessage(entry: Entry): Uint8Array {
  const { family, protocol, status, tcpState, zone, id } = entry;
  const body = Buffer.concat([
    Uint8Array.of(family === 4 ? 2 : 10, 0, 0, 0),
    nested(1, tuple(entry, CLIENT[family], entry.destination, 20_000, entry.destinationPort)),
    nested(2, tuple(entry, entry.source, CLIENT[family], entry.sourcePort, 20_000)),
    attribute(3, u32(status)),
    ...(protocol === 6 ? [nested(4, nested(1, attribute(1, Uint8Array.of(tcpState))))] : []),
    attribute(7, u32(600)),
    ...(zone > 0 ? [attribute(18, u16(zone))] : []),
    attribute(12, u32(id)),
  ]);
  return message(0x100, 2, body);
}

export function doneMessage(errno: number, flags = 2): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setInt32(0, -errno, true);
  return message(3, flags, body);
}

function message(type: number, flags: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  bytes.set(body, 16);
  return bytes;
}

function tuple(
  { family, protocol }: Entry,
  from: string,
  to: string,
  fromPort: number,
  toPort: number,
): Uint8Array {
  const [source, destination] = family === 4 ? [1, 2] : [3, 4];
  return Buffer.concat([
    nested(
      1,
      Buffer.concat([
        attribute(source, Uint8Array.fromHex(from)),
        attribute(destination, Uint8Array.fromHex(to)),
      ]),
    ),
    nested(
      2,
      Buffer.concat([
        attribute(1, Uint8Array.of(protocol)),
        attribute(2, u16(fromPort)),
        attribute(3, u16(toPort)),
      ]),
    ),
  ]);
}

function nested(type: number, value: Uint8Array): Uint8Array {
  return attribute(type | 0x8000, value);
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + ((value.length + 3) & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** A corruption of a datagram: changed bytes, and an early end. */
export const corruption = fc.record({
  bytes: fc.array(
    fc.record({
      at: fc.nat(4000),
      value: fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 255), fc.nat(255)),
    }),
    { maxLength: 12 },
  ),
  missing: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(80)),
});

export function corrupt(
  datagram: Uint8Array,
  { bytes, missing }: { bytes: readonly { at: number; value: number }[]; missing: number },
): Uint8Array {
  const spoiled = datagram.slice(0, Math.max(0, datagram.length - missing));
  for (const { at, value } of bytes) if (spoiled.length > 0) spoiled[at % spoiled.length] = value;
  return spoiled;
}

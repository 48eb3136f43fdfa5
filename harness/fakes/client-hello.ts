/** Listens for TLS handshakes and reads the server names that clients send. */
import { type AddressInfo, createServer } from "node:net";

export interface HelloListener {
  readonly port: number;
  /** The server name of each handshake; "" for one without. */
  readonly names: string[];
  stop(): Promise<void>;
}

const EXTENSION_SERVER_NAME = 0;

/** Listens on a loopback address. It cuts each connection after the client's first message. */
export async function listenForHellos(address = "127.0.0.1"): Promise<HelloListener> {
  const names: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes: Buffer) => {
      names.push(serverNameOf(bytes));
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    names,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Reads a record with a ClientHello (RFC 8446, 4.1.2), which fits one packet. */
function serverNameOf(record: Buffer): string {
  // Record header 5, message header 4, version 2, random 32.
  let at = 43;
  at += 1 + record.readUInt8(at);
  at += 2 + record.readUInt16BE(at);
  at += 1 + record.readUInt8(at);
  const end = at + 2 + record.readUInt16BE(at);
  at += 2;
  while (at < end) {
    const length = record.readUInt16BE(at + 2);
    // List length 2, type 1, name length 2.
    if (record.readUInt16BE(at) === EXTENSION_SERVER_NAME) {
      return record.toString("utf8", at + 9, at + 4 + length);
    }
    at += 4 + length;
  }
  return "";
}

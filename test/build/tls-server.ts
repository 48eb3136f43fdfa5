import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Certificate } from "../../harness/cluster/certificates.ts";

/** A server that asks for client certificates and remembers who came. */
export interface TlsServer {
  readonly url: string;
  /** Common names of the clients' certificates, one for each request; "" for a client without one. */
  readonly clients: string[];
  /** Resolves with the next request's client. */
  nextClient(): Promise<string>;
  /** Resolves when a client turns away from our certificate. */
  readonly refused: Promise<unknown>;
  close(): void;
}

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/**
 * Listens on `address`. Every request (none may have a body) is answered
 * with an empty JSON object. Not node:https, whose sockets under Bun do not show the client's certificate.
 */
export async function startTlsServer(
  address: string,
  own: Certificate,
  authority: Certificate,
): Promise<TlsServer> {
  const clients: string[] = [];
  const waiting: ((client: string) => void)[] = [];
  const sockets = new Set<TLSSocket>();
  const server: Server = createServer({
    cert: readFileSync(own.certificate),
    key: readFileSync(own.key),
    ca: readFileSync(authority.certificate),
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    // A client that turns away does so with a reset.
    socket.on("error", () => socket.destroy());
    let request = "";
    socket.on("data", (chunk) => {
      request += chunk.toString("latin1");
      if (!request.includes("\r\n\r\n")) return;
      request = "";
      const client = String(socket.getPeerCertificate()?.subject?.CN ?? "");
      clients.push(client);
      for (const resolve of waiting.splice(0)) resolve(client);
      socket.write(ANSWER);
    });
  });
  const refused = once(server, "tlsClientError");
  server.listen(0, address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://${address}:${port}`,
    clients,
    refused,
    nextClient: () => new Promise((resolve) => waiting.push(resolve)),
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

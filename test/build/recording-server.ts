/** A server that records the clients of a program under test. */
import { readFileSync } from "node:fs";
import type { Certificate } from "../../harness/cluster/certificates.ts";
import { serveTls } from "../../harness/fakes/tls-server.ts";

export interface RecordingServer {
  readonly url: string;
  /**
   * Common names of the clients' certificates, one for each request; "" for a client without one.
   */
  readonly clients: readonly string[];
  /** Resolves with the next request's client. */
  nextClient(): Promise<string>;
  /** Resolves when a client rejects our certificate. */
  readonly refused: Promise<unknown>;
  stop(): Promise<void>;
}

/** Listens on `address`, and answers every request with an empty JSON object. */
export async function startRecordingServer(
  address: string,
  own: Certificate,
  authority: Certificate,
): Promise<RecordingServer> {
  const clients: string[] = [];
  const waiting: ((client: string) => void)[] = [];
  const { port, refused, stop } = await serveTls({
    cert: readFileSync(own.certificate, "utf8"),
    key: readFileSync(own.key, "utf8"),
    clientAuthority: readFileSync(authority.certificate, "utf8"),
    address,
    port: 0,
    answer({ client }, reply) {
      clients.push(client);
      for (const resolve of waiting.splice(0)) resolve(client);
      reply.start(200, { "content-type": "application/json" });
      reply.write("{}");
      reply.end();
    },
  });
  return {
    url: `https://${address}:${port}`,
    clients,
    refused,
    nextClient: () => new Promise((resolve) => waiting.push(resolve)),
    stop,
  };
}

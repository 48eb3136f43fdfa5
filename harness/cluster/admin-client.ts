/** Calls the Kubernetes API as an administrator. */
import { Pool } from "undici/index.js";

/** A few calls of the Kubernetes API, as an administrator. */
export interface AdminClient {
  /**
   * Sends a JSON body and returns the JSON answer.
   *
   * @throws Error with the answer, unless its status is 2xx
   */
  request<Answer = unknown>(method: Method, path: string, body?: unknown): Promise<Answer>;
  /** Like GET, but returns the status instead of throwing; 0 without a connection. */
  status(path: string): Promise<number>;
  close(): Promise<void>;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Number of concurrent requests. A server on two cores is not faster with more. */
export const PARALLEL = 40;

/** Returns a client with kept-alive connections. PATCH bodies are merge patches. */
export function createAdminClient(url: string, ca: string, token: string): AdminClient {
  const pool = new Pool(url, { connections: PARALLEL, connect: { ca } });
  const send = (method: Method, path: string, body?: unknown) =>
    pool.request({
      method,
      path,
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
        accept: "application/json",
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  return {
    async request<Answer>(method: Method, path: string, body?: unknown) {
      const answer = await send(method, path, body);
      const text = await answer.body.text();
      if (answer.statusCode >= 300)
        throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
      return JSON.parse(text) as Answer;
    },
    async status(path) {
      try {
        const answer = await send("GET", path);
        await answer.body.dump();
        return answer.statusCode;
      } catch {
        return 0;
      }
    },
    close: () => pool.destroy(),
  };
}

/** Calls `work` for every item, `PARALLEL` at a time. Stops at the first failure. */
export async function forEachParallel<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++] as Item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

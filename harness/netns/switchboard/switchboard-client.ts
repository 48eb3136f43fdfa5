/** Sends commands to the switchboard and returns the answers as promises. */
import type { Answer, Command, Connect, Outcome, Reply, Transport } from "./protocol.ts";

export type { Outcome, Reply, Transport };

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

const PATIENCE_MS = 5000;
const ENDED = "send to the switchboard: it has exited";

export class SwitchboardClient {
  private readonly waiting = new Map<number, Waiting>();
  private readonly child;
  private nextId = 1;
  private ended = false;

  constructor() {
    this.child = Bun.spawn([process.execPath, `${import.meta.dir}/switchboard.ts`], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.listen();
  }

  /** Carries out a command that has no reply. */
  async command(command: Exclude<Command, Connect>): Promise<void> {
    await this.say(command);
  }

  /** Opens a connection (or sends a datagram) and returns its outcome. */
  async connect(
    command: Omit<Connect, "do" | "timeoutMs"> & { readonly timeoutMs?: number },
  ): Promise<Reply> {
    return replyOf(await this.say({ timeoutMs: PATIENCE_MS, ...command, do: "connect" }));
  }

  /** Sends another request over a held connection. */
  async ask(handle: number, timeoutMs = PATIENCE_MS): Promise<Reply> {
    return replyOf(await this.say({ do: "ask", handle, timeoutMs }));
  }

  async hangup(handle: number): Promise<void> {
    await this.say({ do: "hangup", handle });
  }

  /** Sends a GET inside a namespace. Throws without an answer. */
  async http(
    namespace: string,
    address: string,
    port: number,
    path: string,
    init: { readonly method?: string; readonly body?: string; readonly headers?: string } = {},
  ): Promise<{ status: number; body: string }> {
    const { method = "GET", body = "", headers = "" } = init;
    const host = address.includes(":") ? `[${address}]` : address;
    const length = body === "" ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
    const request = `${method} ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\nconnection: close\r\n${headers}${length}\r\n${body}`;
    const reply = await this.connect({ namespace, address, port, transport: "tcp", request });
    if (reply.outcome !== "answered") {
      throw new Error(`${method} http://${host}:${port}${path}: ${reply.outcome}`);
    }
    return parseHttp(Buffer.from(reply.text, "latin1"));
  }

  /** Lets the switchboard remove all that it owns, and waits for that. */
  async close(): Promise<void> {
    await this.child.stdin.end();
    await this.child.exited;
  }

  private say(command: Command): Promise<Answer> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      if (this.ended) throw new Error(ENDED);
      this.waiting.set(id, { resolve, reject });
      this.child.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
      void this.child.stdin.flush();
    });
  }

  private async listen(): Promise<void> {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stdout) {
      const lines = (pending + decoder.decode(chunk, { stream: true })).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) this.settle(JSON.parse(line));
    }
    this.ended = true;
    for (const { reject } of this.waiting.values()) reject(new Error(ENDED));
    this.waiting.clear();
  }

  private settle(answer: Answer): void {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(answer.error));
  }
}

function replyOf(answer: Answer): Reply {
  if (answer.reply === undefined) throw new Error("The switchboard answered without a reply");
  return answer.reply;
}

function parseHttp(bytes: Buffer): { status: number; body: string } {
  const split = bytes.indexOf("\r\n\r\n");
  const head = bytes.subarray(0, split).toString();
  const rest = bytes.subarray(split + 4);
  const chunked = /^transfer-encoding:\s*chunked/im.test(head);
  const body = chunked ? joinChunks(rest) : rest;
  return { status: Number(head.split(" ")[1]), body: body.toString() };
}

function joinChunks(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.subarray(at, end).toString(), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

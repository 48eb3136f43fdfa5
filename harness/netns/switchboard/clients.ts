/** Runs the clients of the switchboard: one connection or datagram each, and its outcome. */
import * as libc from "./libc.ts";
import type { Poller } from "./poller.ts";
import type { Ask, Connect, Outcome, Reply } from "./protocol.ts";

type Done = (reply: Reply) => void;

/** One request in progress. */
interface Call {
  readonly fd: number;
  readonly began: number;
  readonly start: number;
  readonly hold: boolean;
  /** Whether it uses a held connection. */
  again: boolean;
  readonly request: string | undefined;
  readonly done: Done;
  readonly timer: number;
  text: string;
}

const wallClock = (): number => performance.timeOrigin + performance.now();
const QUESTION = Buffer.from("?\n");

export class Clients {
  private readonly poller: Poller;
  private readonly held = new Set<number>();
  private readonly buffer = new Uint8Array(new ArrayBuffer(65536));

  constructor(poller: Poller) {
    this.poller = poller;
  }

  connect(command: Connect, done: Done): void {
    const { address, port, source, transport } = command;
    libc.enter(command.namespace);
    const fd = libc.socket(address, transport);
    if (fd < 0) throw new Error(`create a ${transport} socket: errno ${libc.errno()}`);
    if (source !== undefined || command.sourcePort !== undefined) {
      const any = address.includes(":") ? "::" : "0.0.0.0";
      if (libc.bind(fd, source ?? any, command.sourcePort ?? 0) < 0) {
        libc.close(fd);
        throw new Error(`bind ${source} ${command.sourcePort ?? 0}: errno ${libc.errno()}`);
      }
    }
    const call = this.call(fd, command.timeoutMs, command.hold ?? false, command.request, done);
    if (libc.connect(fd, address, port) < 0 && libc.errno() !== libc.EINPROGRESS) {
      this.end(call, outcomeOf(libc.errno(), false));
      return;
    }
    // All hops are on this machine, so a rejection can arrive before connect() returns. The kernel
    // then records it only, and reports it for the next SYN a second later. A real network is
    // slower.
    const noted = transport === "tcp" ? libc.socketError(fd) : 0;
    if (noted !== 0) {
      this.end(call, outcomeOf(noted, false));
    } else if (transport === "udp") {
      this.ask(call, QUESTION);
    } else if (command.request === undefined) {
      this.listenTo(call);
    } else {
      const request = Buffer.from(command.request);
      this.poller.watch(fd, libc.POLLOUT, () => this.ask(call, request));
    }
  }

  /** Sends another request over a held connection. */
  again(command: Ask, done: Done): void {
    if (!this.held.delete(command.handle)) throw new Error(`No connection ${command.handle}`);
    const call = this.call(command.handle, command.timeoutMs, true, undefined, done);
    call.again = true;
    this.ask(call, QUESTION);
  }

  hangup(handle: number): void {
    if (this.held.delete(handle)) libc.abort(handle);
  }

  private call(
    fd: number,
    patience: number,
    hold: boolean,
    request: string | undefined,
    done: Done,
  ): Call {
    const timer = this.poller.after(patience, () => this.end(call, "timeout"));
    const began = wallClock();
    const start = performance.now();
    const call: Call = { fd, began, start, hold, request, done, timer, text: "", again: false };
    return call;
  }

  private ask(call: Call, question: Uint8Array): void {
    const pending = libc.socketError(call.fd);
    if (pending !== 0) this.end(call, outcomeOf(pending, false));
    else if (libc.send(call.fd, question) < 0) this.end(call, outcomeOf(libc.errno(), false));
    else this.listenTo(call);
  }

  private listenTo(call: Call): void {
    this.poller.watch(call.fd, libc.POLLIN, () => {
      const size = libc.receive(call.fd, this.buffer);
      if (size > 0) {
        call.text += Buffer.from(this.buffer.buffer, 0, size).toString("latin1");
        if (call.request === undefined && call.text.endsWith("\n")) this.end(call, "answered");
      } else if (size === 0) {
        this.end(call, call.request === undefined ? "reset" : "answered");
      } else if (libc.errno() !== libc.EAGAIN) {
        this.end(call, outcomeOf(libc.errno(), call.text !== ""));
      }
    });
  }

  private end(call: Call, outcome: Outcome): void {
    this.poller.unwatch(call.fd);
    this.poller.cancel(call.timer);
    // A lost datagram says nothing about its socket, so the handle stays valid.
    const keep = call.hold && (outcome === "answered" || (outcome === "timeout" && call.again));
    if (keep) this.held.add(call.fd);
    else libc.abort(call.fd);
    const banner = outcome === "answered" && call.request === undefined;
    const [name = "", port = "0", seen = "", sawPort = "0"] = banner
      ? call.text.trim().split(" ")
      : [];
    call.done({
      outcome,
      name,
      port: Number(port),
      saw: seen,
      sawPort: Number(sawPort),
      began: call.began,
      took: performance.now() - call.start,
      handle: keep ? call.fd : -1,
      text: banner ? "" : call.text,
    });
  }
}

function outcomeOf(error: number, established: boolean): Outcome {
  switch (error) {
    case libc.ECONNREFUSED:
      return established ? "reset" : "refused";
    case libc.ECONNRESET:
      return "reset";
    case libc.ENETUNREACH:
    case libc.EHOSTUNREACH:
      return "unreachable";
    case libc.EPERM: // a rule in the output hook dropped it
      return "timeout";
    default:
      throw new Error(`A connection failed in a way that has no name here: errno ${error}`);
  }
}

import { beforeEach, expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import {
  ANSWER_MS,
  ClientConnections,
  type ClientSocket,
  FIRST_REQUEST_MS,
  NEXT_REQUEST_MS,
} from "../../src/admin/client-connections.ts";

/** Like a socket of the runtime, emits its close event later. */
class FakeSocket extends EventEmitter implements ClientSocket {
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
  }
}

let clock: FakeClock;
beforeEach(() => {
  clock = new FakeClock();
});

function open(connections: ClientConnections, count: number): FakeSocket[] {
  return Array.from({ length: count }, () => {
    const socket = new FakeSocket();
    connections.add(socket);
    return socket;
  });
}

const destroyed = (sockets: readonly FakeSocket[]) =>
  sockets.flatMap((socket, index) => (socket.destroyed ? [index] : []));

test("a connection too many closes the one that waits longest for a request", () => {
  const connections = new ClientConnections(clock, 3);
  const sockets = open(connections, 5);
  expect(destroyed(sockets)).toEqual([0, 1]);
  expect(connections.size).toBe(3);
});

test("a request that is being answered stays", () => {
  const connections = new ClientConnections(clock, 3);
  const sockets = open(connections, 3);
  const [first, second] = sockets;
  if (first === undefined || second === undefined) throw new Error("no sockets");
  connections.requestReceived(first);
  connections.requestReceived(second);
  connections.answerSent(second);
  sockets.push(...open(connections, 2));
  expect(destroyed(sockets)).toEqual([1, 2]);
});

test("if every request is being answered, the oldest one ends", () => {
  const connections = new ClientConnections(clock, 2);
  const sockets = open(connections, 2);
  for (const socket of sockets) connections.requestReceived(socket);
  sockets.push(...open(connections, 1));
  expect(destroyed(sockets)).toEqual([0]);
});

test.each([
  ["sends no request", FIRST_REQUEST_MS, () => {}],
  [
    "does not read the answer",
    ANSWER_MS,
    (connections: ClientConnections, socket: FakeSocket) => connections.requestReceived(socket),
  ],
  [
    "sends no second request",
    NEXT_REQUEST_MS,
    (connections: ClientConnections, socket: FakeSocket) => {
      connections.requestReceived(socket);
      connections.answerSent(socket);
    },
  ],
])("a client that %s is closed", async (_, ms, act) => {
  const connections = new ClientConnections(clock, 3);
  const [socket] = open(connections, 1);
  if (socket === undefined) throw new Error("no socket");
  act(connections, socket);
  await clock.advance(ms - 1);
  expect(socket.destroyed).toBe(false);
  await clock.advance(1);
  expect(socket.destroyed).toBe(true);
  expect(connections.size).toBe(0);
});

test("a connection that the client ends is forgotten", () => {
  const connections = new ClientConnections(clock, 3);
  const [socket] = open(connections, 1);
  socket?.emit("close");
  expect([connections.size, clock.waiting]).toEqual([0, 0]);
});

import { describe, expect, test } from "bun:test";
import {
  isResourceVersionTooNew,
  readStatus,
  statusError,
  statusOf,
} from "../../src/api-client/status.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** A length-delimited field. */
const field = (number: number, content: Uint8Array | number[]) => [
  (number << 3) | 2,
  content.length,
  ...content,
];

/** `k8s\0`, Unknown { 1: TypeMeta, 2: Status { 2: status, 3: message, 4: reason, 6: code } }. */
const protobuf = new Uint8Array([
  ...text("k8s\0"),
  ...field(1, field(1, text("v1"))),
  ...field(2, [
    ...field(1, []),
    ...field(2, text("Failure")),
    ...field(3, text("no such thing")),
    ...field(4, text("NotFound")),
    ...[(6 << 3) | 0, 0x94, 0x03],
  ]),
]);

describe("the body of an error answer", () => {
  test.each([
    ["JSON", text('{"reason":"NotFound","message":"no such thing"}'), "NotFound", "no such thing"],
    ["protobuf", protobuf, "NotFound", "no such thing"],
    ["a proxy's page", text("<h1>Bad Gateway</h1>\n"), "", "<h1>Bad Gateway</h1>"],
    ["nothing", new Uint8Array(), "", ""],
  ])("is read from %s", (_what, body, reason, message) => {
    expect(readStatus(404, 7, body)).toEqual({ code: 404, reason, message, retryAfterMs: 7 });
  });

  test("is never trusted: any truncation is read safely", () => {
    for (let length = 0; length < protobuf.length; length++) {
      expect(readStatus(404, 0, protobuf.slice(0, length)).code).toBe(404);
    }
  });
});

test("an error has the operation, the status and the server's message", () => {
  const status = { code: 403, reason: "Forbidden", message: "not you", retryAfterMs: 0 };
  const error = statusError("list services", "https://api.test", status);
  expect(error.code).toBe("API_STATUS");
  expect(error.message).toBe(
    "list services: 403 Forbidden: not you (grant the ClusterRole system:node-proxier)",
  );
  expect(statusOf(error)).toEqual(status);
  expect(statusError("list services", "", { ...status, code: 410 }).code).toBe("API_GONE");
  const bare = { ...status, code: 502, reason: "", message: "" };
  expect(statusError("list services", "", bare).message).toBe("list services: 502");
});

test("a version that is too large is recognized by the server's message", () => {
  const message = "Timeout: Too large resource version: 10, current: 3";
  expect(isResourceVersionTooNew({ code: 504, reason: "Timeout", message, retryAfterMs: 0 })).toBe(
    true,
  );
  expect(
    isResourceVersionTooNew({ code: 504, reason: "Timeout", message: "", retryAfterMs: 0 }),
  ).toBe(false);
});

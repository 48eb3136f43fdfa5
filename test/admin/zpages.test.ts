import { describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { createApp } from "../../src/admin/http-app.ts";
import { flagzPage, respondNegotiated, statuszPage } from "../../src/admin/zpages.ts";

const WARNING =
  "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";
const STARTED = Date.UTC(2026, 10, 4, 14, 47, 1, 940);
const VIEW = {
  startedAt: STARTED,
  now: () => STARTED + (25 * 3600 + 61) * 1000,
  version: "1.2.3",
};

const app = createApp(() => [], unexpectedError)
  .get("/flagz", (context) => respondNegotiated(context, "Flagz", flagzPage({ v: "2", "a-b": "" })))
  .get("/statusz", (context) =>
    respondNegotiated(
      context,
      "Statusz",
      statuszPage(VIEW, ["/metrics", "/metrics/slis", "/configz"]),
    ),
  );

function ask(path: string, accept?: string) {
  return app.request(path, accept === undefined ? {} : { headers: { Accept: accept } });
}

describe("the text form", () => {
  test("of /flagz has kube-proxy's header and sorted flags", async () => {
    const response = await ask("/flagz");
    expect(response.headers.get("Content-Type")).toBe("text/plain; charset=utf-8");
    expect(await response.text()).toBe(`\nkube-proxy flagz\n${WARNING}\na-b:\nv:2\n`);
  });

  test("of /statusz has kube-proxy's lines, with Bun instead of Go", async () => {
    expect(await (await ask("/statusz")).text()).toBe(`
kube-proxy statusz
${WARNING}

Started: Wed Nov  4 14:47:01 UTC 2026
Up: 25 hr 01 min 01 sec
Bun version: ${Bun.version}
Binary version: 1.2.3
Emulation version: 1.36
Paths: /configz /metrics
`);
  });

  test.each(["", "*/*", "text/*", "text/plain", "text/html, */*;q=0.1", "*/*;q=x"])(
    "is the answer to Accept: %p",
    async (accept) => {
      expect(await (await ask("/flagz", accept)).text()).toContain("kube-proxy flagz");
    },
  );
});

describe("the structured form", () => {
  const flagz = (version: string) => `application/json;as=Flagz;v=${version};g=config.k8s.io`;

  test("of /flagz", async () => {
    const response = await ask("/flagz", flagz("v1beta1"));
    expect(response.headers.get("Content-Type")).toBe(
      "application/json;g=config.k8s.io;v=v1beta1;as=Flagz",
    );
    expect(response.headers.get("Warning")).toBeNull();
    expect(await response.json()).toEqual({
      kind: "Flagz",
      apiVersion: "config.k8s.io/v1beta1",
      metadata: { name: "kube-proxy" },
      flags: { "a-b": "", v: "2" },
    });
  });

  test("of /statusz as YAML, since JSON is valid YAML", async () => {
    const response = await ask(
      "/statusz",
      "application/yaml;as=Statusz;v=v1beta1;g=config.k8s.io, text/plain;q=0.5",
    );
    expect(response.headers.get("Content-Type")).toStartWith("application/yaml;");
    expect(await response.json()).toMatchObject({
      kind: "Statusz",
      startTime: "2026-11-04T14:47:01Z",
      uptimeSeconds: 90_061,
      goVersion: `bun${Bun.version}`,
      binaryVersion: "1.2.3",
      emulationVersion: "1.36",
      paths: ["/configz", "/metrics"],
    });
  });

  test("of the old version has a warning", async () => {
    const response = await ask("/flagz", flagz("v1alpha1"));
    expect(await response.json()).toMatchObject({ apiVersion: "config.k8s.io/v1alpha1" });
    expect(response.headers.get("Warning")).toBe(
      '299 - "This version of the flagz endpoint is deprecated. Please use a newer version."',
    );
  });
});

test.each([
  "application/json",
  "text/html",
  "application/json;as=Statusz;v=v1beta1;g=config.k8s.io",
  "application/json;as=Flagz;v=v2;g=config.k8s.io",
  "application/json;as=Flagz;v=v1beta1;g=other",
  ";;=,=;",
])("Accept: %p gets 406 with kube-proxy's text", async (accept) => {
  const response = await ask("/flagz", accept);
  expect(response.status).toBe(406);
  expect(await response.json()).toEqual({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message:
      "only the following media types are accepted: application/json, application/yaml, text/plain",
    reason: "NotAcceptable",
    code: 406,
  });
});

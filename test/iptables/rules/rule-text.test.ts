import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { assertProperty } from "../../../harness/property.ts";
import {
  commentWords,
  markMatches,
  normalizeRules,
  portMatch,
  randomMatch,
  recentMatch,
  words,
} from "../../../src/iptables/rules/rule-text.ts";

test("missing parts leave no extra space", () => {
  expect(words("-p tcp", undefined, "", "-j ACCEPT")).toBe("-p tcp -j ACCEPT");
});

describe("a probability is printed as the kernel stores it, with eleven digits", () => {
  test.each([
    [2, "0.50000000000"],
    [3, "0.33333333349"],
    [5, "0.20000000019"],
    [1000, "0.00100000016"],
    [1_000_000, "0.00000099977"],
  ])("one of %p: %s", (of, digits) => {
    expect(randomMatch(of)).toBe(`-m statistic --mode random --probability ${digits}`);
  });

  test("one of one needs no probability", () => {
    expect(randomMatch(1)).toBeUndefined();
  });
});

describe("a comment", () => {
  test.each([
    ["web", "web"],
    ["a-b_9", "a-b_9"],
    ["ns1/svc1:p80 cluster IP", '"ns1/svc1:p80 cluster IP"'],
    [`a"b'c\\d`, String.raw`"a\"b\'c\\d"`],
    ["two\nlines\r\tand\u2028more", '"two?lines??and?more"'],
    ["ümläut", '"ümläut"'],
  ])("%p is written %s", (text, written) => {
    expect(commentWords(text)).toBe(`-m comment --comment ${written}`);
  });

  test("is cut at 255 bytes, between characters", () => {
    expect(commentWords("a".repeat(300))).toBe(`-m comment --comment ${"a".repeat(255)}`);
    expect(commentWords("ä".repeat(300))).toBe(`-m comment --comment "${"ä".repeat(127)}"`);
    expect(commentWords("𝄞".repeat(300))).toBe(`-m comment --comment "${"𝄞".repeat(63)}"`);
  });

  test("never ends its line or its quotes", () => {
    assertProperty(
      "rule-comment",
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
        const written = commentWords(text).slice("-m comment --comment ".length);
        expect(written).toMatch(/^(?:[-_0-9A-Za-z]+|"(?:[^"'\\\n\r\0]|\\["'\\])*")$/);
        expect(
          Buffer.byteLength(written.replaceAll(/^"|"$/g, "").replaceAll(/\\(.)/g, "$1")),
        ).toBeLessThanOrEqual(255);
      }),
    );
  });
});

test("ports, marks and remembered clients are in the tools' syntax", () => {
  expect(portMatch("tcp", 80)).toBe("-m tcp --dport 80");
  expect(portMatch("sctp", 65280, 65535)).toBe("-m sctp --dport 65280:65535");
  expect(markMatches(31).clear).toBe("-j MARK --set-xmark 0x0/0x80000000");
  expect(markMatches(0).marked).toBe("-m mark --mark 0x1/0x1");
  expect(recentMatch(6, "--set", "KUBE-SEP-A")).toBe(
    "-m recent --set --name KUBE-SEP-A --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource",
  );
});

test("rules that differ only in quotes and spaces are equal", () => {
  const rules = 'x -m comment --comment "web" -j A \n-m comment --comment "a b" -j B\t';
  expect(normalizeRules(rules)).toBe(
    'x -m comment --comment web -j A\n-m comment --comment "a b" -j B',
  );
});

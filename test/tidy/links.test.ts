import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT, repositoryFiles, textOf } from "../../harness/repository.ts";

const DOCUMENTS = repositoryFiles().filter((path) => path.endsWith(".md"));
/** Documents without links. */
const WITHOUT_LINKS = "docs/metrics.md";
/** `[text](target)`, except for targets elsewhere on the network. */
const LINK = /\]\((?![a-z]+:)([^)\s]+)\)/g;

test.each(DOCUMENTS)("every link of %s leads to a file, and to a heading of it", (path) => {
  const links = [...textOf(path).matchAll(LINK)].map(([, link = ""]) => link);
  expect(links.length > 0).toBe(path !== WITHOUT_LINKS);
  const broken = links.filter((link) => {
    const [file = "", heading] = link.split("#");
    const target = file === "" ? path : join(dirname(path), file);
    if (!existsSync(join(ROOT, target))) return true;
    return heading !== undefined && !anchorsOf(target).has(heading);
  });
  expect(broken).toEqual([]);
});

test("README.md leads to every document", () => {
  const linked = [...textOf("README.md").matchAll(LINK)].map(([, link]) => link);
  expect(DOCUMENTS.filter((path) => path !== "README.md" && !linked.includes(path))).toEqual([]);
});

test("headings in code do not count, and a repeated heading gets its own anchor", () => {
  const text =
    "# What `is`: it?\n\n```\n# no heading\n```\n\n    # nor this\n\n## Same\n\n## Same\n";
  expect(anchorsIn(text)).toEqual(new Set(["what-is-it", "same", "same-1"]));
});

function anchorsOf(path: string): Set<string> {
  return anchorsIn(textOf(path));
}

/** The anchors that GitHub creates for headings. */
function anchorsIn(text: string): Set<string> {
  const prose = text.replaceAll(/^```.*?^```$/gms, "");
  const anchors = new Set<string>();
  for (const heading of prose.match(/(?<=^#{1,6} ).+$/gm) ?? []) {
    const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "");
    const anchor = plain.trim().replaceAll(" ", "-");
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

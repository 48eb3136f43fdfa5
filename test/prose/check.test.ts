import { describe, expect, test } from "bun:test";
import { checkProse } from "../../prose/check.ts";
import type { Exemption } from "../../prose/exemptions.ts";

/** Line, rule and the words that the message quotes, of each finding. */
async function findingsIn(path: string, text: string): Promise<string[]> {
  const report = await checkProse(path, text, []);
  return (report?.findings ?? []).map(
    ({ line, rule, message }) => `${line} ${rule} ${/^"(.*?)"|^\d+ words/.exec(message)?.[0]}`,
  );
}

const words = (count: number): string => Array(count).fill("word").join(" ");

describe("length of sentences", () => {
  test.each([
    ["25 words", `${words(25)}.`],
    ["two sentences", `${words(20)}. ${words(20)}.`],
    ["a sentence that begins in lower case", `${words(20)}. nft ${words(20)}.`],
    ["a question and an answer", `${words(20)}? ${words(20)}!`],
    ["code spans", `${words(24)} \`a b c d e f\`.`],
    ["numbers with units", `${words(23)} 2 to 4 MB, 10 ms.`],
    ["list items", `${words(5)}:\n- ${words(20)}\n- ${words(20)}`],
    ["numbered items", `1. ${words(20)}\n2. ${words(20)}`],
    ["table cells", `| a | b |\n| --- | --- |\n| ${words(20)} | ${words(20)} |`],
    ["code blocks", `${words(20)}:\n\n    ${words(20)}\n\n\`\`\`\n${words(30)}\n\`\`\``],
    ["signs that are no words", `${words(25)} = + / --.`],
  ])("accepts %s", async (_, text) => {
    expect(await findingsIn("docs/x.md", text)).toEqual([]);
  });

  test.each([
    ["26 words", `${words(26)}.`, 1],
    ["a sentence after another", `Short.\n${words(10)}\n${words(16)}.`, 2],
    ["markup", `**${words(24)}** _a_ [${words(12)}](#x).`, 1],
    ["abbreviations", `${words(20)}, e.g. ${words(5)}.`, 1],
    ["a list item", `Good:\n\n- ${words(26)}`, 3],
    ["a table cell", `| a | b |\n| --- | --- |\n| x | ${words(27)} |`, 3],
  ])("reports %s", async (_, text, line) => {
    expect(await findingsIn("docs/x.md", text)).toEqual([
      `${line} sentence-length ${_ === "a table cell" ? 27 : 26} words`,
    ]);
  });
});

describe("plain words", () => {
  test.each([
    ["Rules are written anew.", "anew"],
    ["Whoever writes wins.", "Whoever"],
    ["The table is tried in vain.", "in vain"],
    ["It fails for want of memory.", "for want of"],
    ["A change, be it small, is logged.", "be it"],
    ["There are two maps, of which one is empty.", "of which"],
    ["A kube-proxy runs beside Sluice.", "beside"],
    ["All but for one are ready.", "but for"],
    ["The watch goes on.", "goes on"],
    ["Likewise for UDP.", "Likewise"],
    ["The name is then told.", "is then told"],
    ["Foreign tables are only said.", "are only said"],
    ["A Service whose port is 80.", "whose"],
    ["Rules after those of others.", "those of"],
    ["A chain of kube-proxy's.", "of kube-proxy's"],
    ["A chain of kube-proxy's is empty.", "of kube-proxy's"],
    ["The key is to be packed.", "is to be"],
    ["It restarts by itself.", "by itself"],
    ["Every minute at last.", "at last"],
    ["It waits so long.", "so long"],
    ["A number, say, or a name.", ", say"],
    ["As upstream has it, none.", "As upstream has it"],
    ["If it can, nftables. Else iptables.", "Else"],
    ["Somebody changed a rule.", "Somebody"],
    ["The process lives in a namespace.", "lives"],
    ["It is not read any more.", "any more"],
    ["It reads everything there is.", "there is"],
    ["The chains that are there, stay.", "are there"],
    ["Just what is missing is written.", "what is missing is"],
    ["What fails is logged.", "What"],
    ["The rules are put right.", "put right"],
    ["Sluice mends the table.", "mends"],
    ["Sluice restores the elements.", "restores the"],
    ["A remark is logged.", "remark"],
    ["Each note is logged.", "note"],
    ["A configuration is taken up.", "taken up"],
  ])("reports: %s", async (text, phrase) => {
    expect(await findingsIn("docs/x.md", text)).toEqual([`1 plain-words "${phrase}"`]);
  });

  test.each([
    "A rule that `whoever` wrote.",
    'The log says "the rest is put right".',
    "What is an owner?",
    "Sluice names the process that deleted it.",
    "It takes up to 5 s.",
    "The rest is as long as the sync.",
    "Sluice compares the table with what was committed.",
    "The last iptables-restore failed, and a restore follows.",
    "The rules of Sluice's tables are listed.",
    "Note that this takes a minute.",
    "A live change is applied at once.",
    "Elections: the node lacks nf_tables, and nobody notices.",
    "```\nwhoever\n```",
  ])("accepts: %s", async (text) => {
    expect(await findingsIn("docs/x.md", text)).toEqual([]);
  });

  test("accepts more in a title", async () => {
    expect(await findingsIn("docs/x.md", "# What Sluice writes\n\nText.")).toEqual([]);
    expect(await findingsIn("docs/x.md", "# Written anew\n\nText.")).toEqual([
      '1 plain-words "anew"',
    ]);
  });
});

describe("exemptions", () => {
  const text = "Good.\n\nThe rules\nare written anew.";
  const exemption: Exemption = { path: "a.md", text: "The rules are", because: "a test" };

  test("accept the sentence, and count as used", async () => {
    const report = await checkProse("a.md", text, [exemption]);
    expect(report?.findings).toEqual([]);
    expect([...(report?.used ?? [])]).toEqual([exemption]);
  });

  test("accept nothing in another file or sentence", async () => {
    const others = [
      { ...exemption, path: "b.md" },
      { ...exemption, text: "Good" },
    ];
    const report = await checkProse("a.md", text, others);
    expect(report?.findings).toMatchObject([{ line: 4, sentence: "The rules are written anew." }]);
    expect(report?.used.size).toBe(0);
  });
});

test("a file of another kind is not read", async () => {
  expect(await checkProse("test/fixtures/x.json", '"anew"')).toBeUndefined();
});

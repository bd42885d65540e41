/** Commands of the server, run as child processes. `HOLDFAST_SERVER` names another command to run. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { decodeInviteLine, type Invite } from "../../lib/invite_line.ts";
import { EventKind, JOURNAL_START } from "../../lib/journal.ts";
import { AnswerCode, decodeAppended, RequestCode } from "../../lib/protocol_v4.ts";
import { encodeEnrolment } from "../../lib/protocol_v4_login.ts";
import { RecordType } from "../../lib/record.ts";
import { fetchCertificate } from "../../lib/tls.ts";
import { withFolder } from "../folder.ts";
import {
  describeAnswer,
  deviceA,
  foundBody,
  makeRecord,
  refusalOf,
  TestClient,
  TestMember,
} from "./fixture.ts";

const SCRIPT = fileURLToPath(new URL("../../server.ts", import.meta.url));
const COMMAND = Deno.env.get("HOLDFAST_SERVER")?.split(" ") ?? [
  ...[Deno.execPath(), "run", "--no-prompt", "--allow-net", "--allow-read", "--allow-write"],
  SCRIPT,
];

Deno.test("server invite works beside a running server, and its line begins a vault", async () => {
  await withFolder(async (folder) => {
    const data = `${folder}/data`;
    const early = await run("invite", "--data", data, "--address", "127.0.0.1:1");
    assert.equal(early.code, 0, early.stderr);
    const server = await serve(data, "--classic", "off", "--listen", "127.0.0.1:0");
    const made = await run("invite", "--data", data, "--name", "a friend", "--expires", "1h");
    assert.equal(made.code, 0, made.stderr);
    const invite = decodeInviteLine(made.stdout);
    assert.equal(invite.kind, "new");
    assert.equal(invite.addresses.length, 1);
    assert.deepEqual(decodeInviteLine(early.stdout).pin, invite.pin);
    assert.equal(await found(invite), AnswerCode.APPENDED);
    assert.equal(await found(invite), "BAD_INVITE");
    assert.equal((await run("rebuild", "--data", data)).code, 1); // it is in use
    await server.stop();
    const rebuilt = await run("rebuild", "--data", data);
    assert.equal(rebuilt.stdout, "1 vaults, 0 packs, 0 damaged\n", rebuilt.stderr);
    assert.equal(rebuilt.code, 0);
  });
});

Deno.test("what was acknowledged is there after the server was killed", async () => {
  await withFolder(async (folder) => {
    const data = `${folder}/data`;
    const server = await serve(data, "--classic", "off", "--listen", "127.0.0.1:0");
    const member = await join(decodeInviteLine((await run("invite", "--data", data)).stdout));
    await member.open();
    const all = Array.from({ length: 60 }, () => makeRecord(RecordType.DATA, [], 1024 * 1024));
    const root = makeRecord(RecordType.ROOT, all.slice(0, 2));
    await member.put(all[0], all[1], root);
    assert.equal(await member.commit(root), "committed");
    let acknowledged = 2;
    const requestIds: number[] = [];
    for (const record of all.slice(2)) requestIds.push(await member.sendPut(record));
    for (const requestId of requestIds.slice(0, 20)) {
      await member.client.answerTo(requestId);
      acknowledged++;
    }
    await server.kill();
    member.client.close();
    const again = await serve(data, "--classic", "off", "--listen", "127.0.0.1:0");
    const [address] = decodeInviteLine((await run("invite", "--data", data)).stdout).addresses;
    const client = await TestClient.connect(address, member.client.certificate);
    await client.login(deviceA, member.vault.id);
    const later = new TestMember(client, deviceA, member.vault, member.seen);
    assert.deepEqual(
      await later.has(root, ...all.slice(0, acknowledged)),
      new Array(acknowledged + 1).fill(true),
    );
    assert.deepEqual(await later.get(root, all[acknowledged - 1]), [
      root.bytes,
      all[acknowledged - 1].bytes,
    ]);
    client.close();
    await again.stop();
  });
});

Deno.test("server serve needs something to listen on", async () => {
  await withFolder(async (folder) => {
    const { code, stderr } = await run(
      ...["serve", "--data", `${folder}/data`, "--classic", "off", "--listen", "off"],
    );
    assert.equal(code, 2, stderr);
    assert.equal((await run("invite", "--data", folder, "--expires", "soon")).code, 2);
    assert.equal((await run("rebuild", "now")).code, 2);
  });
});

Deno.test("server rebuild keeps a database that is none under another name", async () => {
  await withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/holdfast.db`, "no database".repeat(1000));
    const { code, stderr } = await run("rebuild", "--data", folder);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /kept as/);
    const kept = [...Deno.readDirSync(folder)].filter(({ name }) => name.includes("damaged"));
    assert.equal(kept.length, 1);
  });
});

/** Begins a vault with an invite; gives the code of the answer, or the name of the error. */
async function found({ addresses: [address], pin, secret }: Invite): Promise<number | string> {
  const certificate = await fetchCertificate(address, { pin, connectMs: 5000 });
  const client = await TestClient.connect(address, certificate);
  try {
    const vault = await foundBody(deviceA);
    const statement = await vault.sign(deviceA, EventKind.FOUND, vault.body, JOURNAL_START);
    const payload = encodeEnrolment({ token: secret, statement });
    const answer = await client.request(RequestCode.FOUND, payload);
    if (answer.code === AnswerCode.ERROR) return refusalOf(answer);
    assert.equal(answer.code, AnswerCode.APPENDED, describeAnswer(answer));
    return answer.code;
  } finally {
    client.close();
  }
}

/** Begins a vault with an invite, and logs in. */
async function join({ addresses: [address], pin, secret }: Invite): Promise<TestMember> {
  const certificate = await fetchCertificate(address, { pin, connectMs: 5000 });
  const client = await TestClient.connect(address, certificate);
  const vault = await foundBody(deviceA);
  const statement = await vault.sign(deviceA, EventKind.FOUND, vault.body, JOURNAL_START);
  const payload = encodeEnrolment({ token: secret, statement });
  const answer = await client.request(RequestCode.FOUND, payload);
  await client.login(deviceA, vault.id);
  return new TestMember(client, deviceA, vault, decodeAppended(answer.payload));
}

async function run(...args: string[]) {
  const [command, ...before] = COMMAND;
  const options = { args: [...before, ...args], env: { NO_COLOR: "1" } };
  const { code, stdout, stderr } = await new Deno.Command(command, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Starts a server and waits until it listens. */
async function serve(data: string, ...args: string[]) {
  const [command, ...before] = COMMAND;
  const child = new Deno.Command(command, {
    args: [...before, "serve", "--data", data, ...args],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let log = "";
  while (!log.includes("listening")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the server did not start: ${log}`);
    log += value;
  }
  return {
    kill: async () => {
      child.kill("SIGKILL");
      while (!(await reader.read()).done);
      await child.status;
    },
    stop: async () => {
      child.kill("SIGTERM");
      while (!(await reader.read()).done);
      assert.equal((await child.status).code, 0);
    },
  };
}

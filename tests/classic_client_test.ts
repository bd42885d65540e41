/** The real client against a scripted server, and against the real one. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import {
  type Finished,
  listFiles,
  READ_PERMISSIONS,
  runClient,
  ServerProcess,
  withFolder,
} from "./programs.ts";
import { answer, type Reply, type ScriptedRequest, ScriptedServer } from "./scripted_server.ts";

const PLAIN = Buffer.from("hello defensive\nsecond line\n");

interface Setting {
  server: ScriptedServer;
  folder: string;
  /** The classic run, without arguments. */
  run: () => Promise<Finished>;
  send: (args: string[], permissions?: string[]) => Promise<Finished>;
}

type Script = (request: ScriptedRequest, server: ScriptedServer) => Reply | undefined;

/** A test with a scripted server and a folder with `transfer.info` and the file that it names. */
function testClient(name: string, script: Script, work: (setting: Setting) => Promise<void>): void {
  Deno.test(`classic client ${name}`, () =>
    withFolder(async (folder) => {
      await using server = new ScriptedServer(script);
      Deno.writeTextFileSync(`${folder}/transfer.info`, `${server.address}\nalice\nfile.txt`);
      Deno.writeFileSync(`${folder}/file.txt`, PLAIN);
      await work({
        server,
        folder,
        run: () => runClient([], { cwd: folder }),
        send: (args, permissions) =>
          runClient(["send", ...args], { cwd: folder, ...(permissions && { permissions }) }),
      });
    }));
}

/** Answers with an error to the first requests of a code. */
function failing(code: number, times: number, reply: Reply = answer(2107)): Script {
  let left = times;
  return (request) => request.code === code && left-- > 0 ? reply : undefined;
}

const good: Script = () => undefined;

testClient("registers, sends, and keeps what it needs to come back", good, async (t) => {
  const first = await t.run();
  assert.equal(first.code, 0, first.stderr);
  assert.deepEqual(t.server.codes, [1025, 1026, 1028, 1029]);
  assert.ok(t.server.requests.every((request) => request.connection === 1), "one connection");
  assert.ok(t.server.requests.every((request) => request.version === 3));
  const [register, key, file] = t.server.requests;
  assert.equal(register.payloadBytes, 255);
  assert.equal(key.payloadBytes, 415);
  assert.deepEqual(key.id, t.server.id);
  assert.equal(file.payloadBytes, 259 + 32);
  assert.deepEqual(t.server.openFile(file), { name: "file.txt", plain: PLAIN, contentBytes: 32 });
  const [name, id, privateKey, end] = Deno.readTextFileSync(`${t.folder}/me.info`).split("\n");
  assert.equal(name, "alice");
  assert.equal(id, t.server.id.toString("hex"));
  assert.equal(Buffer.from(privateKey, "base64").toString("base64"), privateKey);
  assert.equal(end, "");
  assert.equal(Deno.readTextFileSync(`${t.folder}/priv.key`).trim(), privateKey);
  for (const kept of ["me.info", "priv.key"]) {
    assert.equal(Deno.statSync(`${t.folder}/${kept}`).mode! & 0o777, 0o600);
  }
  const before = listFiles(t.folder);
  const second = await t.run();
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual(t.server.codes.slice(4), [1027, 1028, 1029]);
  assert.deepEqual(listFiles(t.folder), before);
});

testClient("needs no permission to write once it has its keys", good, async (t) => {
  await t.run();
  const result = await t.send(["--json", "file.txt"], READ_PERMISSIONS);
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(JSON.parse(result.stdout), {
    event: "sent",
    path: "file.txt",
    name: "file.txt",
    bytes: 28,
    checksum: 2866325594,
  });
});

testClient("without permission to write says so before it registers", good, async (t) => {
  const result = await t.send(["file.txt"], READ_PERMISSIONS);
  assert.equal(result.code, 4);
  assert.match(result.stderr, /no permission to write[^]*hint: .*--allow-write/);
  assert.deepEqual(t.server.codes, []);
});

for (const code of [1025, 1026, 1028, 1029]) {
  testClient(`repeats ${code} after an error, three times`, failing(code, 3), async (t) => {
    const result = await t.run();
    assert.equal(result.code, 0, result.stderr);
    assert.equal(t.server.codes.filter((sent) => sent === code).length, 4);
    assert.equal(result.stderr.match(/server responded with an error/g)?.length, 3);
  });

  testClient(`gives up ${code} after the third repeat`, failing(code, 99), async (t) => {
    const result = await t.run();
    assert.equal(result.code, 1);
    assert.equal(t.server.codes.filter((sent) => sent === code).length, 4);
    assert.match(result.stderr, /error: Cannot .*2107 4 times/);
  });
}

testClient("says that a name is taken", failing(1025, 99, answer(2101)), async (t) => {
  const result = await t.run();
  assert.equal(result.code, 4);
  assert.match(result.stderr, /2101[^]*hint: the name is taken/);
  assert.ok(!listFiles(t.folder).includes("me.info"));
});

function wrongChecksums(times: number): Script {
  let left = times;
  return (request, server) =>
    request.code === 1028 && left-- > 0 ? server.receipt(request, 1) : undefined;
}

testClient("sends again after a wrong checksum", wrongChecksums(1), async (t) => {
  const result = await t.run();
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(t.server.codes, [1025, 1026, 1028, 1030, 1028, 1029]);
});

testClient("gives up after four wrong checksums", wrongChecksums(99), async (t) => {
  const result = await t.run();
  assert.equal(result.code, 1);
  assert.deepEqual(t.server.codes, [
    ...[1025, 1026, 1028, 1030, 1028, 1030, 1028, 1030, 1028, 1031],
  ]);
  assert.match(result.stderr, /checksum was wrong 4 times/);
});

testClient("does not wait for an answer to 1031", (request, server) => {
  return request.code === 1031 ? "" : wrongChecksums(99)(request, server);
}, async (t) => {
  assert.equal((await t.run()).code, 1);
});

for (const stray of [2104, 2107]) {
  testClient(`skips a ${stray} after 1030`, (request, server) => {
    if (request.code === 1030) return answer(stray, server.id);
    return undefined;
  }, async (t) => {
    await t.run(); // to have an identity; the next run meets the wrong checksum
    let wrong = 1;
    await using server = new ScriptedServer((request, server) => {
      if (request.code === 1030) return answer(stray, server.id);
      if (request.code === 1028 && wrong-- > 0) return server.receipt(request, 1);
      return undefined;
    });
    server.publicKey = t.server.publicKey;
    const result = await t.send(["--server", server.address, "file.txt"]);
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(server.codes, [1027, 1028, 1030, 1028, 1029]);
  });
}

testClient("accepts what real servers send instead", (request, server) => {
  switch (request.code) {
    case 1025:
      return answer(2100, server.id, 2);
    case 1028: {
      const { plain, name } = server.openFile(request);
      server.files.set(name, plain);
      return server.receipt(request, 2866325594, plain.length);
    }
    case 1029:
      return answer(2104, Buffer.alloc(0), 0x33);
    default:
      return undefined;
  }
}, async (t) => {
  const result = await t.run();
  assert.equal(result.code, 0, result.stderr);
});

for (const refusal of [answer(2106), answer(2106, Buffer.alloc(16)), answer(2107)]) {
  const name = `code ${refusal.readUInt16LE(1)} of ${refusal.length} bytes`;
  testClient(
    `registers as new when its login gets ${name}, and keeps the old identity`,
    (request) => {
      return request.code === 1027 ? refusal : undefined;
    },
    async (t) => {
      await t.run();
      const old = Deno.readTextFileSync(`${t.folder}/me.info`);
      t.server.id[0] ^= 0xff;
      const result = await t.run();
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stderr, /registering it as new/);
      assert.equal(Deno.readTextFileSync(`${t.folder}/me.info.old-1`), old);
      const [, id] = Deno.readTextFileSync(`${t.folder}/me.info`).split("\n");
      assert.equal(id, t.server.id.toString("hex"));
    },
  );
}

testClient("keeps its identity when it cannot register as new", (request) => {
  return request.code === 1027 ? answer(2106) : undefined;
}, async (t) => {
  await t.run();
  const old = Deno.readTextFileSync(`${t.folder}/me.info`);
  const before = listFiles(t.folder);
  await using server = new ScriptedServer((request) =>
    request.code === 1027 ? answer(2106) : request.code === 1025 ? answer(2101) : undefined
  );
  const result = await t.send(["--server", server.address, "file.txt"]);
  assert.equal(result.code, 4);
  assert.equal(Deno.readTextFileSync(`${t.folder}/me.info`), old);
  assert.deepEqual(listFiles(t.folder), before);
});

testClient(
  "goes on with a registration that was cut before the keys",
  failing(1026, 99, "close"),
  async (t) => {
    assert.equal((await t.run()).code, 6);
    assert.ok(!listFiles(t.folder).includes("me.info"));
    const server = new ScriptedServer((request) =>
      request.code === 1025 ? answer(2101) : undefined
    );
    await using _ = server;
    const result = await t.send(["--server", server.address, "file.txt"]);
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(server.codes, [1026, 1028, 1029]);
    assert.deepEqual(listFiles(t.folder), ["file.txt", "me.info", "priv.key", "transfer.info"]);
  },
);

testClient(
  "registers anew when the server knows nothing of a cut registration",
  failing(1026, 99, "close"),
  async (t) => {
    assert.equal((await t.run()).code, 6);
    await using server = new ScriptedServer(failing(1026, 4));
    const result = await t.send(["--server", server.address, "file.txt"]);
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(server.codes, [1026, 1026, 1026, 1026, 1025, 1026, 1028, 1029]);
  },
);

testClient("gives up a server that takes nothing", good, async (t) => {
  Deno.writeFileSync(`${t.folder}/large`, new Uint8Array(50_000_000));
  t.server.deafTo = 1028;
  const result = await t.send(["--timeout", "300ms", "large"]);
  assert.equal(result.code, 6);
  assert.match(result.stderr, /the server takes nothing/);
});

testClient("connects again when the server closes after each answer", good, async (t) => {
  await t.run();
  const seen = new Set<number>();
  await using server = new ScriptedServer((request) => {
    if (seen.has(request.connection)) return "close";
    seen.add(request.connection);
    return undefined;
  });
  server.publicKey = t.server.publicKey;
  const result = await t.send(["--server", server.address, "file.txt"]);
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(server.files.get("file.txt"), PLAIN);
});

testClient("says when the server closes every time", () => "close", async (t) => {
  const result = await t.run();
  assert.equal(result.code, 6);
  assert.match(result.stderr, /Connection (closed by the server|lost)/);
});

testClient("gives up a server that says nothing", () => "", async (t) => {
  const result = await t.send(["--timeout", "300ms", "file.txt"]);
  assert.equal(result.code, 6);
  assert.match(result.stderr, /nothing came for 0\.3 s/);
});

testClient(
  "gives up a server whose answer stops in the middle",
  () => answer(2100).subarray(0, 4),
  async (t) => {
    const result = await t.send(["--timeout", "300ms", "file.txt"]);
    assert.equal(result.code, 6);
  },
);

for (
  const [what, reply] of Object.entries({
    "an answer that does not belong": answer(2104, Buffer.alloc(16)),
    "an answer without its id": answer(2100),
    "an answer that claims 4 GiB": Buffer.from("033408ffffffff", "hex"),
  })
) {
  testClient(
    `refuses ${what}`,
    (request) => request.code === 1025 ? reply : undefined,
    async (t) => {
      const result = await t.run();
      assert.equal(result.code, 1);
      assert.match(result.stderr, /answer/);
      assert.ok(!listFiles(t.folder).includes("me.info"));
    },
  );
}

testClient("refuses a session key that is not for it", (request, server) => {
  return request.code === 1026
    ? answer(2102, Buffer.concat([server.id, randomBytes(128)]))
    : undefined;
}, async (t) => {
  const result = await t.run();
  assert.equal(result.code, 5);
  assert.match(result.stderr, /session key/);
});

const ME_INFO_FORMS: Record<string, (name: string, id: string, key: string) => string> = {
  "with CRLF": (name, id, key) => [name, id, key, ""].join("\r\n"),
  "with a wrapped key": (name, id, key) => [name, id, ...key.match(/.{1,72}/g)!].join("\n"),
  "with upper-case hex and dashes": (name, id, key) => {
    const dashed = id.toUpperCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    return `${name}\n${dashed}\n${key}`;
  },
  "with spaces": (name, id, key) => ` ${name} \n ${id} \n ${key} \n\n`,
  "without a key, which is in priv.key": (name, id) => `${name}\n${id}\n`,
  "with something else on line 3": (name, id) => `${name}\n${id}\nAAAA\n`,
};

for (const [form, format] of Object.entries(ME_INFO_FORMS)) {
  testClient(`reads a me.info ${form}`, good, async (t) => {
    await t.run();
    const [name, id, key] = Deno.readTextFileSync(`${t.folder}/me.info`).split("\n");
    Deno.writeTextFileSync(`${t.folder}/me.info`, format(name, id, key));
    const result = await t.run();
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(t.server.codes.slice(4), [1027, 1028, 1029]);
    assert.deepEqual(t.server.requests[4].id, t.server.id);
  });
}

for (const form of ["raw DER", "wrapped base64"]) {
  testClient(`reads a priv.key of ${form}`, good, async (t) => {
    await t.run();
    const [name, id, key] = Deno.readTextFileSync(`${t.folder}/me.info`).split("\n");
    Deno.writeTextFileSync(`${t.folder}/me.info`, `${name}\n${id}\n`);
    if (form === "raw DER") Deno.writeFileSync(`${t.folder}/priv.key`, Buffer.from(key, "base64"));
    else Deno.writeTextFileSync(`${t.folder}/priv.key`, key.match(/.{1,72}/g)!.join("\r\n"));
    const result = await t.run();
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(t.server.codes.slice(4), [1027, 1028, 1029]);
  });
}

testClient("does not touch a me.info that it cannot read", good, async (t) => {
  for (const text of ["", "alice\n", "alice\nnot hex\nkey\n"]) {
    Deno.writeTextFileSync(`${t.folder}/me.info`, text);
    const result = await t.run();
    assert.equal(result.code, 5);
    assert.match(result.stderr, /me\.info[^]*hint/);
    assert.equal(Deno.readTextFileSync(`${t.folder}/me.info`), text);
  }
  assert.deepEqual(t.server.codes, []);
});

for (const text of ["ADDRESS\r\nalice\r\nfile.txt\r\n", " ADDRESS \n alice \n file.txt \n\n"]) {
  testClient(`reads a transfer.info like ${JSON.stringify(text)}`, good, async (t) => {
    Deno.writeTextFileSync(`${t.folder}/transfer.info`, text.replace("ADDRESS", t.server.address));
    const result = await t.run();
    assert.equal(result.code, 0, result.stderr);
  });
}

testClient("says what is wrong with transfer.info", good, async (t) => {
  const wrong: [string, RegExp][] = [
    ["", /three lines/],
    [`${t.server.address}\nalice`, /three lines/],
    ["nowhere\nalice\nfile.txt", /Cannot read address "nowhere"/],
    ["127.0.0.1:99999\nalice\nfile.txt", /Cannot read address/],
    [`${t.server.address}\n${"a".repeat(101)}\nfile.txt`, /client name/],
  ];
  for (const [text, message] of wrong) {
    Deno.writeTextFileSync(`${t.folder}/transfer.info`, text);
    const result = await t.run();
    assert.equal(result.code, 2, text);
    assert.match(result.stderr, message);
  }
  assert.deepEqual(t.server.codes, []);
});

testClient(
  "sends several files over one connection, and tells what it could not read",
  good,
  async (t) => {
    Deno.writeFileSync(`${t.folder}/empty`, new Uint8Array(0));
    Deno.mkdirSync(`${t.folder}/folder`);
    const result = await t.send(["file.txt", "empty", "missing", "folder"]);
    assert.equal(result.code, 3);
    assert.deepEqual(t.server.codes, [1025, 1026, 1028, 1029, 1028, 1029]);
    assert.equal(t.server.files.get("empty")?.length, 0);
    assert.match(result.stderr, /missing/);
    assert.match(result.stderr, /folder: it is not a file/);
  },
);

testClient("sends nothing when there is nothing that it can send", good, async (t) => {
  const huge = Deno.openSync(`${t.folder}/huge`, { write: true, create: true });
  huge.truncateSync(4294967295);
  huge.close();
  const result = await t.send(["huge"]);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /huge: 4\.0 GiB, and the classic protocol takes at most/);
  assert.equal((await t.send(["missing"])).code, 1);
  Deno.mkdirSync(`${t.folder}/other`);
  Deno.copyFileSync(`${t.folder}/file.txt`, `${t.folder}/other/file.txt`);
  const twins = await t.send(["file.txt", "other/file.txt"]);
  assert.equal(twins.code, 2);
  assert.match(twins.stderr, /same name/);
  assert.deepEqual(t.server.codes, []);
});

testClient("sends the base name only", good, async (t) => {
  assert.equal((await t.send([`${t.folder}/file.txt`])).code, 0);
  assert.deepEqual([...t.server.files.keys()], ["file.txt"]);
});

Deno.test("client says when the server cannot be reached", () =>
  withFolder(async (folder) => {
    Deno.writeFileSync(`${folder}/file.txt`, PLAIN);
    const args = ["send", "--server", "127.0.0.1:1", "--name", "alice", "file.txt"];
    const result = await runClient(args, { cwd: folder });
    assert.equal(result.code, 6);
    assert.match(result.stderr, /Cannot reach server 127\.0\.0\.1:1[^]*hint:/);
    assert.deepEqual(listFiles(folder), ["file.txt"]);
  }));

Deno.test("client and server explain themselves", () =>
  withFolder(async (folder) => {
    const help = await runClient(["--help"], { cwd: folder });
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Commands:[^]*send[^]*Exit codes:/);
    const sendHelp = await runClient(["send", "--help"], { cwd: folder });
    assert.match(sendHelp.stdout, /--server HOST:PORT/);
    const bare = await runClient([], { cwd: folder });
    assert.equal(bare.code, 2);
    const unknown = await runClient(["sned"], { cwd: folder });
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /Unknown command "sned"[^]*hint:/);
    const flag = await runClient(["send", "--sevrer", "x"], { cwd: folder });
    assert.equal(flag.code, 2);
    assert.match(flag.stderr, /Unknown option '--sevrer'[^]*hint:/);
  }));

Deno.test("client and server work with each other", () =>
  withFolder(async (folder) => {
    await using server = await ServerProcess.start({ dataPath: `${folder}/data` });
    Deno.mkdirSync(`${folder}/client`);
    const sizes = [0, 1, 15, 16, 17, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000];
    const files = new Map(sizes.map((size) => [`file ${size}`, randomBytes(size)]));
    for (const [name, plain] of files) Deno.writeFileSync(`${folder}/client/${name}`, plain);
    for (let run = 0; run < 2; run++) {
      const args = ["send", "--server", server.address, "--name", "alice", ...files.keys()];
      const result = await runClient(args, { cwd: `${folder}/client` });
      assert.equal(result.code, 0, result.stderr);
    }
    const [id] = [...Deno.readDirSync(`${folder}/data/files`)].map((entry) => entry.name);
    for (const [name, plain] of files) {
      assert.ok(plain.equals(Deno.readFileSync(`${folder}/data/files/${id}/${name}`)), name);
    }
    assert.equal(server.events("registered").length, 1);
    assert.equal(server.events("reconnected").length, 1);
  }));
